//! Downloads from a fake hub: no network, no waiting.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use model_store::{
    AddOptions, AddedModel, CatalogueEntry, ModelState, ModelStore, Phase, Progress, Purpose, Source,
    StoreError,
};
use tempfile::TempDir;
use testkit::{FakeHub, GgufFile, HubFault};

const REPO: &str = "org/small-GGUF";
const FILE: &str = "small-Q4_K_M.gguf";
const NAME: &str = "small-q4_k_m";
const TOKEN: &str = "hf_secret";

struct Fixture {
    folder: TempDir,
    hub: FakeHub,
    content: Vec<u8>,
    store: ModelStore,
}

impl Fixture {
    /// A hub with one model of some MB in one repository.
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let hub = FakeHub::start().unwrap();
        let mut content = GgufFile::llama().bytes();
        content.resize(3_000_000, 7);
        hub.put(REPO, FILE, content.clone());
        let store = Self::store_of(&folder, &hub);
        Self { folder, hub, content, store }
    }

    fn store_of(folder: &TempDir, hub: &FakeHub) -> ModelStore {
        let (models, endpoint) = (folder.path().join("models"), hub.endpoint());
        ModelStore::from_env(&|name| match name {
            "UAT_MODELS" => Some(models.clone().into()),
            "HF_ENDPOINT" => Some(endpoint.clone().into()),
            "HF_TOKEN" => Some(TOKEN.into()),
            _ => None,
        })
        .unwrap()
        .with_retry_pause(Duration::ZERO)
    }

    fn add(&self, reference: &str) -> Result<AddedModel, StoreError> {
        self.add_with(reference, &AddOptions::default())
    }

    fn add_with(&self, reference: &str, options: &AddOptions) -> Result<AddedModel, StoreError> {
        self.store.add_from_hub(&reference.parse().unwrap(), options, &mut |_| {}, &AtomicBool::new(false))
    }

    /// Cancels once so many bytes have come.
    fn add_and_cancel_after(&self, bytes: u64) -> StoreError {
        let cancel = AtomicBool::new(false);
        let mut progress = |progress: Progress| {
            if matches!(progress.phase, Phase::Downloading { .. }) && progress.bytes >= bytes {
                cancel.store(true, Ordering::Relaxed);
            }
        };
        self.store
            .add_from_hub(&REPO.parse().unwrap(), &AddOptions::default(), &mut progress, &cancel)
            .unwrap_err()
    }

    fn model(&self, name: &str) -> PathBuf {
        self.folder.path().join("models").join(name)
    }

    fn incomplete(&self) -> PathBuf {
        self.model(&format!("{NAME}.gguf.incomplete"))
    }

    /// The ranges that the store of content was asked for, in order.
    fn ranges(&self) -> Vec<Option<String>> {
        self.hub
            .requests()
            .into_iter()
            .filter(|request| request.to_store)
            .map(|request| request.range)
            .collect()
    }

    /// Files of the folder that are neither the model, nor the list, nor locks.
    fn leftovers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("models")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let expected = [format!("{NAME}.gguf"), "models.json".to_owned()];
        names.filter(|name| !expected.contains(name) && !name.ends_with(".lock")).collect()
    }
}

#[test]
fn a_model_of_the_hub_is_added_found_and_removed() {
    let fixture = Fixture::new();
    let model = fixture.add(REPO).unwrap();
    assert_eq!((model.name.as_str(), model.owned, model.bytes), (NAME, true, 3_000_000));
    assert_eq!(model.source.as_deref(), Some("org/small-GGUF@c0ffee:small-Q4_K_M.gguf"));
    assert_eq!(fs::read(&model.path).unwrap(), fixture.content);
    assert_eq!(fixture.store.resolve(NAME).unwrap(), model.path);
    assert_eq!(fixture.store.added().unwrap(), std::slice::from_ref(&model));
    assert_eq!(fixture.store.verify(NAME, &mut |_| {}, &AtomicBool::new(false)).unwrap(), model.path);
    assert_eq!(fixture.leftovers(), [""; 0]);

    assert_eq!(fixture.store.remove(NAME).unwrap(), 3_000_000);
    assert_eq!(fixture.store.added().unwrap(), []);
    assert!(matches!(fixture.store.resolve(NAME), Err(StoreError::Unknown { .. })));
}

