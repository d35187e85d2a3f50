//! What well-known models cost: a list with dates.
//!
//! Prices change, so that an operator's own `price` in `[[models]]` goes before this list, and a model that is not in it has no price:
//! a budget then refuses it rather than guesses. Where a provider has several prices for the same model, the list has the dearer one, so
//! that a budget errs on the safe side: DeepSeek's for the hours of the peak, and Google's for the time after an introductory offer. Not
//! in it are what providers charge besides tokens of text: for writing their cache, for audio and images, for searches, for priority.

use crate::price::{LongPrompt, Price};

/// A price, and where and when it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DatedPrice {
    /// USD per million tokens.
    pub price: Price,
    /// The day on which it is known to have been so, `2026-10-24`.
    pub as_of: &'static str,
    /// The provider's page.
    pub source: &'static str,
}

/// The price of a model by its provider's name for it, such as `gpt-5-mini` or its snapshot `gpt-5-mini-2025-08-07`, if this list knows
/// it. `models/`, with which Google's names may begin, does not matter.
///
/// ```
/// let price = route_plan::prices::bundled("gpt-5-mini-2025-08-07").unwrap();
/// assert_eq!(price.price.output, 2.0);
/// assert!(route_plan::prices::bundled("gpt-5-maxi").is_none());
/// ```
pub fn bundled(model: &str) -> Option<DatedPrice> {
    let model = model.strip_prefix("models/").unwrap_or(model);
    let of = |name: &str| LISTS.iter().find_map(|list| list.price_of(name));
    // A snapshot may have a price of its own.
    of(model).or_else(|| of(without_date(model)?))
}

/// The name that a snapshot is one of: without `-2025-08-07`, `-20250929`, `-latest`, or `-001`.
fn without_date(model: &str) -> Option<&str> {
    let digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    let (name, last) = model.rsplit_once('-')?;
    if last == "latest" || digits(last, 8) || digits(last, 3) {
        return Some(name);
    }
    let (name, month) = name.rsplit_once('-')?;
    let (name, year) = name.rsplit_once('-')?;
    (digits(last, 2) && digits(month, 2) && digits(year, 4)).then_some(name)
}

struct List {
    source: &'static str,
    as_of: &'static str,
    rows: &'static [(&'static str, Price)],
}

impl List {
    fn price_of(&self, model: &str) -> Option<DatedPrice> {
        let (_, price) = self.rows.iter().find(|(name, _)| *name == model)?;
        Some(DatedPrice { price: *price, as_of: self.as_of, source: self.source })
    }
}

/// Input, cached input and output.
const fn at(input: f64, cached_input: f64, output: f64) -> Price {
    Price::new(input, output).cached(cached_input)
}

/// Input and output, for those whose cache is no cheaper, or that have none.
const fn flat(input: f64, output: f64) -> Price {
    Price::new(input, output)
}

/// OpenAI's models with a window of a million tokens: twice the input and one and a half times the output above 272,000 tokens.
const fn openai(input: f64, cached_input: f64, output: f64) -> Price {
    tiered(at(input, cached_input, output), 272_000, at(2.0 * input, 2.0 * cached_input, 1.5 * output))
}

/// With another price above so many tokens.
const fn tiered(short: Price, above: u64, long: Price) -> Price {
    let Price { input, output, cached_input, .. } = long;
    short.above(LongPrompt { above, input, output, cached_input })
}

const LISTS: &[List] = &[OPENAI, ANTHROPIC, GEMINI, MISTRAL, DEEPSEEK, GROQ];

