//! How many prompt tokens one batch may read, so that no batch takes too long.
//!
//! Streams get one token per batch, and a batch that reads a prompt takes as long as its prompt tokens need. How long that
//! is depends on the model, the machine and how full the context is, so it is measured, batch by batch.

use std::time::Duration;

use crate::schedule::Limits;

/// How long a batch may take while streams run. Three tokens a second is where reading begins to stutter, and a noisy
/// machine stretches single batches to twice what was expected.
const BESIDE_STREAMS: Duration = Duration::from_millis(160);
/// How long a batch may take otherwise: a request that comes meanwhile waits for its end.
const ALONE: Duration = Duration::from_millis(700);
/// Fewer prompt tokens than this per batch read a prompt too slowly: each batch reads all weights once more.
const LEAST: usize = 16;
/// The share of the newest measurement in the averages.
const NEWEST: f64 = 0.3;
/// Prompt tokens beside streams before anything is measured.
const UNMEASURED: usize = 64;

/// The measured cost of batches.
#[derive(Debug, Default, Clone, Copy)]
pub struct Pace {
    /// Seconds of a batch that only generates.
    generation: Option<f64>,
    /// Seconds per prompt token beyond that.
    prompt_token: Option<f64>,
}

impl Pace {
    /// Learns from a batch of `generated` tokens for streams and `read` prompt tokens that took `took`.
    pub fn learn(&mut self, generated: usize, read: usize, took: Duration) {
        let took = took.as_secs_f64();
        if read == 0 {
            self.generation = Some(mix(self.generation, took));
            return;
        }
        let generation = if generated > 0 { self.generation.unwrap_or(0.0) } else { 0.0 };
        // Never less than half of what the tokens' share suggests: the average of generation may be out of date.
        let prompt = (took - generation).max(took / 2.0) / read as f64;
        self.prompt_token = Some(mix(self.prompt_token, prompt));
    }

    /// The sizes of the next batch, of at most `batch` tokens over `cells` cells.
    pub fn limits(&self, batch: usize, cells: usize) -> Limits {
        let Some(prompt_token) = self.prompt_token else {
            return Limits { batch, prompt_beside_generation: UNMEASURED.min(batch), cells };
        };
        let fit = |time: Duration, spent: f64| {
            let tokens = ((time.as_secs_f64() - spent).max(0.0) / prompt_token) as usize;
            tokens.max(LEAST).min(batch)
        };
        Limits {
            batch: fit(ALONE, 0.0),
            prompt_beside_generation: fit(BESIDE_STREAMS, self.generation.unwrap_or(0.0)),
            cells,
        }
    }
}

fn mix(average: Option<f64>, newest: f64) -> f64 {
    average.map_or(newest, |average| average + NEWEST * (newest - average))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn before_anything_is_measured_slices_are_small() {
        assert_eq!(
            Pace::default().limits(512, 8192),
            Limits { batch: 512, prompt_beside_generation: 64, cells: 8192 }
        );
    }

    #[test]
    fn slices_take_the_time_that_is_left_beside_the_streams() {
        let mut pace = Pace::default();
        pace.learn(1, 0, 10 * MS);
        pace.learn(1, 50, 60 * MS);
        // A millisecond per prompt token.
        assert_eq!(pace.limits(512, 8192).prompt_beside_generation, 150);
        assert_eq!(pace.limits(512, 8192).batch, 512);
    }

    #[test]
    fn a_slow_machine_still_reads_on() {
        let mut pace = Pace::default();
        pace.learn(4, 0, 900 * MS);
        pace.learn(4, 64, 9000 * MS);
        assert_eq!(pace.limits(512, 8192).prompt_beside_generation, LEAST);
    }

    #[test]
    fn when_the_machine_becomes_slow_slices_shrink_within_a_few_batches() {
        let mut pace = Pace::default();
        pace.learn(0, 100, 100 * MS);
        for _ in 0..5 {
            let read = pace.limits(512, 8192).batch;
            pace.learn(0, read, MS * 10 * u32::try_from(read).expect("small"));
        }
        assert!(pace.limits(512, 8192).batch < 100);
    }

    #[test]
    fn a_stale_average_of_generation_does_not_make_prompts_look_free() {
        let mut pace = Pace::default();
        pace.learn(8, 0, 500 * MS);
        pace.learn(1, 100, 100 * MS);
        assert!(pace.limits(512, 8192).prompt_beside_generation <= 200);
    }
}
