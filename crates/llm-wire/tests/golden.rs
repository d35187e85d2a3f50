//! Golden translations: what lies in `tests/golden/DIALECT/TRANSLATION/NAME.in.EXT` becomes `NAME.out.EXT` beside it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p llm-wire --test golden` writes the answers anew; read the difference before it is
//! committed. A new dialect is a line in [`DIALECTS`] and a module in `golden/`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};

use llm_wire::{Translated, WireError};
use serde_json::{Value, json};

#[path = "golden/anthropic.rs"]
mod anthropic;
#[path = "golden/gemini.rs"]
mod gemini;
#[path = "golden/generate.rs"]
mod generate;
#[path = "golden/responses.rs"]
mod responses;

/// A translation under the name of its folder.
type Translation = (&'static str, fn(&[u8]) -> String);

/// Folder, translations.
const DIALECTS: [(&str, &[Translation]); 4] = [
    ("anthropic", anthropic::TRANSLATIONS),
    ("gemini", gemini::TRANSLATIONS),
    ("generate", generate::TRANSLATIONS),
    ("responses", responses::TRANSLATIONS),
];

#[test]
fn every_translation_says_what_its_golden_file_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let rewrite = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for (dialect, translations) in DIALECTS {
        for (name, translate) in translations {
            let folder = root.join(dialect).join(name);
            let cases = cases(&folder);
            assert!(!cases.is_empty(), "{} has no cases", folder.display());
            for case in cases {
                let output = translate(&fs::read(&case).unwrap());
                let golden = case.with_file_name(file_name(&case).replacen(".in.", ".out.", 1));
                if rewrite {
                    fs::write(&golden, output).unwrap();
                } else if fs::read_to_string(&golden).unwrap_or_default() != output {
                    wrong.push(format!("{}:\n{output}", golden.strip_prefix(&root).unwrap().display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "not as their golden files say:\n\n{}", wrong.join("\n\n"));
}

#[test]
fn every_golden_file_belongs_to_a_translation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (dialect, translations) in DIALECTS {
        for folder in fs::read_dir(root.join(dialect)).unwrap() {
            let folder = folder.unwrap().path();
            assert!(
                translations.iter().any(|(name, _)| *name == file_name(&folder)),
                "nothing translates {}",
                folder.display()
            );
            for file in fs::read_dir(&folder).unwrap() {
                let file = file.unwrap().path();
                let source = file.with_file_name(file_name(&file).replacen(".out.", ".in.", 1));
                assert!(source.exists(), "{} is the answer to nothing", file.display());
            }
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut cases: Vec<PathBuf> =
        files.map(|file| file.unwrap().path()).filter(|path| file_name(path).contains(".in.")).collect();
    cases.sort();
    cases
}

/// A document in the form in which people read it.
fn pretty(document: &Value) -> String {
    format!("{document:#}\n")
}

/// A whole document, or why there is none.
fn document(result: Result<impl AsRef<[u8]>, WireError>) -> String {
    match result {
        Ok(bytes) => pretty(&serde_json::from_slice(bytes.as_ref()).unwrap()),
        Err(error) => refused(&error),
    }
}

fn refused(error: &WireError) -> String {
    pretty(&json!({ "refused": error.to_string() }))
}

/// A request in another dialect, with what it left out.
fn translated(result: Result<Translated, WireError>) -> String {
    match result {
        Ok(Translated { body, dropped }) => {
            let body: Value = serde_json::from_slice(&body).unwrap();
            pretty(&json!({ "dropped": dropped, "body": body }))
        }
        Err(error) => refused(&error),
    }
}
