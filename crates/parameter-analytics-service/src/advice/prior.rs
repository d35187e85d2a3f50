//! What to call a model with while nothing is known of it.
//!
//! The parameters are those that chat completion servers agree on (OpenAI, llama.cpp, vLLM and most others take all four). Penalties of
//! presence are left out, since they overlap with those of frequency, and `top_k`, which OpenAI does not take.

use crate::sampler::sobol;
use crate::space::{Domain, Parameter, Point, Space, SpaceError, Value};

/// The usual parameters of a language model.
pub fn usual_space() -> Result<Space, SpaceError> {
    Space::new(vec![
        Parameter::new("temperature", Domain::float(0.0, 2.0)),
        // Below 0.1 little but the likeliest token is left.
        Parameter::new("top_p", Domain::float(0.1, 1.0)),
        // Below 64 tokens few answers end, and beyond 4,096 few go on.
        Parameter::new("max_tokens", Domain::Int { low: 64, high: 4096, log: true, step: 1 }),
        // OpenAI's documentation calls 0.1 to 1 reasonable; below 0 text repeats itself.
        Parameter::new("frequency_penalty", Domain::float(0.0, 1.0)),
    ])
}

/// Known good settings of a kind of task: temperature, `top_p`, `max_tokens`.
struct Known {
    /// A task type that has one of these in it is of this kind.
    words: &'static [&'static str],
    settings: [f64; 3],
}

/// The first that fits counts.
const TABLE: [Known; 6] = [
    // Chen et al. 2021 (Codex, arXiv 2107.03374): 0.2 is best for one sample, with top_p 0.95.
    Known { words: &["code", "coding", "program", "sql"], settings: [0.2, 0.95, 1024.0] },
    // DeepSeek-R1's model card: 0.6 and 0.95; greedy decoding makes reasoning models repeat themselves.
    Known { words: &["reason", "math", "plan"], settings: [0.6, 0.95, 2048.0] },
    // Holtzman et al. 2020 (arXiv 1904.09751): people's own text is best met by a nucleus of 0.95 at temperature 1.
    Known { words: &["creative", "story", "brainstorm", "poem"], settings: [1.0, 0.95, 1024.0] },
    // One right and short answer: nearly greedy, as extraction and labelling are called in the providers' cookbooks.
    Known { words: &["extract", "classif", "label", "json"], settings: [0.0, 1.0, 256.0] },
    // Faithful to a text, in some hundred words.
    Known { words: &["summar", "translat", "rewrite", "qa", "question"], settings: [0.3, 0.95, 512.0] },
    // Anything else: Mistral's and Llama's generation configurations have 0.6 to 0.7 and 0.9 to 1.
    Known { words: &[""], settings: [0.7, 0.95, 512.0] },
];

/// At least so many configurations to begin with, and at most: each is tried before anything is learned.
const CONFIGURATIONS: (usize, usize) = (6, 12);
/// How far from a known good setting the others lie, as a share of the way to anywhere in the range.
const AROUND: f64 = 0.5;

/// Configurations to begin with, the best guess first: known good settings where the space takes them and the middle of everything else,
/// then low-discrepancy points, which stay half as far from what is known.
pub(super) fn configurations(space: &Space, task: &str, seed: u64) -> Vec<Point> {
    let task = task.to_lowercase();
    let known = TABLE.iter().find(|known| known.words.iter().any(|word| task.contains(word)));
    let setting = |parameter: &Parameter| {
        let [temperature, top_p, max_tokens] = known?.settings;
        let value = match &*parameter.name {
            "temperature" => temperature,
            "top_p" => top_p,
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" => max_tokens,
            "frequency_penalty" | "presence_penalty" => 0.0,
            _ => return None,
        };
        match &parameter.domain {
            Domain::Categorical { .. } => parameter.domain.number(&Value::Number(value)),
            domain => Some(domain.share(value)),
        }
    };
    let settings: Vec<Option<f64>> = space.parameters().iter().map(setting).collect();
    let axes = space.parameters().iter().zip(&settings);
    let middle = |(parameter, setting): (&Parameter, &Option<f64>)| {
        setting.unwrap_or(if parameter.domain.is_categorical() { parameter.domain.at(0.0) } else { 0.5 })
    };
    let best = space.decode(&axes.clone().map(middle).collect::<Vec<f64>>());
    let (least, most) = CONFIGURATIONS;
    let count = (2 * space.dimensions() + 2).clamp(least, most);
    let mut points = vec![best];
    for number in 0..2 * count as u64 {
        let cube = sobol::cube(number, space.dimensions(), seed as u32);
        let coordinate = |((parameter, setting), share): ((&Parameter, &Option<f64>), f64)| match setting {
            _ if parameter.domain.is_categorical() => parameter.domain.at(share),
            Some(known) => known + AROUND * (share - known),
            None => share,
        };
        let point = space.decode(&axes.clone().zip(cube).map(coordinate).collect::<Vec<f64>>());
        if points.len() < count && !points.contains(&point) {
            points.push(point);
        }
    }
    points
}
