//! Decides which tokens go into the next batch, who gives way when the context's cells run out, and who gets a free lane.
//!
//! One llama.cpp context is shared by all running requests (lanes). Each step one batch is computed: first one token for
//! every lane that generates, then slices of prompts that are still being read, so that a long prompt delays running
//! streams by one slice at most; how large a slice may be is measured by [`pace`](crate::pace). The cells are
//! over-committed; when they run out the youngest lane is put back into the queue and what was lost of it is read again
//! later, as in vLLM's recompute preemption
//! (<https://docs.vllm.ai/en/latest/configuration/optimization/#preemption>).

/// What the scheduler needs to know of one running request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Which lane: the sequence id inside llama.cpp.
    pub id: usize,
    /// Order of arrival; smaller is older.
    pub arrival: u64,
    /// Tokens of the prompt and the answer so far.
    pub tokens: usize,
    /// How many of them llama.cpp has already seen. Smaller than `tokens`.
    pub cached: usize,
    /// Cells that are free again when this lane gives way; lanes that begin alike share the others.
    pub exclusive: usize,
    /// The client does not read fast enough: no token is generated until it has.
    pub paused: bool,
}

impl Lane {
    /// Tokens that have to be computed before the next one can be sampled.
    pub fn pending(&self) -> usize {
        self.tokens - self.cached
    }
}

/// The sizes that bound a batch. All in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most tokens in one batch: llama.cpp's `n_batch`.
    pub batch: usize,
    /// Most prompt tokens in a batch in which a lane also generates.
    pub prompt_beside_generation: usize,
    /// Cells of the shared context.
    pub cells: usize,
}

/// A run of consecutive tokens of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// [`Lane::id`].
    pub lane: usize,
    /// How many tokens, from the first uncached one.
    pub count: usize,
    /// The slice ends with the lane's last token, so that the next one can be sampled.
    pub sample: bool,
}

/// One step of the loop.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Lanes to put back into the queue before the batch is computed, by [`Lane::id`].
    pub preempt: Vec<usize>,
    /// The batch. Empty if nothing can run.
    pub slices: Vec<Slice>,
}

/// Plans one step for lanes that use `taken` cells together. Every lane's `tokens` must fit into `limits.cells` by itself.
pub fn plan(lanes: &[Lane], taken: usize, limits: Limits) -> Plan {
    let mut by_age: Vec<Lane> = lanes.to_vec();
    by_age.sort_unstable_by_key(|lane| lane.arrival);

    let mut plan = Plan::default();
    let mut committed = taken + by_age.iter().map(Lane::pending).sum::<usize>();
    while committed > limits.cells && by_age.len() > 1 {
        let Some(victim) = victim(&by_age) else { break };
        let lane = by_age.remove(victim);
        committed = committed.saturating_sub(lane.exclusive + lane.pending());
        plan.preempt.push(lane.id);
    }

    let mut room = limits.batch;
    let ready = || by_age.iter().filter(|lane| !lane.paused);
    for lane in ready().filter(|lane| lane.pending() == 1).take(limits.batch) {
        plan.slices.push(Slice { lane: lane.id, count: 1, sample: true });
        room -= 1;
    }
    if !plan.slices.is_empty() {
        room = room.min(limits.prompt_beside_generation);
    }
    for lane in ready().filter(|lane| lane.pending() > 1) {
        let count = lane.pending().min(room);
        if count == 0 {
            break;
        }
        plan.slices.push(Slice { lane: lane.id, count, sample: count == lane.pending() });
        room -= count;
    }
    plan
}

/// A paused lane gives way first, for it makes no progress; then the youngest, which has the least to lose.
fn victim(by_age: &[Lane]) -> Option<usize> {
    (0..by_age.len()).max_by_key(|&index| (by_age[index].paused, by_age[index].arrival))
}