#[test]
fn the_token_goes_to_the_hub_and_not_to_where_it_redirects() {
    let fixture = Fixture::new();
    fixture.hub.require_token(TOKEN);
    fixture.add(REPO).unwrap();
    let requests = fixture.hub.requests();
    assert_eq!(requests.iter().map(|request| request.to_store).collect::<Vec<_>>(), [false, false, true]);
    for request in requests {
        let expected = (!request.to_store).then(|| format!("Bearer {TOKEN}"));
        assert_eq!(request.authorization, expected, "{}", request.path);
    }
    assert!(!format!("{:?}", fixture.store).contains(TOKEN));
}

#[test]
fn a_download_that_is_cut_goes_on_where_it_was() {
    let fixture = Fixture::new();
    for bytes in [1_000_000, 500_000] {
        fixture.hub.enqueue(HubFault::CutAfter(bytes));
    }
    let model = fixture.add(REPO).unwrap();
    assert_eq!(fs::read(model.path).unwrap(), fixture.content);
    assert_eq!(
        fixture.ranges(),
        [None, Some("bytes=1000000-".to_owned()), Some("bytes=1500000-".to_owned())]
    );
}

#[test]
fn a_cancelled_download_is_continued_by_the_next_call() {
    let fixture = Fixture::new();
    fixture.hub.enqueue(HubFault::CutAfter(1_000_000));
    assert!(matches!(fixture.add_and_cancel_after(1_000_000), StoreError::Cancelled { .. }));
    assert_eq!(fs::metadata(fixture.incomplete()).unwrap().len(), 1_000_000);
    assert_eq!(fixture.store.added().unwrap(), []);

    fixture.add(REPO).unwrap();
    assert_eq!(fixture.ranges(), [None, Some("bytes=1000000-".to_owned())]);
    assert_eq!(fixture.leftovers(), [""; 0]);
}

#[test]
fn what_an_interrupted_download_left_can_be_removed() {
    let fixture = Fixture::new();
    fixture.hub.enqueue(HubFault::CutAfter(1_000_000));
    fixture.add_and_cancel_after(1_000_000);
    assert_eq!(fixture.store.remove(NAME).unwrap(), 1_000_000);
    assert_eq!(fixture.leftovers(), [""; 0]);
}

#[test]
fn content_that_changes_between_two_tries_is_fetched_anew() {
    let fixture = Fixture::new();
    fixture.hub.enqueue(HubFault::CutAfter(1_000_000));
    fixture.add_and_cancel_after(1_000_000);
    let mut fresh = fixture.content.clone();
    fresh[2_000_000..].fill(9);
    let sha256 = fixture.hub.put(REPO, FILE, fresh.clone());

    let model = fixture.add(REPO).unwrap();
    assert_eq!(fs::read(&model.path).unwrap(), fresh);
    assert_eq!(model.sha256, sha256);
}

#[test]
fn a_damaged_part_is_fetched_anew() {
    let fixture = Fixture::new();
    fixture.hub.enqueue(HubFault::CutAfter(1_000_000));
    fixture.add_and_cancel_after(1_000_000);
    fs::write(fixture.incomplete(), vec![0; 1_000_000]).unwrap();
    assert_eq!(fs::read(fixture.add(REPO).unwrap().path).unwrap(), fixture.content);
}

#[test]
fn a_part_without_its_tag_is_not_trusted() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.folder.path().join("models")).unwrap();
    fs::write(fixture.incomplete(), vec![0; 1_000_000]).unwrap();
    fixture.add(REPO).unwrap();
    assert_eq!(fixture.ranges(), [None]);
}