const OPENAI: List = List {
    source: "https://developers.openai.com/api/docs/pricing",
    as_of: "2026-10-09",
    rows: &[
        ("gpt-6-astra", openai(10.0, 1.0, 50.0)),
        ("gpt-6.1-sol", openai(2.0, 0.1, 10.0)),
        ("gpt-6-sol", openai(2.0, 0.2, 10.0)),
        ("gpt-6-luna", openai(0.1, 0.01, 0.5)),
        ("gpt-5.6-sol", openai(4.0, 0.4, 20.0)),
        ("gpt-5.6-terra", openai(2.0, 0.2, 12.0)),
        ("gpt-5.6-luna", openai(0.2, 0.02, 1.2)),
        ("gpt-5.5", openai(5.0, 0.5, 30.0)),
        ("gpt-5.5-pro", flat(30.0, 180.0)),
        ("gpt-5.4", openai(2.5, 0.25, 15.0)),
        ("gpt-5.4-mini", at(0.75, 0.075, 4.5)),
        ("gpt-5.4-nano", at(0.2, 0.02, 1.25)),
        ("gpt-5.4-pro", flat(30.0, 180.0)),
        ("gpt-5.3-codex", at(1.75, 0.175, 14.0)),
        ("gpt-5.2", at(1.75, 0.175, 14.0)),
        ("gpt-5.2-codex", at(1.75, 0.175, 14.0)),
        ("gpt-5.2-pro", flat(21.0, 168.0)),
        ("gpt-5.1", at(1.25, 0.125, 10.0)),
        ("gpt-5.1-codex", at(1.25, 0.125, 10.0)),
        ("gpt-5", at(1.25, 0.125, 10.0)),
        ("gpt-5-codex", at(1.25, 0.125, 10.0)),
        ("gpt-5-mini", at(0.25, 0.025, 2.0)),
        ("gpt-5-nano", at(0.05, 0.005, 0.4)),
        ("gpt-5-pro", flat(15.0, 120.0)),
        ("gpt-4.1", at(2.0, 0.5, 8.0)),
        ("gpt-4.1-mini", at(0.4, 0.1, 1.6)),
        ("gpt-4.1-nano", at(0.1, 0.025, 0.4)),
        ("gpt-4o", at(2.5, 1.25, 10.0)),
        ("gpt-4o-2024-05-13", flat(5.0, 15.0)),
        ("gpt-4o-mini", at(0.15, 0.075, 0.6)),
        ("gpt-4-turbo", flat(10.0, 30.0)),
        ("gpt-4", flat(30.0, 60.0)),
        ("gpt-3.5-turbo", flat(0.5, 1.5)),
        ("o1", at(15.0, 7.5, 60.0)),
        ("o3", at(2.0, 0.5, 8.0)),
        ("o3-mini", at(1.1, 0.55, 4.4)),
        ("o3-pro", flat(20.0, 80.0)),
        ("o4-mini", at(1.1, 0.275, 4.4)),
        ("text-embedding-3-small", flat(0.02, 0.0)),
        ("text-embedding-3-large", flat(0.13, 0.0)),
        ("text-embedding-ada-002", flat(0.1, 0.0)),
    ],
};

const ANTHROPIC: List = List {
    source: "https://platform.claude.com/docs/en/about-claude/pricing",
    as_of: "2026-10-24",
    rows: &[
        ("claude-fable-5-1", at(10.0, 0.25, 50.0)),
        ("claude-fable-5", at(10.0, 1.0, 50.0)),
        ("claude-mythos-5-1", at(10.0, 0.25, 50.0)),
        ("claude-mythos-5", at(10.0, 1.0, 50.0)),
        ("claude-opus-5-5", at(4.0, 0.2, 20.0)),
        ("claude-opus-5", at(5.0, 0.5, 25.0)),
        ("claude-opus-4-8", at(5.0, 0.5, 25.0)),
        ("claude-opus-4-7", at(5.0, 0.5, 25.0)),
        ("claude-opus-4-6", at(5.0, 0.5, 25.0)),
        ("claude-opus-4-5", at(5.0, 0.5, 25.0)),
        ("claude-opus-4-1", at(15.0, 1.5, 75.0)),
        ("claude-opus-4", at(15.0, 1.5, 75.0)),
        ("claude-opus-4-0", at(15.0, 1.5, 75.0)),
        ("claude-sonnet-5-5", at(2.0, 0.1, 10.0)),
        ("claude-sonnet-5", at(2.0, 0.2, 10.0)),
        ("claude-sonnet-4-6", at(3.0, 0.3, 15.0)),
        ("claude-sonnet-4-5", tiered(at(3.0, 0.3, 15.0), 200_000, at(6.0, 0.6, 22.5))),
        ("claude-sonnet-4", tiered(at(3.0, 0.3, 15.0), 200_000, at(6.0, 0.6, 22.5))),
        ("claude-sonnet-4-0", tiered(at(3.0, 0.3, 15.0), 200_000, at(6.0, 0.6, 22.5))),
        ("claude-3-7-sonnet", at(3.0, 0.3, 15.0)),
        ("claude-haiku-5-5", tiered(at(0.1, 0.01, 0.5), 100_000, at(0.5, 0.05, 2.5))),
        ("claude-haiku-4-5", at(1.0, 0.1, 5.0)),
        ("claude-3-5-haiku", at(0.8, 0.08, 4.0)),
        ("claude-3-haiku", at(0.25, 0.03, 1.25)),
        ("claude-3-opus", at(15.0, 1.5, 75.0)),
    ],
};

