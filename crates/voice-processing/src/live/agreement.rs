//! Which words of a growing text will not change any more. Pure.
//!
//! LocalAgreement-2 of Macháček, Dabre and Bojar, "Turning Whisper into Real-Time Transcription System" (2023): a word is settled
//! once two texts in a row have it at the same place. Words are what stands between spaces: a language that has none is settled a sentence at a time.

/// What two texts in a row agreed on.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    settled: Vec<String>,
    /// The text before.
    before: Vec<String>,
}

impl Agreement {
    /// Takes the next text of the same speech, and gives it as it is to be shown: with what was settled before in its place, and how many
    /// bytes of it are settled.
    pub(super) fn hear(&mut self, text: &str) -> (String, usize) {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let alike = words.iter().zip(&self.before).take_while(|(a, b)| spoken(a) == spoken(b)).count();
        // The last word may be the beginning of a longer one.
        let agreed = alike.min(words.len().saturating_sub(1));
        if agreed > self.settled.len() {
            let more = &words[self.settled.len()..agreed];
            self.settled.extend_from_slice(more);
        }
        let mut shown = self.settled.join(" ");
        let settled = shown.len();
        for word in words.iter().skip(self.settled.len()) {
            if !shown.is_empty() {
                shown.push(' ');
            }
            shown.push_str(word);
        }
        self.before = words;
        (shown, settled)
    }
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
