//! What a model of quality is learned from: prompts, and how well models answered them.

use std::collections::HashMap;
use std::io::Read;

use super::PromptFeatures;
use super::features::option_of;

/// The longest prompt that is read, in bytes: a longer field is a quote that was never closed.
const LONGEST: usize = 16 * 1024 * 1024;

/// Rows of prompts with the scores of models.
#[derive(Debug, Clone, Default)]
pub struct Examples {
    /// The models, in the order of [`Example::scores`].
    pub models: Vec<String>,
    /// One for each prompt.
    pub rows: Vec<Example>,
}

/// One prompt and what came of it.
#[derive(Debug, Clone)]
pub struct Example {
    /// What is known of the prompt.
    pub features: PromptFeatures,
    /// For each model how good its answer was, 0 to 1; none where it was not asked.
    pub scores: Vec<Option<f64>>,
    /// How much this row counts; see [`fade`].
    pub weight: f64,
    /// The subject it belongs to, where known: by number of its name in [`Table::subjects`].
    pub subject: Option<usize>,
}

/// The weight of what was learned `age_s` seconds ago, where every `half_life_s` seconds halve it: models change
/// behind their names, and what users ask changes.
pub fn fade(age_s: f64, half_life_s: f64) -> f64 {
    (-age_s.max(0.0) / half_life_s.max(1.0)).exp2()
}

impl Examples {
    /// Puts recorded feedback together: each is (features of the prompt, model, score 0 to 1, age in seconds).
    pub fn from_feedback<'a>(
        rows: impl IntoIterator<Item = (PromptFeatures, &'a str, f64, f64)>,
        half_life_s: f64,
    ) -> Self {
        let mut examples = Self::default();
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut columns = Vec::new();
        for (features, model, score, age) in rows {
            let column = *known.entry(model).or_insert_with(|| {
                examples.models.push(model.to_owned());
                examples.models.len() - 1
            });
            columns.push((column, score.clamp(0.0, 1.0)));
            let weight = fade(age, half_life_s);
            examples.rows.push(Example { features, scores: Vec::new(), weight, subject: None });
        }
        for (row, (column, score)) in examples.rows.iter_mut().zip(columns) {
            row.scores = vec![None; examples.models.len()];
            if let Some(place) = row.scores.get_mut(column) {
                *place = Some(score);
            }
        }
        examples
    }
}

/// A table of prompts with a column of scores for each model.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// The names of the columns that hold scores, without a suffix like `_correct` that all of them have.
    pub models: Vec<String>,
    /// The prompts.
    pub prompts: Vec<String>,
    /// For each prompt the score of each model; none where the field is empty.
    pub scores: Vec<Vec<Option<f64>>>,
    /// The names of subjects, in the order of their first row; empty without a column `subject`.
    pub subjects: Vec<String>,
    /// For each prompt its place in `subjects`; empty without a column `subject`.
    pub subject_of: Vec<usize>,
}

/// Why a table could not be read. Lines and columns are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The header does not name what is needed.
    #[error("line 1: {0}")]
    Header(String),
    /// A field holds something else.
    #[error("line {line}, column {column} (`{name}`): expected {expected}, got `{got}`; {hint}")]
    Field {
        /// Where the row begins.
        line: u64,
        /// Which field it is.
        column: usize,
        /// What the header calls it.
        name: String,
        /// What should stand there.
        expected: &'static str,
        /// What stands there, shortened.
        got: String,
        /// What to try.
        hint: &'static str,
    },
    /// It is no CSV.
    #[error("line {line}: {reason}")]
    Malformed {
        /// Where the row begins.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nothing after the header.
    #[error("the table has a header and no rows: expected one row for each prompt")]
    Empty,
    /// The source could not be read.
    #[error("reading failed: {0}")]
    Io(#[source] std::io::Error),
}

impl TableError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "UAT_IO",
            _ => "UAT_INVALID_INPUT",
        }
    }
}

