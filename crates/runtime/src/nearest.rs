//! "Did you mean": the known word that a mistyped one most resembles.

/// The word among `known` that is close enough to `word` to be what was meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    ranked(word, known).into_iter().next()
}

/// At most `limit` words among `known` that resemble `word`, the closest first; ties in the order given.
pub fn nearest_few<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, limit: usize) -> Vec<&'a str> {
    let mut words = ranked(word, known);
    words.truncate(limit);
    words
}

fn ranked<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    // Damerau-Levenshtein counts two swapped letters as one mistake. Words that share nothing still score about 0.3;
    // from 0.5 on people recognise the word they meant. A word that begins with what was typed is meant too.
    const RESEMBLES: f64 = 0.5;
    let typed = word.to_ascii_lowercase();
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .map(|candidate| {
            let lower = candidate.to_ascii_lowercase();
            // A word of more than twice the length cannot resemble it. Asked here, because the comparison takes memory
            // for every pair of letters, and the word is a client's.
            if typed.len() > 4 * lower.len() && typed.chars().count() > 2 * lower.chars().count() {
                return (0.0, candidate);
            }
            let begins = !typed.is_empty() && lower.starts_with(&typed);
            let score = strsim::normalized_damerau_levenshtein(&typed, &lower);
            (if begins { score.max(0.9) } else { score }, candidate)
        })
        .filter(|(score, _)| *score >= RESEMBLES)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_the_one_that_was_meant() {
        assert_eq!(nearest("bnd", ["hold_ms", "bind"]), Some("bind"));
        assert_eq!(nearest("smollm2", ["llama3.2:3b", "smollm2-135m"]), Some("smollm2-135m"));
        assert_eq!(nearest("SmolLM-135M", ["smollm2-135m"]), Some("smollm2-135m"));
        assert_eq!(nearest("gpt-5", ["smollm2-135m", "bind"]), None);
        assert_eq!(nearest("", ["bind"]), None);
    }

    #[test]
    fn a_word_as_long_as_a_body_costs_nothing() {
        let word = "bind".repeat(8 << 20);
        assert_eq!(nearest(&word, ["bind", "smollm2-135m"]), None);
    }

    #[test]
    fn several_come_closest_first() {
        assert_eq!(nearest_few("llama3", ["llama2", "qwen", "llama3.2:3b"], 2), ["llama3.2:3b", "llama2"]);
    }
}
