//! Redis' own patterns (`h?llo`, `h*llo`, `h[a-e^]llo`, `\*`) over bytes. Pure.
//!
//! No library serves: those for paths give `/`, `**` and braces a meaning that Redis does not, and want UTF-8.

/// Whether `text` fits `pattern`, as Redis' `PSUBSCRIBE` and `SCAN ... MATCH` judge.
pub(crate) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    // Where to go on when the last `*` has to swallow one byte more: one place is enough, and so the time is bounded by
    // the product of the lengths.
    let mut retry: Option<(usize, usize)> = None;
    let (mut p, mut t) = (0, 0);
    loop {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, t));
            p += 1;
            continue;
        }
        match (p < pattern.len(), text.get(t)) {
            (false, None) => return true,
            (true, Some(&byte)) => {
                let (does, next) = one(&pattern[p..], byte);
                if does {
                    (p, t) = (p + next, t + 1);
                    continue;
                }
            }
            (true, None) => return false,
            (false, Some(_)) => {}
        }
        match retry {
            Some((after_star, from)) if from < text.len() => {
                retry = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
            _ => return false,
        }
    }
}

/// Whether the first item of a pattern (no `*`) fits a byte, and how long the item is.
fn one(pattern: &[u8], byte: u8) -> (bool, usize) {
    match pattern {
        [b'?', ..] => (true, 1),
        [b'\\', escaped, ..] => (*escaped == byte, 2),
        [b'[', rest @ ..] => {
            let (inside, length) = class(rest, byte);
            (inside, 1 + length)
        }
        [literal, ..] => (*literal == byte, 1),
        [] => (false, 0),
    }
}

/// What stands after `[`: whether it fits the byte, and its length with the `]`, which may be missing at the end.
fn class(pattern: &[u8], byte: u8) -> (bool, usize) {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut inside = false;
    loop {
        match &pattern[at..] {
            [] => return (inside != negated, at),
            [b']', ..] => return (inside != negated, at + 1),
            [b'\\', escaped, ..] => {
                inside |= *escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                inside |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                inside |= *literal == byte;
                at += 1;
            }
        }
    }
}

/// The pattern that fits exactly what begins with these bytes.
pub(crate) fn begins_with(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for &byte in prefix {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^' | b'-') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
    }

    #[test]
    fn patterns_mean_what_redis_documents() {
        for (pattern, fitting, other) in [
            ("h?llo", "hallo", "hllo"),
            ("h*llo", "heeeello", "hell"),
            ("h[ae]llo", "hallo", "hillo"),
            ("h[^e]llo", "hallo", "hello"),
            ("h[a-b]llo", "hbllo", "hcllo"),
            ("h[b-a]llo", "hbllo", "hcllo"),
            ("a\\*", "a*", "ab"),
            ("*a*b*c", "xaybzc", "xaybz"),
            ("", "", "a"),
        ] {
            check(pattern, fitting, true);
            check(pattern, other, false);
        }
    }

    #[test]
    fn an_open_class_ends_with_the_pattern() {
        check("[ab", "a", true);
        check("[ab", "c", false);
        check("x[", "x", false);
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        check(&"*a".repeat(1000), &"a".repeat(2000), true);
        check(&format!("{}b", "*a".repeat(1000)), &"a".repeat(2000), false);
    }

    #[test]
    fn a_prefix_is_taken_literally() {
        for prefix in ["a*b", "[x]", "c?\\", "^-", ""] {
            let pattern = begins_with(prefix.as_bytes());
            assert!(fits(&pattern, format!("{prefix}rest").as_bytes()), "{prefix}");
            assert_eq!(fits(&pattern, b"other"), prefix.is_empty(), "{prefix}");
        }
    }
}