const HINT_SCORE: &str = "write a score from 0 to 1, or leave the field empty where the model was not asked";

impl Table {
    /// Reads a CSV with a header: `prompt`, one column of scores (0 to 1) for each model, and perhaps `subject`.
    pub fn read(source: impl Read) -> Result<Self, TableError> {
        let mut reader = csv::ReaderBuilder::new().from_reader(source);
        let header = reader.headers().map_err(malformed)?.clone();
        let names: Vec<&str> = header.iter().map(|name| name.trim_start_matches('\u{feff}').trim()).collect();
        let place = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let list = || names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let prompt = place("prompt").ok_or_else(|| {
            TableError::Header(format!(
                "expected a column `prompt`, got {}; name the column of prompts so",
                list()
            ))
        })?;
        let subject = place("subject");
        let scores: Vec<usize> = (0..names.len()).filter(|&i| i != prompt && Some(i) != subject).collect();
        if scores.len() < 2 {
            return Err(TableError::Header(format!(
                "expected the scores of two models or more beside `prompt` and `subject`, got {}; add a column of \
                 scores from 0 to 1 for each model",
                list()
            )));
        }
        let columns: Vec<&str> = scores.iter().filter_map(|&i| names.get(i).copied()).collect();
        let mut table = Self { models: without_suffix(&columns), ..Self::default() };
        for (i, model) in table.models.iter().enumerate() {
            if model.is_empty() || table.models.iter().take(i).any(|other| other == model) {
                return Err(TableError::Header(format!(
                    "expected a name of its own for each column of scores, got {}; name each after its model",
                    list()
                )));
            }
        }
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(malformed)? {
            let line = record.position().map_or(0, csv::Position::line);
            let field = |i: usize| record.get(i).unwrap_or_default();
            let wrong = |i: usize, expected, hint| TableError::Field {
                line,
                column: i + 1,
                name: names.get(i).copied().unwrap_or_default().to_owned(),
                expected,
                got: shortened(field(i)),
                hint,
            };
            let text = field(prompt);
            if text.trim().is_empty() {
                return Err(wrong(prompt, "a prompt", "remove the row"));
            }
            if text.len() > LONGEST {
                return Err(wrong(
                    prompt,
                    "a prompt of at most 16 MiB",
                    "look for a quote that is not closed",
                ));
            }
            let mut row = Vec::with_capacity(scores.len());
            for &i in &scores {
                row.push(match field(i).trim() {
                    "" => None,
                    text => match text.parse::<f64>() {
                        Ok(score) if (0.0..=1.0).contains(&score) => Some(score),
                        _ => return Err(wrong(i, "a score from 0 to 1", HINT_SCORE)),
                    },
                });
            }
            if let Some(i) = subject {
                let name = field(i).trim();
                let next = table.subjects.len();
                let number = *known.entry(name.to_owned()).or_insert(next);
                if number == next {
                    table.subjects.push(name.to_owned());
                }
                table.subject_of.push(number);
            }
            table.prompts.push(text.to_owned());
            table.scores.push(row);
        }
        if table.prompts.is_empty() { Err(TableError::Empty) } else { Ok(table) }
    }

    /// Takes the options of multiple-choice questions out of the prompts, to measure what is learned without them.
    pub fn without_options(&mut self) {
        for prompt in &mut self.prompts {
            let kept: Vec<&str> = prompt.lines().filter(|line| option_of(line).is_none()).collect();
            *prompt = kept.join("\n");
        }
    }

    /// Deals the rows' scores out at random: what is learned then is chance.
    pub fn shuffle_scores(&mut self, seed: u64) {
        fastrand::Rng::with_seed(seed).shuffle(&mut self.scores);
    }