/// Whether a request that needs `tokens` new cells may start beside lanes that hold or will soon need `committed`: its
/// prompt, and one more token for it and for each of the `running` lanes, so that starting it does not make someone give
/// way in the very next step.
pub fn fits(tokens: usize, committed: usize, running: usize, cells: usize) -> bool {
    running == 0 || committed + tokens + running < cells
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A plan for lanes that share nothing.
    fn plan(lanes: &[Lane], limits: Limits) -> Plan {
        super::plan(lanes, lanes.iter().map(|lane| lane.cached).sum(), limits)
    }

    const LIMITS: Limits = Limits { batch: 512, prompt_beside_generation: 64, cells: 8192 };

    fn generating(id: usize, tokens: usize) -> Lane {
        Lane { id, arrival: id as u64, tokens, cached: tokens - 1, exclusive: tokens - 1, paused: false }
    }

    fn reading(id: usize, tokens: usize) -> Lane {
        Lane { id, arrival: id as u64, tokens, cached: 0, exclusive: 0, paused: false }
    }

    #[test]
    fn a_lone_prompt_fills_the_whole_batch() {
        let plan = plan(&[reading(0, 2000)], LIMITS);
        assert_eq!(plan.slices, [Slice { lane: 0, count: 512, sample: false }]);
    }

    #[test]
    fn the_slice_that_ends_a_prompt_is_sampled() {
        let plan = plan(&[reading(0, 300)], LIMITS);
        assert_eq!(plan.slices, [Slice { lane: 0, count: 300, sample: true }]);
    }

    #[test]
    fn a_long_prompt_goes_in_small_slices_beside_running_streams() {
        let plan = plan(&[reading(0, 4000), generating(1, 10), generating(2, 20)], LIMITS);
        assert_eq!(
            plan.slices,
            [
                Slice { lane: 1, count: 1, sample: true },
                Slice { lane: 2, count: 1, sample: true },
                Slice { lane: 0, count: 64, sample: false },
            ]
        );
    }

    #[test]
    fn a_paused_lane_waits_and_the_others_go_on() {
        let paused = Lane { paused: true, ..generating(0, 10) };
        let plan = plan(&[paused, generating(1, 10)], LIMITS);
        assert_eq!(plan.slices, [Slice { lane: 1, count: 1, sample: true }]);
    }

    #[test]
    fn when_the_cells_run_out_the_youngest_gives_way() {
        let limits = Limits { cells: 100, ..LIMITS };
        let plan = plan(&[generating(2, 40), generating(0, 40), generating(1, 21)], limits);
        assert_eq!(plan.preempt, [2]);
        assert_eq!(plan.slices.iter().map(|slice| slice.lane).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_paused_lane_gives_way_before_the_youngest() {
        let limits = Limits { cells: 100, ..LIMITS };
        let paused = Lane { paused: true, ..generating(0, 40) };
        assert_eq!(plan(&[paused, generating(1, 40), generating(2, 21)], limits).preempt, [0]);
    }

    #[test]
    fn the_last_lane_never_gives_way() {
        let limits = Limits { cells: 100, ..LIMITS };
        assert!(plan(&[generating(0, 100)], limits).preempt.is_empty());
    }

    #[test]
    fn lanes_that_share_cells_fit_where_they_would_not_alone() {
        let limits = Limits { cells: 100, ..LIMITS };
        let shared = |id| Lane { exclusive: 10, ..generating(id, 60) };
        let lanes = [shared(0), shared(1), shared(2)];
        assert!(super::plan(&lanes, 49 + 3 * 10, limits).preempt.is_empty());
        assert_eq!(super::plan(&lanes, 49 + 3 * 17, limits).preempt, [2]);
    }

    #[test]
    fn a_request_starts_alone_whatever_its_size_and_beside_others_only_if_it_fits() {
        assert!(fits(100, 0, 0, 100));
        assert!(fits(50, 40, 1, 92));
        assert!(!fits(50, 40, 1, 91));
    }

    fn lanes() -> impl Strategy<Value = Vec<Lane>> {
        prop::collection::vec((1usize..400, 0usize..400, any::<bool>()), 1..8).prop_map(|lanes| {
            let lane = |(id, (tokens, cached, paused)): (usize, (usize, usize, bool))| Lane {
                id,
                arrival: id as u64,
                tokens,
                cached: cached.min(tokens - 1),
                exclusive: cached.min(tokens - 1),
                paused,
            };
            lanes.into_iter().enumerate().map(lane).collect()
        })
    }

    proptest! {
        #[test]
        fn a_plan_respects_every_limit_and_always_makes_progress(lanes in lanes(), cells in 400usize..1500) {
            let limits = Limits { batch: 64, prompt_beside_generation: 16, cells };
            let plan = plan(&lanes, limits);
            let kept: Vec<&Lane> = lanes.iter().filter(|lane| !plan.preempt.contains(&lane.id)).collect();
            let of = |id: usize| lanes.iter().find(|lane| lane.id == id).expect("a lane of the input");

            prop_assert!(plan.slices.iter().map(|slice| slice.count).sum::<usize>() <= limits.batch);
            prop_assert!(!kept.is_empty());
            prop_assert!(kept.len() == 1 || kept.iter().map(|lane| lane.tokens).sum::<usize>() <= cells);
            for slice in &plan.slices {
                let lane = of(slice.lane);
                prop_assert!(!lane.paused && !plan.preempt.contains(&lane.id));
                prop_assert!(slice.count >= 1 && slice.count <= lane.pending());
                prop_assert_eq!(slice.sample, slice.count == lane.pending());
            }
            for lane in &kept {
                let planned = plan.slices.iter().filter(|slice| slice.lane == lane.id).count();
                prop_assert!(planned <= 1);
                if lane.pending() == 1 && !lane.paused {
                    prop_assert_eq!(planned, 1, "a lane that generates gets a token in every step");
                }
            }
            prop_assert_eq!(plan.slices.is_empty(), kept.iter().all(|lane| lane.paused));
        }
    }
}