/// Prompts of text, images and video; of audio they are dearer.
const GEMINI: List = List {
    source: "https://ai.google.dev/gemini-api/docs/pricing",
    as_of: "2026-10-07",
    rows: &[
        // Half of it until the end of 2026.
        ("gemini-3.8-flash", at(1.5, 0.15, 7.5)),
        ("gemini-3.7-flash", at(1.5, 0.15, 7.5)),
        ("gemini-3.6-flash", at(1.5, 0.15, 7.5)),
        ("gemini-3.5-flash", flat(1.5, 9.0)),
        ("gemini-3.5-flash-lite", flat(0.3, 2.5)),
        ("gemini-3.1-pro-preview", tiered(at(2.0, 0.2, 12.0), 200_000, at(4.0, 0.4, 18.0))),
        ("gemini-3.1-flash-lite", flat(0.25, 1.5)),
        ("gemini-3-flash-preview", flat(0.5, 3.0)),
        ("gemini-2.5-pro", tiered(at(1.25, 0.125, 10.0), 200_000, at(2.5, 0.25, 15.0))),
        ("gemini-2.5-flash", at(0.3, 0.03, 2.5)),
        ("gemini-2.5-flash-lite", at(0.1, 0.01, 0.4)),
        ("gemini-embedding-001", flat(0.15, 0.0)),
    ],
};

const MISTRAL: List = List {
    source: "https://mistral.ai/pricing",
    as_of: "2026-09-27",
    rows: &[
        ("mistral-large-2512", flat(0.5, 1.5)),
        ("mistral-large-2411", flat(2.0, 6.0)),
        ("mistral-medium-2508", flat(0.4, 2.0)),
        ("mistral-medium-2505", flat(0.4, 2.0)),
        ("mistral-small-2603", flat(0.15, 0.6)),
        ("mistral-small-2506", flat(0.1, 0.3)),
        ("codestral-2508", flat(0.3, 0.9)),
        ("ministral-14b-2512", flat(0.2, 0.2)),
        ("ministral-8b-2512", flat(0.15, 0.15)),
        ("ministral-3b-2512", flat(0.1, 0.1)),
        ("mistral-embed", flat(0.1, 0.0)),
    ],
};

/// At the hours of the peak; half of it otherwise.
const DEEPSEEK: List = List {
    source: "https://api-docs.deepseek.com/quick_start/pricing",
    as_of: "2026-10-27",
    rows: &[("deepseek-flash", at(0.3, 0.006, 1.2)), ("deepseek-v4-pro", at(1.32, 0.044, 3.96))],
};

const GROQ: List = List {
    source: "https://console.groq.com/docs/models",
    as_of: "2026-05-19",
    rows: &[
        ("openai/gpt-oss-120b", flat(0.15, 0.6)),
        ("openai/gpt-oss-20b", flat(0.075, 0.3)),
        ("openai/gpt-oss-safeguard-20b", flat(0.075, 0.3)),
        ("llama-3.3-70b-versatile", flat(0.59, 0.79)),
        ("llama-3.1-8b-instant", flat(0.05, 0.08)),
    ],
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[track_caller]
    fn check(model: &str, output: Option<f64>) {
        assert_eq!(bundled(model).map(|found| found.price.output), output, "{model}");
    }

    #[test]
    fn models_and_their_snapshots_have_a_price_and_others_have_none() {
        check("gpt-5", Some(10.0));
        check("gpt-5-2025-08-07", Some(10.0));
        check("gpt-5-mini", Some(2.0));
        check("gpt-5-pro-2025-10-06", Some(120.0));
        check("gpt-4o-2024-05-13", Some(15.0));
        check("gpt-4o-2024-11-20", Some(10.0));
        check("claude-opus-4-20250514", Some(75.0));
        check("claude-opus-4-5-20251101", Some(25.0));
        check("claude-3-7-sonnet-latest", Some(15.0));
        check("models/gemini-2.5-flash", Some(2.5));
        check("openai/gpt-oss-120b", Some(0.6));
        for unknown in [
            "",
            "-",
            "latest",
            "gpt-5-maxi",
            "gpt-7",
            "gpt-5-mini-xl",
            "claude-opus-4-9",
            "smollm2-135m",
            "mistral-large-2607",
        ] {
            check(unknown, None);
        }
    }

    #[test]
    fn every_row_can_be_and_stands_once() {
        let mut names = HashSet::new();
        for list in LISTS {
            assert!(list.as_of.len() == 10 && list.source.starts_with("https://"));
            for (name, price) in list.rows {
                assert!(names.insert(name), "{name} twice");
                assert_eq!(price.objection(), None, "{name}");
                assert!(price.cached_input.is_none_or(|cached| cached < price.input), "{name}");
            }
        }
    }
}