    /// The rows as examples. `embeddings`, where given, holds one for each prompt.
    pub fn examples(&self, embeddings: Option<&[Vec<f32>]>) -> Examples {
        let rows = self
            .prompts
            .iter()
            .zip(&self.scores)
            .enumerate()
            .map(|(i, (prompt, scores))| Example {
                features: PromptFeatures::of(
                    prompt,
                    embeddings.and_then(|all| all.get(i)).map(Vec::as_slice),
                ),
                scores: scores.clone(),
                weight: 1.0,
                subject: self.subject_of.get(i).copied(),
            })
            .collect();
        Examples { models: self.models.clone(), rows }
    }
}

fn malformed(error: csv::Error) -> TableError {
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
            "expected {expected_len} columns as in the header, got {len}; quote prompts that contain commas or quotes"
        ),
        csv::ErrorKind::Utf8 { err, .. } => {
            format!("expected UTF-8, got other bytes in column {}; convert the file", err.field() + 1)
        }
        _ => error.to_string(),
    };
    match error.into_kind() {
        csv::ErrorKind::Io(error) => TableError::Io(error),
        _ => TableError::Malformed { line, reason },
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", text.split_at(end).0),
        None => text.to_owned(),
    }
}

/// `weak_correct`, `strong_correct` are the models `weak`, `strong`.
fn without_suffix(names: &[&str]) -> Vec<String> {
    let suffix = ["_correct", "_score", "_quality"]
        .into_iter()
        .find(|suffix| names.iter().all(|name| name.len() > suffix.len() && name.ends_with(suffix)));
    names.iter().map(|name| suffix.and_then(|s| name.strip_suffix(s)).unwrap_or(name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(csv: &str) -> String {
        Table::read(csv.as_bytes()).expect_err("it is wrong").to_string()
    }

    #[test]
    fn columns_of_scores_are_models() {
        let csv = "subject,prompt,weak_correct,strong_correct\nlaw,\"Why, then?\",0,1\nart,Who?,,0.5\n";
        let table = Table::read(csv.as_bytes()).expect("a table");
        assert_eq!(table.models, ["weak", "strong"]);
        assert_eq!(table.subjects, ["law", "art"]);
        assert_eq!(table.scores, [vec![Some(0.0), Some(1.0)], vec![None, Some(0.5)]]);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line_and_column() {
        assert_eq!(
            complaint("prompt,a,b\nHello,0,1\n\"Two\nlines\",0,yes\n"),
            "line 3, column 3 (`b`): expected a score from 0 to 1, got `yes`; write a score from 0 to 1, or leave \
             the field empty where the model was not asked"
        );
        assert!(complaint("prompt,a,b\nHello,0,1.5\n").contains("line 2, column 3"));
        assert!(complaint("prompt,a,b\nHello,NaN,1\n").contains("got `NaN`"));
        assert!(complaint("prompt,a,b\n ,0,1\n").contains("expected a prompt"));
    }

    #[test]
    fn wrong_columns_are_named() {
        assert!(
            complaint("text,a,b\nHello,0,1\n").contains("expected a column `prompt`, got `text`, `a`, `b`")
        );
        assert!(complaint("prompt,a\nHello,0\n").contains("two models or more"));
        assert!(complaint("prompt,a,a\nHello,0,1\n").contains("a name of its own"));
        assert!(complaint("prompt,a,b\nHello, you,0,1\n").contains("line 2: expected 3 columns"));
        assert!(complaint("prompt,a,b\n").contains("no rows"));
    }

    #[test]
    fn feedback_fades_with_its_age() {
        let features = PromptFeatures::of("Hello", None);
        let rows = [(features.clone(), "a", 1.0, 0.0), (features, "b", 0.0, 100.0)];
        let examples = Examples::from_feedback(rows, 100.0);
        assert_eq!(examples.models, ["a", "b"]);
        assert_eq!(examples.rows[1].scores, [None, Some(0.0)]);
        assert_eq!((examples.rows[0].weight, examples.rows[1].weight), (1.0, 0.5));
    }
}
