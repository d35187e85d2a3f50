//! Turns the bytes of generated tokens into text that may be shown, cut at the first stop string.
//!
//! Two things force text to be held back: a token may end inside a UTF-8 character, and what was written so far may be the
//! beginning of a stop string. Both are decided byte by byte, so how the text was split into tokens changes nothing.

/// What one push releases.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Text that no later token can take back. May be empty.
    pub text: String,
    /// A stop string is complete: nothing follows, and `text` ends right before it.
    pub stopped: bool,
}

/// The text of one answer, from bytes to released pieces.
#[derive(Debug)]
pub struct AnswerText {
    /// The first bytes of a character whose last bytes have not come yet: at most three.
    partial: Vec<u8>,
    /// Text that may turn out to begin a stop string.
    held: String,
    stops: Vec<StopString>,
    stopped: bool,
}

impl AnswerText {
    /// `stops` must not contain the empty string, which would match everywhere; it is ignored.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).map(StopString::new).collect();
        Self { partial: Vec::new(), held: String::new(), stops, stopped: false }
    }

    /// Takes the bytes of one more token. Bytes that are not UTF-8 become U+FFFD. After a stop nothing is released.
    pub fn push(&mut self, bytes: &[u8]) -> Released {
        if self.stopped {
            return Released { text: String::new(), stopped: true };
        }
        if self.partial.is_empty() {
            return self.decode(bytes, false);
        }
        let mut joined = std::mem::take(&mut self.partial);
        joined.extend_from_slice(bytes);
        self.decode(&joined, false)
    }

    /// The answer ended by itself: what was held back is text after all.
    pub fn finish(&mut self) -> Released {
        if self.stopped {
            return Released { text: String::new(), stopped: true };
        }
        let partial = std::mem::take(&mut self.partial);
        let mut released = self.decode(&partial, true);
        if !released.stopped {
            released.text.push_str(&self.held);
            self.held.clear();
        }
        released
    }

    fn decode(&mut self, bytes: &[u8], last: bool) -> Released {
        let start = self.held.len();
        for chunk in bytes.utf8_chunks() {
            self.held.push_str(chunk.valid());
            let invalid = chunk.invalid();
            // Only the end of the input can be a character that is merely incomplete.
            let at_end = invalid.as_ptr_range().end == bytes.as_ptr_range().end;
            if !invalid.is_empty() {
                if at_end && !last && is_incomplete(invalid) {
                    self.partial.extend_from_slice(invalid);
                } else {
                    self.held.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
        self.release(start)
    }

    /// Looks for stop strings in what `held` gained since `start`, and releases all that cannot belong to one.
    fn release(&mut self, start: usize) -> Released {
        if let Some(stop_at) = self.first_stop(start) {
            self.held.truncate(stop_at);
            self.stopped = true;
            return Released { text: std::mem::take(&mut self.held), stopped: true };
        }
        let pending = self.stops.iter().map(|stop| stop.matched).max().unwrap_or(0);
        if pending == 0 {
            return Released { text: std::mem::take(&mut self.held), stopped: false };
        }
        // A stop string begins with a whole character, so this cuts between characters.
        let tail = self.held.split_off(self.held.len() - pending);
        Released { text: std::mem::replace(&mut self.held, tail), stopped: false }
    }

    /// Where the first stop string to become complete begins; of two that end together, the longer.
    fn first_stop(&mut self, start: usize) -> Option<usize> {
        if self.stops.is_empty() {
            return None;
        }
        for (index, byte) in self.held.bytes().enumerate().skip(start) {
            let mut longest = 0;
            for stop in &mut self.stops {
                if stop.advance(byte) {
                    longest = longest.max(stop.bytes.len());
                }
            }
            if longest > 0 {
                return Some(index + 1 - longest);
            }
        }
        None
    }
}

/// Whether more bytes could make this a character.
fn is_incomplete(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Knuth, Morris and Pratt's matcher for one string, fed byte by byte.
///
/// By hand because the libraries (memchr, aho-corasick) find whole matches but do not say how many bytes of an unfinished
/// one the text ends with, which is exactly what must be held back.
#[derive(Debug)]
struct StopString {
    bytes: Vec<u8>,
    /// For each prefix length minus one: the length of its longest proper prefix that is also its suffix.
    fallback: Vec<usize>,
    /// How many bytes of the string the text ends with.
    matched: usize,
}

impl StopString {
    fn new(stop: String) -> Self {
        let bytes = stop.into_bytes();
        let mut fallback = vec![0; bytes.len()];
        let mut matched = 0;
        for index in 1..bytes.len() {
            while matched > 0 && bytes[index] != bytes[matched] {
                matched = fallback[matched - 1];
            }
            if bytes[index] == bytes[matched] {
                matched += 1;
            }
            fallback[index] = matched;
        }
        Self { bytes, fallback, matched: 0 }
    }

    /// Returns true when the string is complete, which is asked once: the answer ends there.
    fn advance(&mut self, byte: u8) -> bool {
        while self.matched > 0 && byte != self.bytes[self.matched] {
            self.matched = self.fallback[self.matched - 1];
        }
        if byte == self.bytes[self.matched] {
            self.matched += 1;
        }
        self.matched == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text that reaches the client when `pieces` are generated one after the other.
    fn shown(stops: &[&str], pieces: &[&[u8]]) -> (String, bool) {
        let mut text = AnswerText::new(stops.iter().map(|stop| (*stop).to_owned()));
        let mut shown = String::new();
        for piece in pieces {
            let released = text.push(piece);
            shown.push_str(&released.text);
            if released.stopped {
                return (shown, true);
            }
        }
        let released = text.finish();
        shown.push_str(&released.text);
        (shown, released.stopped)
    }

    fn check(stops: &[&str], pieces: &[&str], expected: &str, stopped: bool) {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        assert_eq!(shown(stops, &pieces), (expected.to_owned(), stopped));
    }

    #[test]
    fn text_without_stop_strings_passes_at_once() {
        let mut text = AnswerText::new([]);
        assert_eq!(text.push(b"Par"), Released { text: "Par".to_owned(), stopped: false });
        assert_eq!(text.push(b"is"), Released { text: "is".to_owned(), stopped: false });
    }

    #[test]
    fn a_stop_string_across_three_tokens_is_not_shown() {
        check(&["END"], &["answer E", "N", "D and more"], "answer ", true);
    }

    #[test]
    fn what_looked_like_a_stop_string_is_shown_once_it_is_none() {
        check(&["END"], &["E", "N", "Z"], "ENZ", false);
        check(&["aab"], &["aa", "a", "b"], "a", true);
    }

    #[test]
    fn a_stop_string_that_never_completes_is_shown_at_the_end() {
        check(&["\n\nUser:"], &["Hello\n", "\nUser"], "Hello\n\nUser", false);
    }

    #[test]
    fn of_several_stop_strings_the_first_to_complete_cuts() {
        check(&["abcd", "bc"], &["xabcd"], "xa", true);
        check(&["bc", "abc"], &["xab", "c"], "x", true);
    }

    #[test]
    fn a_character_split_across_tokens_is_shown_whole() {
        let euro = "€".as_bytes();
        assert_eq!(shown(&[], &[&euro[..1], &euro[1..2], &euro[2..]]), ("€".to_owned(), false));
    }

    #[test]
    fn a_character_that_never_completes_becomes_a_replacement_character() {
        assert_eq!(shown(&[], &[b"a\xe2\x82"]), ("a\u{fffd}".to_owned(), false));
        assert_eq!(shown(&[], &[b"a\xe2\x82", b"b"]), ("a\u{fffd}b".to_owned(), false));
    }

    #[test]
    fn a_stop_string_of_split_characters_is_found() {
        let stop = "é!".as_bytes();
        assert_eq!(shown(&["é!"], &[b"ol", &stop[..1], &stop[1..]]), ("ol".to_owned(), true));
    }

    #[test]
    fn nothing_is_released_after_a_stop() {
        let mut text = AnswerText::new(["x".to_owned()]);
        assert!(text.push(b"ax").stopped);
        assert_eq!(text.push(b"b"), Released { text: String::new(), stopped: true });
        assert_eq!(text.finish(), Released { text: String::new(), stopped: true });
    }

    /// The definition: cut at the match that ends first; of those that end together, at the longest.
    fn cut_by_definition(full: &str, stops: &[String]) -> (String, bool) {
        (1..=full.len())
            .find_map(|end| {
                let longest = stops
                    .iter()
                    .filter(|stop| !stop.is_empty() && full.as_bytes()[..end].ends_with(stop.as_bytes()))
                    .map(String::len)
                    .max()?;
                Some((full[..end - longest].to_owned(), true))
            })
            .unwrap_or((full.to_owned(), false))
    }

    proptest! {
        #[test]
        fn however_text_is_split_it_is_cut_at_the_first_stop_string(
            full in "[ab€ ]{0,24}",
            stops in prop::collection::vec("[ab€]{1,4}", 0..4),
            cuts in prop::collection::vec(0usize..64, 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(full.len())).collect();
            cuts.extend([0, full.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &full.as_bytes()[pair[0]..pair[1]]).collect();
            let names: Vec<&str> = stops.iter().map(String::as_str).collect();
            prop_assert_eq!(shown(&names, &pieces), cut_by_definition(&full, &stops));
        }

        #[test]
        fn any_bytes_decode_as_the_standard_library_does(bytes: Vec<u8>, at in 0usize..64) {
            let at = at.min(bytes.len());
            let (shown, _) = shown(&[], &[&bytes[..at], &bytes[at..]]);
            prop_assert_eq!(shown, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
