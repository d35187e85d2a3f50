//! Finds where free text turns into what a grammar describes, however the text is cut into pieces.

/// Looks for one text in an answer.
#[derive(Debug, Clone)]
pub struct Trigger {
    text: Vec<u8>,
    /// Whether only whitespace may come before it.
    at_start: bool,
    /// The end of the answer so far that the text may begin with.
    held: Vec<u8>,
    /// No more is looked for.
    over: bool,
}

/// What a piece of an answer led to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// What is free text for certain.
    pub free: Vec<u8>,
    /// Everything from the beginning of the trigger on, once it is whole.
    pub call: Option<Vec<u8>>,
}

impl Trigger {
    /// Looks for `text`, anywhere or only where an answer starts; whitespace before it belongs to nobody then. An empty
    /// text is found nowhere.
    pub fn new(text: &str, at_start: bool) -> Self {
        Self { text: text.into(), at_start, held: Vec::new(), over: text.is_empty() }
    }

    /// Goes over the next piece. Whatever is returned is no longer held.
    pub fn push(&mut self, bytes: &[u8]) -> Found {
        self.held.extend_from_slice(bytes);
        if self.over {
            return Found { free: std::mem::take(&mut self.held), call: None };
        }
        let begins = |at: usize| {
            let rest = &self.held[at..];
            rest.starts_with(&self.text) || self.text.starts_with(rest)
        };
        let first = match self.at_start {
            true => {
                let start = self.held.iter().position(|byte| !byte.is_ascii_whitespace());
                start.unwrap_or(self.held.len())
            }
            false => (0..self.held.len()).find(|at| begins(*at)).unwrap_or(self.held.len()),
        };
        if !begins(first) {
            self.over = true;
            return Found { free: std::mem::take(&mut self.held), call: None };
        }
        if self.at_start && self.held.len() < first + self.text.len() {
            return Found::default();
        }
        let rest = self.held.split_off(first);
        let free = std::mem::take(&mut self.held);
        if rest.len() < self.text.len() {
            self.held = rest;
            return Found { free, call: None };
        }
        Found { free: if self.at_start { Vec::new() } else { free }, call: Some(rest) }
    }

    /// What was found was none after all: goes on behind its first byte, which is free text then.
    pub fn miss(&mut self, call: &[u8]) -> Found {
        self.over |= self.at_start;
        let (first, rest) = call.split_at(call.len().min(1));
        let mut found = self.push(rest);
        found.free.splice(..0, first.iter().copied());
        found
    }

    /// What is still held when the answer ends is free text.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(trigger: &mut Trigger, pieces: &[&str]) -> (String, Option<String>) {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let mut free = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let found = trigger.push(piece.as_bytes());
            free.extend(found.free);
            if let Some(mut call) = found.call {
                call.extend(pieces[index + 1..].concat().bytes());
                return (text(free), Some(text(call)));
            }
        }
        free.extend(trigger.finish());
        (text(free), None)
    }

    #[test]
    fn free_text_passes_at_once() {
        let mut trigger = Trigger::new("<call>", false);
        assert_eq!(trigger.push(b"Paris").free, b"Paris");
        assert_eq!(trigger.push(b" <").free, b" ");
        assert_eq!(trigger.push(b"b").free, b"<b");
    }

    #[test]
    fn a_trigger_across_pieces_is_found() {
        let expected = ("a<".to_owned(), Some("<call>x".to_owned()));
        assert_eq!(found(&mut Trigger::new("<call>", false), &["a<<ca", "ll", ">x"]), expected);
    }

    #[test]
    fn a_trigger_at_the_start_is_not_looked_for_later() {
        let mut trigger = Trigger::new("{\"name\":", true);
        assert_eq!(found(&mut trigger, &["Hi {\"name\":"]), ("Hi {\"name\":".to_owned(), None));
        let expected = (String::new(), Some("{\"name\":1".to_owned()));
        assert_eq!(found(&mut Trigger::new("{\"name\":", true), &["\n", " {", "\"name\":1"]), expected);
    }

    #[test]
    fn after_a_miss_the_search_goes_on_inside() {
        let mut trigger = Trigger::new("<<", false);
        let call = trigger.push(b"<<<").call.expect("is found");
        assert_eq!(trigger.miss(&call), Found { free: b"<".to_vec(), call: Some(b"<<".to_vec()) });
    }

    proptest! {
        #[test]
        fn however_text_is_cut_the_same_is_found(full in "[ab ]{0,20}", at_start: bool, cuts in prop::collection::vec(0usize..20, 0..5)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(full.len())).collect();
            cuts.extend([0, full.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|pair| &full[pair[0]..pair[1]]).collect();
            let whole = found(&mut Trigger::new("aab", at_start), &[&full]);
            prop_assert_eq!(found(&mut Trigger::new("aab", at_start), &pieces), whole);
        }
    }
}