#[test]
fn a_part_that_is_longer_than_the_content_is_fetched_anew() {
    let fixture = Fixture::new();
    fixture.hub.enqueue(HubFault::CutAfter(1_000_000));
    fixture.add_and_cancel_after(1_000_000);
    fs::write(fixture.incomplete(), vec![0; 4_000_000]).unwrap();
    assert_eq!(fs::read(fixture.add(REPO).unwrap().path).unwrap(), fixture.content);
}

#[test]
fn a_part_that_is_the_whole_is_not_fetched_again() {
    let fixture = Fixture::new();
    fixture.hub.enqueue(HubFault::CutAfter(1_000_000));
    fixture.add_and_cancel_after(1_000_000);
    fs::write(fixture.incomplete(), &fixture.content).unwrap();
    assert_eq!(fs::read(fixture.add(REPO).unwrap().path).unwrap(), fixture.content);
}

#[test]
fn a_hub_that_ignores_ranges_is_listened_to_from_the_beginning() {
    let fixture = Fixture::new();
    fixture.hub.enqueue(HubFault::CutAfter(1_000_000));
    fixture.hub.enqueue(HubFault::IgnoresRange);
    assert_eq!(fs::read(fixture.add(REPO).unwrap().path).unwrap(), fixture.content);
}

#[test]
fn other_content_is_refused_with_both_hashes_and_not_kept() {
    let fixture = Fixture::new();
    fixture.hub.enqueue(HubFault::OtherContent);
    let error = fixture.add(REPO).unwrap_err();
    assert_eq!(error.code(), "UAT_CORRUPT_VALUE");
    assert_eq!(error.to_string().matches("sha256").count(), 2, "{error}");
    assert_eq!(fixture.leftovers(), [""; 0]);
    assert!(!fixture.model("small-q4_k_m.gguf").exists());
}

#[test]
fn more_content_than_announced_does_not_fill_the_disk() {
    let fixture = Fixture::new();
    fixture.hub.enqueue(HubFault::TooLong);
    let error = fixture.add(REPO).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { got, .. } if got.starts_with("more than")), "{error}");
    assert_eq!(fixture.leftovers(), [""; 0]);
}

#[test]
fn another_hash_than_the_users_is_refused_before_the_content_comes() {
    let fixture = Fixture::new();
    let options = AddOptions { sha256: Some("ab".repeat(32)), ..AddOptions::default() };
    let error = fixture.add_with(REPO, &options).unwrap_err();
    assert_eq!(error.code(), "UAT_CORRUPT_VALUE");
    let options = AddOptions { sha256: Some("abc".to_owned()), ..AddOptions::default() };
    assert!(matches!(fixture.add_with(REPO, &options), Err(StoreError::BadHash { .. })));
}

#[test]
fn a_file_whose_hash_nobody_knows_is_refused_unless_the_user_gives_it() {
    let fixture = Fixture::new();
    let content = GgufFile::llama().bytes();
    fixture.hub.put_small("org/tiny", "tiny.gguf", content.clone());
    let error = fixture.add("org/tiny").unwrap_err();
    assert_eq!(error.code(), "UAT_INVALID_INPUT");
    assert!(error.to_string().contains("--sha256"), "{error}");

    let sha256 = fixture.hub.put("org/elsewhere", "tiny.gguf", content);
    let options = AddOptions { sha256: Some(sha256.to_uppercase()), ..AddOptions::default() };
    assert_eq!(fixture.add_with("org/tiny", &options).unwrap().sha256, sha256);
}

#[test]
fn a_busy_hub_is_asked_again_and_a_long_pause_is_not_waited_for() {
    let fixture = Fixture::new();
    let busy = |code, seconds: &str| HubFault::Status {
        code,
        headers: vec![("retry-after".to_owned(), seconds.to_owned())],
    };
    for fault in [busy(429, "0"), busy(503, "0"), busy(429, "0")] {
        fixture.hub.enqueue(fault);
    }
    fixture.add(REPO).unwrap();
    fixture.store.remove(NAME).unwrap();

    fixture.hub.enqueue(busy(429, "3600"));
    let error = fixture.add(REPO).unwrap_err();
    assert!(error.retryable() && error.to_string().contains("3600 s"), "{error}");
}

