//! How a model on the hub is named, and which of a repository's files is meant.

use std::fmt;
use std::str::FromStr;

use crate::StoreError;

/// What is taken where nothing is asked for: small enough for most machines, and the loss is hardly noticed.
const USUAL_QUANTIZATION: &str = "Q4_K_M";

/// A model on the Hugging Face hub: `ORG/REPO`, `ORG/REPO:FILE.gguf` or `ORG/REPO:QUANTIZATION`; `@REVISION` may follow
/// the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// `ORG/REPO`.
    pub repo: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// Which of its files.
    pub wanted: HubFile,
}

/// Which file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubFile {
    /// The only one, or that of the usual quantization, `Q4_K_M`.
    Usual,
    /// The one with this quantization in its name, in any case.
    Quantization(String),
    /// The one at this path.
    Path(String),
}

impl FromStr for HubModel {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let refused = || StoreError::BadReference { text: text.to_owned() };
        let (place, wanted) = text.split_once(':').map_or((text, None), |(place, file)| (place, Some(file)));
        let (repo, revision) = place.split_once('@').unwrap_or((place, "main"));
        let is_name = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let parts: Vec<&str> = repo.split('/').collect();
        let is_repo = parts.len() == 2 && parts.iter().all(|part| is_name(part));
        if !is_repo || !revision.split('/').all(is_name) {
            return Err(refused());
        }
        let wanted = match wanted {
            None => HubFile::Usual,
            Some(path) if is_gguf(path) && path.split('/').all(|part| !matches!(part, "" | "." | "..")) => {
                HubFile::Path(path.to_owned())
            }
            Some(quantization) if is_name(quantization) && !is_gguf(quantization) => {
                HubFile::Quantization(quantization.to_owned())
            }
            Some(_) => return Err(refused()),
        };
        Ok(Self { repo: repo.to_owned(), revision: revision.to_owned(), wanted })
    }
}

impl fmt::Display for HubModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.repo)?;
        if self.revision != "main" {
            write!(formatter, "@{}", self.revision)?;
        }
        match &self.wanted {
            HubFile::Usual => Ok(()),
            HubFile::Quantization(wanted) | HubFile::Path(wanted) => write!(formatter, ":{wanted}"),
        }
    }
}

impl HubModel {
    /// The one file among those of the repository that is meant.
    ///
    /// # Errors
    /// [`StoreError::NotOnHub`] if there is no model file at all, [`StoreError::Choose`] with the model files if it is not
    /// clear which one.
    pub(crate) fn choose(&self, files: &[String]) -> Result<String, StoreError> {
        // A projector of images comes beside a model and is none.
        let is_model = |path: &&String| is_gguf(path) && !file_name(path).starts_with("mmproj");
        let models: Vec<&String> = files.iter().filter(is_model).collect();
        if models.is_empty() {
            return Err(StoreError::NotOnHub { what: format!("a .gguf file in {}", self.repo) });
        }
        let wanted = match &self.wanted {
            HubFile::Path(path) => path,
            HubFile::Quantization(wanted) => wanted,
            HubFile::Usual => USUAL_QUANTIZATION,
        };
        let mut fitting = models.iter().filter(|path| ***path == wanted || names(path, wanted));
        match (fitting.next(), fitting.next(), models.as_slice()) {
            (Some(only), None, _) => Ok((*only).clone()),
            (None, _, [only]) if self.wanted == HubFile::Usual => Ok((*only).clone()),
            _ => Err(StoreError::Choose {
                repo: self.repo.clone(),
                wanted: wanted.to_owned(),
                files: models.into_iter().cloned().collect(),
            }),
        }
    }
}

/// Whether `word` stands in the file's name between separators: `Q4_K` is not `Q4_K_M`.
fn names(path: &str, word: &str) -> bool {
    let name = file_name(path).to_ascii_lowercase();
    let word = word.to_ascii_lowercase();
    let name = name.strip_suffix(".gguf").unwrap_or(&name);
    let is_border = |byte: Option<u8>| byte.is_none_or(|byte| matches!(byte, b'-' | b'.'));
    name.match_indices(&word).any(|(at, _)| {
        let before = at.checked_sub(1).map(|at| name.as_bytes()[at]);
        is_border(before) && is_border(name.as_bytes().get(at + word.len()).copied())
    })
}

