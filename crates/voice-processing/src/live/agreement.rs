//! Which words of a growing text will not change any more. Pure.
//!
//! LocalAgreement-2 of Macháček, Dabre and Bojar, "Turning Whisper into Real-Time Transcription System" (2023): a word is settled
//! once two texts in a row have it at the same place, counted from what was settled before: a later text may have said that in more or
//! fewer words. Words are what stands between spaces: a language that has none is settled a sentence at a time.

/// What two texts in a row agreed on.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    settled: Vec<String>,
    /// What the text before had after it.
    before: Vec<String>,
}

impl Agreement {
    /// Takes the next text of the same speech, and gives it as it is to be shown: with what was settled before in its place, and how many
    /// bytes of it are settled.
    pub(super) fn hear(&mut self, text: &str) -> (String, usize) {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let mut rest = words.split_off(said_again(&self.settled, &words));
        let alike = rest.iter().zip(&self.before).take_while(|(a, b)| spoken(a) == spoken(b)).count();
        // The last word may be the beginning of a longer one.
        let agreed = alike.min(rest.len().saturating_sub(1));
        self.settled.extend(rest.drain(..agreed));
        let settled = self.settled.join(" ");
        let space = if settled.is_empty() || rest.is_empty() { "" } else { " " };
        let shown = format!("{settled}{space}{}", rest.join(" "));
        self.before = rest;
        (shown, settled.len())
    }
}

/// How many of the words say what was settled: those that are fewest changes (words put in, left out or exchanged) from it, and of several such the
/// most that end with the same word.
fn said_again(settled: &[String], words: &[String]) -> usize {
    let settled: Vec<String> = settled.iter().map(|word| spoken(word)).collect();
    let words: Vec<String> = words.iter().map(|word| spoken(word)).collect();
    // Levenshtein's distance of all that was settled from the first so many words.
    let mut distance: Vec<usize> = (0..=words.len()).collect();
    for (done, word) in settled.iter().enumerate() {
        let mut before = std::mem::replace(&mut distance[0], done + 1);
        for (index, other) in words.iter().enumerate() {
            let changed = before + usize::from(word != other);
            before = distance[index + 1];
            distance[index + 1] = changed.min(before + 1).min(distance[index] + 1);
        }
    }
    let ends_alike = |count: &usize| *count > 0 && settled.last() == words.get(count - 1);
    let counts =
        (0..=words.len()).min_by_key(|count| (distance[*count], !ends_alike(count), words.len() - count));
    counts.unwrap_or(0)
}

/// A word without what changes as a sentence goes on: case and punctuation.
fn spoken(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_texts_agree_on_is_settled_but_for_the_last_word() {
        let mut agreement = Agreement::default();
        assert_eq!(agreement.hear("He was"), ("He was".to_owned(), 0));
        assert_eq!(agreement.hear("He was not"), ("He was not".to_owned(), "He was".len()));
        assert_eq!(agreement.hear("He was not an ill"), ("He was not an ill".to_owned(), "He was not".len()));
    }

    #[test]
    fn case_and_punctuation_are_no_disagreement_and_what_was_shown_first_stays() {
        let mut agreement = Agreement::default();
        agreement.hear("Ever tried. Ever");
        assert_eq!(agreement.hear("Ever tried, ever failed").1, "Ever tried, ever".len());
        assert_eq!(agreement.hear("ever tried ever failed no").0, "Ever tried, ever failed no");
    }

    #[test]
    fn what_was_settled_may_be_said_in_more_or_fewer_words_later() {
        let mut agreement = Agreement::default();
        agreement.hear("Unless to be rather cold");
        assert_eq!(agreement.hear("Unless to be rather cold-hearted").1, "Unless to be rather".len());
        let later = "A less to be rather cold-hearted and";
        assert_eq!(agreement.hear(later).0, "Unless to be rather cold-hearted and");
        assert_eq!(
            agreement.hear("To be rather cold-hearted and rather").0,
            "Unless to be rather cold-hearted and rather"
        );
    }

    #[test]
    fn what_is_settled_never_changes_and_never_shrinks() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut agreement = Agreement::default();
        let mut before = String::new();
        for _ in 0..2_000 {
            let words: Vec<&str> =
                (0..random.usize(0..6)).map(|_| ["a", "b", "über", "d."][random.usize(0..4)]).collect();
            let (shown, settled) = agreement.hear(&words.join(" "));
            assert!(shown[..settled].starts_with(&before), "{shown} after {before}");
            before = shown[..settled].to_owned();
        }
    }
}
