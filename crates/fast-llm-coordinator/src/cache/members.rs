//! The members of a JSON object as they are written. The document was parsed before; nothing is decoded here.

use memchr::memchr2;

/// One member of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    /// As it is written, without the quotes.
    pub(super) name: &'a [u8],
    value: &'a [u8],
    /// White space in the value, outside of strings.
    spaces: usize,
}

impl Member<'_> {
    /// The length of the value without white space.
    pub(super) fn len(&self) -> usize {
        self.value.len() - self.spaces
    }

    /// Hands out the value without the white space outside of its strings, piece by piece.
    pub(super) fn each_piece(&self, mut take: impl FnMut(&[u8])) {
        let mut rest = self.value;
        if self.spaces == 0 {
            return take(rest);
        }
        let mut at = 0;
        while let Some(&byte) = rest.get(at) {
            match byte {
                b'"' => at = string_end(rest, at).unwrap_or(rest.len()),
                byte if is_space(byte) => {
                    let (piece, after) = rest.split_at(at);
                    take(piece);
                    rest = after.get(1..).unwrap_or_default();
                    at = 0;
                }
                _ => at += 1,
            }
        }
        take(rest);
    }
}

/// The members of the object, in their order; `None` where it is none.
pub(super) fn members(document: &[u8]) -> Option<Vec<Member<'_>>> {
    // More than a request usually has.
    let mut members = Vec::with_capacity(16);
    let mut at = after_spaces(document, 0);
    if document.get(at)? != &b'{' {
        return None;
    }
    at = after_spaces(document, at + 1);
    if document.get(at)? == &b'}' {
        return Some(members);
    }
    loop {
        if document.get(at)? != &b'"' {
            return None;
        }
        let name_ends = string_end(document, at)?;
        let name = document.get(at + 1..name_ends - 1)?;
        at = after_spaces(document, name_ends);
        if document.get(at)? != &b':' {
            return None;
        }
        let begin = after_spaces(document, at + 1);
        let (end, spaces) = value_end(document, begin)?;
        members.push(Member { name, value: document.get(begin..end)?, spaces });
        match document.get(end)? {
            b',' => at = after_spaces(document, end + 1),
            b'}' => return Some(members),
            _ => return None,
        }
    }
}

/// Where the value that begins at `at` ends, white space after it included, and how much white space there is in it.
fn value_end(document: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let (mut depth, mut spaces) = (0_usize, 0);
    loop {
        match document.get(at)? {
            b'"' => {
                at = string_end(document, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return Some((at, spaces)),
            b'}' | b']' => depth -= 1,
            byte if is_space(*byte) => spaces += 1,
            _ => {}
        }
        at += 1;
    }
}

/// The place after the closing quote of the string that begins at `at`.
fn string_end(document: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += memchr2(b'"', b'\\', document.get(at..)?)?;
        match document.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

fn after_spaces(document: &[u8], at: usize) -> usize {
    let rest = document.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| is_space(**byte)).count()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, expected: &[(&str, &str)]) {
        let members = members(document.as_bytes()).unwrap();
        let shown: Vec<(String, String)> = members
            .iter()
            .map(|member| {
                let mut value = Vec::new();
                member.each_piece(|piece| value.extend_from_slice(piece));
                assert_eq!(value.len(), member.len());
                (String::from_utf8(member.name.to_vec()).unwrap(), String::from_utf8(value).unwrap())
            })
            .collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn white_space_goes_outside_of_strings_and_stays_inside() {
        check("{}", &[]);
        check(" { } ", &[]);
        check(r#"{"a":1}"#, &[("a", "1")]);
        check(
            "\n{ \"a\" : 1 ,\t\"b\":[ 1, { \"c d\" : \" e \" } ]\r\n}\n",
            &[("a", "1"), ("b", r#"[1,{"c d":" e "}]"#)],
        );
        check(r#"{"a":"x\"} , {\\","b":null }"#, &[("a", r#""x\"} , {\\""#), ("b", "null")]);
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for broken in [
            "",
            "[]",
            "{",
            r#"{"a"}"#,
            r#"{"a":"#,
            r#"{"a":1"#,
            r#"{"a":"x"#,
            r#"{"a":1]"#,
            r#"{1:2}"#,
            r#"{"a":"\"#,
        ] {
            assert_eq!(members(broken.as_bytes()), None, "{broken}");
        }
    }
}
