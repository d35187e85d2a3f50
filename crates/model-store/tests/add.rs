//! Models that the user adds from files.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use model_store::{AddOptions, AddedModel, ModelState, ModelStore, StoreError};
use tempfile::TempDir;
use testkit::GgufFile;

struct Fixture {
    folder: TempDir,
    store: ModelStore,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = ModelStore::at(folder.path().join("models"));
        Self { folder, store }
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, GgufFile::llama().text("general.basename", name).bytes()).unwrap();
        path
    }

    fn add(&self, file: &Path, options: &AddOptions) -> Result<AddedModel, StoreError> {
        self.store.add_file(file, options, &mut |_| {}, &AtomicBool::new(false))
    }

    fn named(name: &str) -> AddOptions {
        AddOptions { name: Some(name.to_owned()), ..AddOptions::default() }
    }
}

#[test]
fn a_file_is_added_where_it_lies_and_stays_when_it_is_removed() {
    let fixture = Fixture::new();
    let file = fixture.file("My-Model.gguf");
    let model = fixture.add(&file, &AddOptions::default()).unwrap();
    assert_eq!((model.name.as_str(), model.owned, &model.path), ("my-model", false, &file));
    assert_eq!(model.state(), ModelState::Present { bytes: fs::metadata(&file).unwrap().len() });
    assert_eq!(fixture.store.resolve("my-model").unwrap(), file);

    assert_eq!(fixture.store.remove("my-model").unwrap(), 0);
    assert!(file.exists() && fixture.store.added().unwrap().is_empty());
}

#[test]
fn a_copy_belongs_to_the_store() {
    let fixture = Fixture::new();
    let file = fixture.file("a.gguf");
    let model = fixture.add(&file, &AddOptions { copy: true, ..Fixture::named("mine") }).unwrap();
    assert_eq!((model.owned, model.path.file_name()), (true, Some("mine.gguf".as_ref())));
    fs::remove_file(file).unwrap();
    assert_eq!(fixture.store.resolve("mine").unwrap(), model.path);
    assert_eq!(fixture.store.remove("mine").unwrap(), model.bytes);
    assert!(!model.path.exists());
}

#[test]
fn a_name_is_given_once() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.file("one.gguf"), fixture.file("other.gguf"));
    fixture.add(&one, &Fixture::named("m")).unwrap();
    let error = fixture.add(&other, &Fixture::named("m")).unwrap_err();
    assert_eq!(error.code(), "UAT_CONFLICT");
    assert_eq!(fixture.store.resolve("m").unwrap(), one);

    let error = fixture.add(&other, &Fixture::named("smollm2-135m")).unwrap_err();
    assert_eq!(error.code(), "UAT_CONFLICT", "the catalogue's names are taken");
    let error = fixture.add(&other, &Fixture::named("a/b")).unwrap_err();
    assert_eq!(error.code(), "UAT_INVALID_INPUT");
}

#[test]
fn a_model_whose_file_has_changed_or_gone_says_so_and_can_be_added_again() {
    let fixture = Fixture::new();
    let file = fixture.file("m.gguf");
    fixture.add(&file, &AddOptions::default()).unwrap();
    fs::write(&file, "something else").unwrap();
    let error = fixture.store.resolve("m").unwrap_err();
    assert_eq!(error.code(), "UAT_CORRUPT_VALUE");
    assert!(error.to_string().contains("m.gguf"), "{error}");

    fs::remove_file(&file).unwrap();
    assert!(matches!(fixture.store.resolve("m"), Err(StoreError::NoSuchFile { .. })));
    let other = fixture.file("another model.gguf");
    fixture.add(&other, &Fixture::named("m")).unwrap();
    assert_eq!(fixture.store.resolve("m").unwrap(), other);
}

#[test]
fn a_changed_content_of_the_same_size_is_seen_when_it_is_verified() {
    let fixture = Fixture::new();
    let file = fixture.file("m.gguf");
    fixture.add(&file, &AddOptions::default()).unwrap();
    let mut content = fs::read(&file).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(&file, content).unwrap();
    let verified = fixture.store.verify("m", &mut |_| {}, &AtomicBool::new(false));
    assert!(matches!(verified, Err(StoreError::Corrupt { .. })), "{verified:?}");
}

#[test]
fn what_is_no_model_is_refused_with_its_reason() {
    let fixture = Fixture::new();
    let file = fixture.file("m.gguf");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let error = fixture.add(&file, &AddOptions::default()).unwrap_err();
    assert_eq!(error.code(), "UAT_CORRUPT_VALUE");
    assert!(error.to_string().contains("truncated"), "{error}");
    let error = fixture.add(Path::new("/no/such.gguf"), &AddOptions::default()).unwrap_err();
    assert_eq!(error.code(), "UAT_MODEL_NOT_FOUND");
}

#[test]
fn another_hash_than_the_users_is_refused() {
    let fixture = Fixture::new();
    let options = AddOptions { sha256: Some("ab".repeat(32)), ..AddOptions::default() };
    let error = fixture.add(&fixture.file("m.gguf"), &options).unwrap_err();
    assert_eq!(error.code(), "UAT_CORRUPT_VALUE");
    assert!(fixture.store.added().unwrap().is_empty());
}

#[test]
fn an_unreadable_list_is_an_error_and_is_not_overwritten() {
    let fixture = Fixture::new();
    let file = fixture.file("m.gguf");
    let list = fixture.folder.path().join("models/models.json");
    fs::create_dir_all(list.parent().unwrap()).unwrap();
    for text in ["no json", r#"{"version": 2, "models": []}"#] {
        fs::write(&list, text).unwrap();
        let error = fixture.add(&file, &AddOptions::default()).unwrap_err();
        assert_eq!(error.code(), "UAT_CORRUPT_VALUE");
        assert!(error.to_string().contains("models.json"), "{error}");
        assert_eq!(fs::read_to_string(&list).unwrap(), text);
    }
}

#[test]
fn many_models_added_at_once_are_all_there() {
    let fixture = Fixture::new();
    let files: Vec<PathBuf> = (0..8).map(|number| fixture.file(&format!("m{number}.gguf"))).collect();
    std::thread::scope(|scope| {
        for file in &files {
            scope.spawn(|| fixture.add(file, &AddOptions::default()).unwrap());
        }
    });
    assert_eq!(fixture.store.added().unwrap().len(), 8);
}

#[test]
fn a_wrong_name_is_answered_with_that_of_an_added_model() {
    let fixture = Fixture::new();
    fixture.add(&fixture.file("mistral.gguf"), &AddOptions::default()).unwrap();
    let error = fixture.store.resolve("mistal").unwrap_err();
    assert!(error.to_string().contains("did you mean mistral?"), "{error}");
}
