//! Which layers look back over a window of tokens only, and how wide it is.
//!
//! Files say the window; which layers slide is known by architecture, where the file does not list it. From
//! `load_arch_hparams` of each architecture in llama.cpp's `src/models`.

use crate::facts::Facts;

/// A model's window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) tokens: u64,
    /// Whether the layer slides.
    pub(crate) slides: Vec<bool>,
}

/// An architecture whose layers slide.
struct Sliding {
    architecture: &'static str,
    /// One of so many layers looks back over everything; 0: the file lists them.
    period: u64,
    /// Whether that is the first of them rather than the last.
    dense_first: bool,
    /// The window where the file gives none; 0: no layer slides then.
    default: u64,
}

const fn sliding(architecture: &'static str, period: u64, dense_first: bool, default: u64) -> Sliding {
    Sliding { architecture, period, dense_first, default }
}

/// Mistral's and Phi's files give a window too, which llama.cpp does not use.
const SLIDING: &[Sliding] = &[
    sliding("afmoe", 4, false, 0),
    sliding("cohere2", 4, false, 0),
    sliding("cohere2moe", 4, true, 0),
    sliding("exaone-moe", 4, false, 128),
    sliding("exaone4", 4, false, 4096),
    sliding("gemma2", 2, false, 4096),
    sliding("gemma3", 6, false, 0),
    sliding("gemma3n", 5, false, 0),
    sliding("gemma4", 0, false, 0),
    sliding("gpt-oss", 2, false, 0),
    sliding("granite_swa", 0, false, 0),
    sliding("laguna", 4, true, 0),
    sliding("lfm2", 1, true, 0),
    sliding("llama4", 4, false, 8192),
    sliding("maple", 0, false, 0),
    sliding("mellum", 4, false, 0),
    sliding("mimo2", 0, false, 0),
    sliding("muse-glimmer", 4, false, 0),
    sliding("olmo2", 4, false, 0),
    sliding("plamo3", 8, false, 0),
    sliding("smallthinker", 4, true, 0),
    sliding("spark2_5", 0, false, 0),
    sliding("step35", 0, false, 0),
];

/// The window of a model with so many layers.
pub(crate) fn of(facts: &Facts, layers: usize) -> Option<Window> {
    let known = SLIDING.iter().find(|known| known.architecture == facts.architecture)?;
    // The small model of that family has none.
    if facts.architecture == "exaone4" && layers != 64 {
        return None;
    }
    let tokens = facts.number("attention.sliding_window").unwrap_or(known.default);
    if tokens == 0 {
        return None;
    }
    if facts.architecture == "lfm2" {
        return Some(Window { tokens, slides: vec![true; layers] });
    }
    const PATTERN: &str = "attention.sliding_window_pattern";
    let slides = match facts.per_layer(PATTERN) {
        Some(list) => (0..layers).map(|layer| list.get(layer).is_some_and(|value| *value != 0)).collect(),
        None => {
            let period = facts.number(PATTERN).unwrap_or(known.period);
            let dense = if known.dense_first { 0 } else { period.saturating_sub(1) };
            (0..layers as u64).map(|layer| period == 0 || layer % period != dense).collect()
        }
    };
    Some(Window { tokens, slides })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Fact;

    fn slides(architecture: &str, facts: &[(&str, Fact)], layers: usize) -> Option<String> {
        let known = facts.iter().map(|(key, fact)| (format!("attention.{key}"), fact.clone())).collect();
        let window = of(&Facts { architecture: architecture.to_owned(), known }, layers)?;
        Some(window.slides.iter().map(|slides| if *slides { 's' } else { 'F' }).collect())
    }

    #[test]
    fn each_architecture_slides_in_its_way() {
        let window = ("sliding_window", Fact::Number(512));
        assert_eq!(slides("gemma3", std::slice::from_ref(&window), 8).as_deref(), Some("sssssFss"));
        assert_eq!(slides("gemma2", &[], 4).as_deref(), Some("sFsF"));
        assert_eq!(slides("smallthinker", std::slice::from_ref(&window), 5).as_deref(), Some("FsssF"));
        let list = ("sliding_window_pattern", Fact::PerLayer(vec![1, 0, 1]));
        assert_eq!(slides("gemma4", &[window, list], 3).as_deref(), Some("sFs"));
    }

    #[test]
    fn a_window_that_is_not_used_is_none() {
        assert_eq!(slides("gemma3", &[], 6), None);
        assert_eq!(slides("llama", &[("sliding_window", Fact::Number(4096))], 6), None, "Mistral's");
        assert_eq!(slides("phi3", &[("sliding_window", Fact::Number(2047))], 6), None);
    }
}