#[test]
fn a_hub_that_stays_broken_is_given_up_after_five_tries() {
    let fixture = Fixture::new();
    for _ in 0..5 {
        fixture.hub.enqueue(HubFault::Status { code: 502, headers: Vec::new() });
    }
    let error = fixture.add(REPO).unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("UAT_STORAGE", true));
    assert!(error.to_string().contains("5 attempts") && error.to_string().contains("502"), "{error}");
}

#[test]
fn a_gated_repository_says_what_to_do() {
    let fixture = Fixture::new();
    fixture.hub.require_token("another");
    let error = fixture.add(REPO).unwrap_err();
    assert_eq!(error.code(), "UAT_UNAUTHORIZED");
    let text = error.to_string();
    assert!(text.contains("accept its conditions") && text.contains(REPO) && !text.contains(TOKEN), "{text}");
}

#[test]
fn what_the_hub_does_not_have_is_said() {
    let fixture = Fixture::new();
    for reference in ["org/nothing", "org/small-GGUF:other.gguf"] {
        let error = fixture.add(reference).unwrap_err();
        assert_eq!(error.code(), "UAT_MODEL_NOT_FOUND", "{error}");
    }
    fixture.hub.put(REPO, "b/small-f16.gguf", Vec::new());
    let error = fixture.add("org/small-GGUF:Q2_K").unwrap_err();
    assert!(error.to_string().contains(FILE) && error.to_string().contains("b/small-f16.gguf"), "{error}");
}

#[test]
fn a_redirect_to_nowhere_is_no_answer() {
    let fixture = Fixture::new();
    for _ in 0..5 {
        fixture.hub.enqueue(HubFault::RedirectTo("ftp://example".to_owned()));
    }
    assert_eq!(fixture.add(REPO).unwrap_err().code(), "UAT_STORAGE");
}

#[test]
fn a_file_of_the_hub_that_is_no_model_is_not_added() {
    let fixture = Fixture::new();
    fixture.hub.put("org/wrong", "wrong.gguf", b"PK a zip file".to_vec());
    let error = fixture.add("org/wrong").unwrap_err();
    assert_eq!(error.code(), "UAT_CORRUPT_VALUE");
    assert!(!fixture.model("wrong.gguf").exists());
    assert_eq!(fixture.store.added().unwrap(), []);

    fixture.hub.put("org/split", "m-00001-of-00002.gguf", Vec::new());
    let error = fixture.add("org/split").unwrap_err();
    assert_eq!(error.code(), "UAT_UNSUPPORTED");
}

#[test]
fn two_at_once_download_once() {
    let fixture = Fixture::new();
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| fixture.add(REPO))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().any(|result| matches!(result, Err(StoreError::NameTaken { .. }))));
    assert_eq!(fixture.ranges().len(), 1);
}

#[test]
fn a_model_of_the_catalogue_may_come_from_the_hub() {
    let fixture = Fixture::new();
    let sha256: &'static str =
        Box::leak(fixture.hub.put(REPO, FILE, fixture.content.clone()).into_boxed_str());
    let entry = CatalogueEntry {
        name: "known",
        what: "a model for tests",
        purpose: Purpose::Chat,
        licence: "MIT",
        file_name: "known.gguf",
        size: 3_000_000,
        sha256,
        sources: &[Source::Hub { repo: REPO, revision: "c0ffee", path: FILE }],
        needs: &[],
    };
    let store = fixture.store.clone().with_catalogue(Box::leak(Box::new([entry])));
    fixture.hub.enqueue(HubFault::CutAfter(10));
    let mut attempts = Vec::new();
    let mut progress = |progress: Progress| attempts.push(progress.phase);
    let path = store.pull("known", &mut progress, &AtomicBool::new(false)).unwrap();
    assert_eq!(fs::read(path).unwrap(), fixture.content);
    assert!(attempts.contains(&Phase::Downloading { attempt: 2 }));
    assert_eq!(store.list()[0].state, ModelState::Present { bytes: 3_000_000 });
}
