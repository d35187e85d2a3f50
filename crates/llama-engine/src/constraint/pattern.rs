//! Regular expressions as JSON Schema means them (ECMA-262), for a matcher that reads Rust's dialect.
//!
//! By hand because no crate translates: those that run ECMA expressions (regress, fancy-regex) match finished text, and a
//! grammar needs derivatives.

use std::iter::Peekable;
use std::str::Chars;

use llguidance::derivre::{RegexAst, RegexBuilder};
use regex_syntax::ast::{self, Ast, RepetitionKind, RepetitionRange};

/// The most that one pattern may grow to when its repetitions are written out, in characters. A few hundred are usual;
/// `(a{1000}){1000}` has a million, and each of them would be a state of the matcher.
const MAX_SIZE: u64 = 5_000;
/// Groups inside groups. Deeper than anybody writes, and the matcher's builder recurses.
const MAX_NESTING: u32 = 50;
/// Everything but ECMA's line ends.
const DOT: &str = r"[^\n\r\u{2028}\u{2029}]";
const SPACE: &str =
    r"\t\n\x0b\x0c\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";
const DIGIT: &str = "0-9";
const WORD: &str = "0-9A-Za-z_";

/// What is wrong with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no regular expression, or uses what only a backtracking matcher has.
    Unsupported,
    /// It would take too many states.
    TooLarge,
}

/// `pattern` in Rust's dialect: `\d`, `\w`, `\s` and `.` become the sets that ECMA means by them.
pub(super) fn translate(pattern: &str) -> Result<String, Refusal> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(&mut chars, in_class, &mut out)?,
            '.' if !in_class => out.push_str(DOT),
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // Rust reads `[]...]` as a class with a bracket in it, ECMA as one that matches nothing.
                if chars.peek() == Some(&']') {
                    return Err(Refusal::Unsupported);
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            // Set operations in Rust, plain characters in ECMA.
            '[' | '&' | '~' if in_class => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    let ast =
        ast::parse::ParserBuilder::new().nest_limit(MAX_NESTING).build().parse(&out).map_err(|error| {
            match error.kind() {
                ast::ErrorKind::NestLimitExceeded(_) => Refusal::TooLarge,
                _ => Refusal::Unsupported,
            }
        })?;
    if size(&ast)? > MAX_SIZE {
        return Err(Refusal::TooLarge);
    }
    // The matcher allows anchors at the ends only.
    RegexBuilder::new().mk(&RegexAst::SearchRegex(out.clone())).map_err(|_| Refusal::Unsupported)?;
    Ok(out)
}

fn escape(chars: &mut Peekable<Chars<'_>>, in_class: bool, out: &mut String) -> Result<(), Refusal> {
    let escaped = chars.next().ok_or(Refusal::Unsupported)?;
    let (set, negated) = match escaped {
        'd' => (DIGIT, false),
        'D' => (DIGIT, true),
        'w' => (WORD, false),
        'W' => (WORD, true),
        's' => (SPACE, false),
        'S' => (SPACE, true),
        // Anchors of Rust's own, and classes that the two dialects name differently.
        'A' | 'z' | 'a' | 'U' | 'G' | 'Z' => return Err(Refusal::Unsupported),
        // In a class, ECMA's backspace.
        'b' if in_class => {
            out.push_str(r"\x08");
            return Ok(());
        }
        escaped => {
            out.extend(['\\', escaped]);
            return Ok(());
        }
    };
    match (in_class, negated) {
        (true, false) => out.push_str(set),
        (_, true) => out.extend(["[^", set, "]"]),
        (false, false) => out.extend(["[", set, "]"]),
    }
    Ok(())
}

/// How many characters the expression has once its repetitions are written out.
fn size(ast: &Ast) -> Result<u64, Refusal> {
    Ok(match ast {
        // A word boundary looks at both sides; a grammar sees what came before only.
        Ast::Assertion(assertion) => match assertion.kind {
            ast::AssertionKind::StartLine | ast::AssertionKind::EndLine => 1,
            _ => return Err(Refusal::Unsupported),
        },
        // `(?i)` is Rust's; ECMA's flags lie outside the pattern.
        Ast::Flags(_) => return Err(Refusal::Unsupported),
        Ast::Empty(_)
        | Ast::Literal(_)
        | Ast::Dot(_)
        | Ast::ClassUnicode(_)
        | Ast::ClassPerl(_)
        | Ast::ClassBracketed(_) => 1,
        Ast::Group(group) => size(&group.ast)?.saturating_add(1),
        Ast::Alternation(alternation) => sum(&alternation.asts)?,
        Ast::Concat(concat) => sum(&concat.asts)?,
        Ast::Repetition(repetition) => {
            let times = match &repetition.op.kind {
                RepetitionKind::Range(
                    RepetitionRange::Exactly(times)
                    | RepetitionRange::AtLeast(times)
                    | RepetitionRange::Bounded(_, times),
                ) => u64::from(*times).max(1),
                _ => 1,
            };
            size(&repetition.ast)?.saturating_mul(times)
        }
    })
}

fn sum(asts: &[Ast]) -> Result<u64, Refusal> {
    asts.iter().try_fold(1_u64, |sum, ast| Ok(sum.saturating_add(size(ast)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expected: Result<&str, Refusal>) {
        assert_eq!(translate(pattern), expected.map(str::to_owned), "{pattern}");
    }

    #[test]
    fn sets_mean_what_ecma_means_by_them() {
        check(r"^\d+[\d.]\D$", Ok("^[0-9]+[0-9.][^0-9]$"));
        check(r"[^\W]", Ok("[^[^0-9A-Za-z_]]"));
        check(".", Ok(r"[^\n\r\u{2028}\u{2029}]"));
        check(r"\.[.]", Ok(r"\.[.]"));
        check(r"[\b]", Ok(r"[\x08]"));
    }

    #[test]
    fn what_rust_reads_as_set_operations_stays_plain() {
        check("[[&&~~]", Ok(r"[\[\&\&\~\~]"));
    }

    #[test]
    fn what_needs_backtracking_is_refused() {
        for pattern in [r"(?=a)b", r"(?!a)b", r"(?<=a)b", r"(a)\1", r"\bword\b", r"(?i)a", "[]", "(", r"a\"] {
            check(pattern, Err(Refusal::Unsupported));
        }
    }

    #[test]
    fn bombs_are_refused() {
        for pattern in ["(a{1000}){1000}", "((a{99}){99}){99}", "a{1000000000}"] {
            check(pattern, Err(Refusal::TooLarge));
        }
        check(&("(".repeat(1000) + "a" + &")".repeat(1000)), Err(Refusal::TooLarge));
        check("[a-z]{1,64}(-[a-z]{1,12}){0,4}", Ok("[a-z]{1,64}(-[a-z]{1,12}){0,4}"));
    }
}