/// How many files a model has whose file is a part of it: `NAME-00001-of-00003.gguf`.
pub(crate) fn parts(path: &str) -> Option<u64> {
    let stem = path.strip_suffix(".gguf")?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (_, part) = rest.rsplit_once('-')?;
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(part) && is_number(count)).then(|| count.parse().ok()).flatten().filter(|count| *count > 1)
}

pub(crate) fn is_gguf(path: &str) -> bool {
    path.len() > 5 && path.to_ascii_lowercase().ends_with(".gguf")
}

pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, repo: &str, revision: &str, wanted: HubFile) {
        let model: HubModel = text.parse().unwrap();
        assert_eq!((model.repo.as_str(), model.revision.as_str()), (repo, revision), "{text}");
        assert_eq!(model.wanted, wanted, "{text}");
        assert_eq!(model.to_string(), text);
    }

    #[test]
    fn a_reference_names_a_repository_and_perhaps_more() {
        check("org/repo", "org/repo", "main", HubFile::Usual);
        check("org/repo@v1:Q8_0", "org/repo", "v1", HubFile::Quantization("Q8_0".to_owned()));
        check("org/r.2-GGUF:a/b.gguf", "org/r.2-GGUF", "main", HubFile::Path("a/b.gguf".to_owned()));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "repo",
            "a/b/c",
            "../b",
            "a/..",
            "a/b:",
            "a/b:../c.gguf",
            "a/b:/c.gguf",
            "a/b@",
            "a/b@x y",
            "a b/c",
            "a/b?x",
            "",
        ] {
            let error = text.parse::<HubModel>().unwrap_err();
            assert_eq!(error.code(), "UAT_INVALID_INPUT", "{text}");
        }
    }

    fn choose(text: &str, files: &[&str]) -> Result<String, StoreError> {
        let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
        text.parse::<HubModel>().unwrap().choose(&files)
    }

    const FILES: &[&str] = &["README.md", "m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m.q8_0.gguf", "mmproj-f16.gguf"];

    #[test]
    fn the_usual_quantization_or_the_one_asked_for_is_chosen() {
        assert_eq!(choose("a/b", FILES).unwrap(), "m-Q4_K_M.gguf");
        assert_eq!(choose("a/b:q8_0", FILES).unwrap(), "m.q8_0.gguf");
        assert_eq!(choose("a/b:m-Q4_K_S.gguf", FILES).unwrap(), "m-Q4_K_S.gguf");
        assert_eq!(choose("a/b", &["only-f16.gguf", "x.bin"]).unwrap(), "only-f16.gguf");
    }

    #[test]
    fn what_is_not_clear_is_answered_with_the_files() {
        for (text, files) in [
            ("a/b:Q4_K", FILES),
            ("a/b:Q2_K", FILES),
            ("a/b:other.gguf", FILES),
            ("a/b", &["a-f16.gguf", "b-f16.gguf"]),
            ("a/b", &["x/m-Q4_K_M.gguf", "y/m-Q4_K_M.gguf"]),
        ] {
            let error = choose(text, files).unwrap_err();
            assert_eq!(error.code(), "UAT_INVALID_INPUT", "{text}");
            assert!(error.to_string().contains(".gguf"), "{error}");
        }
        assert_eq!(choose("a/b", &["model.safetensors"]).unwrap_err().code(), "UAT_MODEL_NOT_FOUND");
    }

    #[test]
    fn a_part_of_a_split_model_is_seen_by_its_name() {
        assert_eq!(parts("a/m-00001-of-00003.gguf"), Some(3));
        assert_eq!(parts("m-00001-of-00001.gguf"), None);
        assert_eq!(parts("m-1-of-3.gguf"), None);
    }
}
