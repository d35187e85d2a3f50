//! What several answers to one question say in the end, and how many say the same: self-consistency (Wang et al.,
//! <https://arxiv.org/abs/2203.11171>).

use std::collections::HashMap;

use serde_json::Value;

/// The largest group of answers that say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// The first of the group.
    pub index: usize,
    /// How many it has.
    pub answers: usize,
}

/// The largest group; of equal ones that with the earliest answer. An answer that is missing or says nothing is in no group. `None`:
/// there is none.
pub fn agreement<T: AsRef<str>>(answers: &[Option<T>]) -> Option<Agreement> {
    let mut groups: HashMap<String, Agreement> = HashMap::new();
    for (index, answer) in answers.iter().enumerate() {
        let said = answer.as_ref().map(|answer| in_the_end(answer.as_ref())).unwrap_or_default();
        if !said.is_empty() {
            groups.entry(said).or_insert(Agreement { index, answers: 0 }).answers += 1;
        }
    }
    groups.into_values().min_by_key(|group| (std::cmp::Reverse(group.answers), group.index))
}

/// What an answer says in the end, comparable: a JSON document without its spelling; of the last line the option that it names or its
/// last number; else the whole text without case, white space and ornaments.
fn in_the_end(text: &str) -> String {
    let text = text.trim();
    if text.starts_with(['{', '['])
        && let Ok(mut document) = serde_json::from_str::<Value>(text)
    {
        document.sort_all_objects();
        return document.to_string();
    }
    let last = text.lines().rev().map(bare).find(|line| !line.is_empty()).unwrap_or_default();
    option(last).or_else(|| number(last)).unwrap_or_else(|| plain(text))
}

/// Without what stands around a word: quotes, brackets, stops, Markdown's marks.
fn bare(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || "*_`\"'“”‘’#.,;:!?()[]{}<>$\\".contains(c))
}

/// `B` of `The answer is (B).`, `**B**`, `B) Paris`: a letter in brackets, the last one, or one that stands first or last in the line.
fn option(line: &str) -> Option<String> {
    let letter = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().filter(char::is_ascii_uppercase)?;
        letters.next().is_none().then(|| first.to_string())
    };
    // `bare` has taken the brackets at the ends.
    let bracketed = line.split('(').skip(1).filter_map(|rest| letter(rest.split(')').next()?)).last();
    let first = || line.split_once([')', '.', ':']).and_then(|(word, _)| letter(bare(word)));
    let last = || line.split_whitespace().next_back().and_then(|word| letter(bare(word)));
    bracketed.or_else(last).or_else(first)
}

/// The last number of the line, without the marks that part its thousands and without zeros that say nothing.
fn number(line: &str) -> Option<String> {
    let end = line.rfind(|c: char| c.is_ascii_digit())? + 1;
    let head = line.get(..end)?;
    let start = head
        .rfind(|c: char| !(c.is_ascii_digit() || c == '.' || c == ','))
        .map_or(0, |at| at + head.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
    let digits = head.get(start..)?.trim_start_matches(['.', ',']);
    // A minus that joins two words or numbers is none.
    let before = head.get(..start)?;
    let is_negative = before.ends_with(['-', '−'])
        && before.trim_end_matches(['-', '−']).chars().next_back().is_none_or(|c| !c.is_alphanumeric());
    let digits = digits.replace(',', "");
    let (whole, part) = digits.split_once('.').unwrap_or((&digits, ""));
    // A second point makes it a version or a date.
    if part.contains('.') {
        return Some(digits);
    }
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if is_negative && (whole != "0" || !part.is_empty()) { "-" } else { "" };
    Some(if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") })
}

fn plain(text: &str) -> String {
    let words = text.split_whitespace().map(bare).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn same(answers: &[&str]) {
        let said: Vec<String> = answers.iter().map(|answer| in_the_end(answer)).collect();
        assert!(said.iter().all(|one| *one == said[0] && !one.is_empty()), "{said:?}");
    }

    #[test]
    fn answers_that_say_the_same_in_the_end_agree() {
        same(&["Paris", " **paris**.", "\"Paris\"\n"]);
        same(&[
            "42",
            "The answer is 42.",
            "6 * 7 = 42",
            "First 40, then 2.\n\n#### 42.00",
            "\\boxed{42}",
            "$42",
        ]);
        same(&["1,234.50 USD", "1234.5"]);
        same(&["-3", "x = -3", "it is −3"]);
        same(&["B", "(B)", "The answer is B.", "**B**", "B) Paris", "B. Paris", "So it is (B), not (c)."]);
        same(&[r#"{"a":1,"b":[2]}"#, "{ \"b\": [2], \"a\": 1 }"]);
    }

    #[test]
    fn answers_that_do_not_are_apart() {
        for (one, other) in [
            ("Paris", "London"),
            ("42", "-42"),
            ("3-42", "-42"),
            ("1.5", "15"),
            ("A", "B"),
            ("2 cities: Rome and Oslo\nRome", "2 cities: Rome and Oslo\nOslo"),
            (r#"{"a":1}"#, r#"{"a":2}"#),
            ("1.2.3", "1.2.4"),
        ] {
            assert_ne!(in_the_end(one), in_the_end(other));
        }
    }

    #[test]
    fn the_largest_group_counts_and_of_equals_the_earliest() {
        let of = |answers: &[&str]| {
            let answers: Vec<Option<&str>> =
                answers.iter().map(|answer| (*answer != "-").then_some(*answer)).collect();
            agreement(&answers).map(|agreed| (agreed.index, agreed.answers))
        };
        assert_eq!(of(&["a dog", "a cat", "A cat."]), Some((1, 2)));
        assert_eq!(of(&["a dog", "a cat"]), Some((0, 1)));
        assert_eq!(of(&["-", "", "  ", "a cat"]), Some((3, 1)), "nothing agrees with nothing");
        assert_eq!(of(&["-", ""]), None);
    }

    proptest! {
        #[test]
        fn whatever_is_said_can_be_compared(text in "\\PC*|[-0-9.,()A-C \n]{0,30}") {
            let said = in_the_end(&text);
            prop_assert_eq!(in_the_end(&format!("  {text}\n")), said);
        }

        #[test]
        fn the_order_of_answers_does_not_change_how_many_agree(
            mut answers in prop::collection::vec(prop::option::of("[abc]{1,2} word|[0-3]"), 1..10),
        ) {
            let before = agreement(&answers).map(|agreed| agreed.answers);
            answers.reverse();
            let after = agreement(&answers);
            prop_assert_eq!(after.map(|agreed| agreed.answers), before);
            if let Some(Agreement { index, answers: count }) = after {
                let said = |at: usize| answers[at].as_deref().map(in_the_end);
                prop_assert_eq!((0..answers.len()).filter(|at| said(*at) == said(index)).count(), count);
            }
        }
    }
}
