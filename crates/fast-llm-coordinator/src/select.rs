//! Which endpoint is asked next: a pure function over what is known of each.

use std::time::{Duration, Instant};

use crate::endpoint::Availability;

/// One endpoint in the eyes of the choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contender {
    pub(crate) availability: Availability,
    /// Lower is better.
    pub(crate) cost: f64,
    /// How this request fared there so far.
    pub(crate) tried: Tried,
}

/// How a request fared at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    NotYet,
    /// Failed in a way that may pass in a moment (refused, closed, 5xx): worth one more try.
    FailedBriefly,
    /// Failed in a way that a second try will not mend, or twice.
    Finished,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Ask this one now.
    Ask(usize),
    /// Ask this one again after a pause.
    AskAgain(usize),
    /// Nobody can be asked.
    Nobody(Unavailable),
}

/// Why nobody can be asked, where something other than a failure of this request is the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// All were tried.
    AllTried,
    /// All that is left asked for a pause, the shortest of which is this long.
    CoolingDown(Duration),
    /// All that is left refused our key.
    Quarantined,
    /// All that is left is at its limit.
    Full,
}

/// Fresh endpoints first, by the power of two choices; then those with an open breaker, because with nobody else to
/// ask a likely failure is better than a certain one (Envoy calls this the panic threshold,
/// <https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/panic_threshold>); then
/// one that failed briefly, once more.
pub(crate) fn choose(options: &[Contender], rng: &mut fastrand::Rng, now: Instant) -> Choice {
    let pick = |wanted: &dyn Fn(&Contender) -> bool, rng: &mut fastrand::Rng| -> Option<usize> {
        let eligible: Vec<usize> = (0..options.len()).filter(|&i| wanted(&options[i])).collect();
        let costs: Vec<f64> = eligible.iter().map(|&i| options[i].cost).collect();
        balance::power_of_two(&costs, rng).map(|i| eligible[i])
    };
    let may_be_asked = |o: &Contender| matches!(o.availability, Availability::Ready | Availability::Suspect);

    if let Some(i) = pick(&|o| o.tried == Tried::NotYet && o.availability == Availability::Ready, rng) {
        return Choice::Ask(i);
    }
    if let Some(i) = pick(&|o| o.tried == Tried::NotYet && may_be_asked(o), rng) {
        return Choice::Ask(i);
    }
    if let Some(i) = pick(&|o| o.tried == Tried::FailedBriefly && may_be_asked(o), rng) {
        return Choice::AskAgain(i);
    }
    Choice::Nobody(why_nobody(options, now))
}

fn why_nobody(options: &[Contender], now: Instant) -> Unavailable {
    let untried = || options.iter().filter(|o| o.tried == Tried::NotYet).map(|o| o.availability);
    let soonest = untried().filter_map(|a| match a {
        Availability::CoolingDown { until } => Some(until.saturating_duration_since(now)),
        _ => None,
    });
    if untried().any(|a| a == Availability::Full) {
        Unavailable::Full
    } else if let Some(pause) = soonest.min() {
        Unavailable::CoolingDown(pause)
    } else if untried().any(|a| a == Availability::Quarantined) {
        Unavailable::Quarantined
    } else {
        Unavailable::AllTried
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Availability::{CoolingDown, Full, Quarantined, Ready, Suspect};
    use Tried::{FailedBriefly, Finished, NotYet};

    fn check(options: &[(Availability, f64, Tried)], expected: Choice, now: Instant) {
        let options: Vec<Contender> = options
            .iter()
            .map(|&(availability, cost, tried)| Contender { availability, cost, tried })
            .collect();
        for seed in 0..20 {
            assert_eq!(choose(&options, &mut fastrand::Rng::with_seed(seed), now), expected);
        }
    }

    #[test]
    fn the_cheaper_of_two_ready_endpoints_is_asked() {
        check(&[(Ready, 2.0, NotYet), (Ready, 1.0, NotYet)], Choice::Ask(1), Instant::now());
    }

    #[test]
    fn a_suspect_endpoint_is_asked_only_when_nobody_else_can_be() {
        let now = Instant::now();
        check(&[(Suspect, 0.1, NotYet), (Ready, 9.0, NotYet)], Choice::Ask(1), now);
        check(&[(Suspect, 0.1, NotYet), (Ready, 9.0, Finished)], Choice::Ask(0), now);
    }

    #[test]
    fn an_endpoint_that_failed_briefly_is_asked_again_after_all_others() {
        let now = Instant::now();
        check(&[(Ready, 0.1, FailedBriefly), (Ready, 9.0, NotYet)], Choice::Ask(1), now);
        check(&[(Ready, 0.1, FailedBriefly), (Ready, 9.0, Finished)], Choice::AskAgain(0), now);
    }

    #[test]
    fn nobody_is_asked_during_a_pause_and_the_shortest_pause_is_told() {
        let now = Instant::now();
        let (short, long) = (now + Duration::from_secs(2), now + Duration::from_secs(5));
        check(
            &[(CoolingDown { until: long }, 1.0, NotYet), (CoolingDown { until: short }, 1.0, NotYet)],
            Choice::Nobody(Unavailable::CoolingDown(Duration::from_secs(2))),
            now,
        );
    }

    #[test]
    fn the_reason_for_nobody_is_what_waiting_could_mend_first() {
        let now = Instant::now();
        check(&[(Full, 1.0, NotYet), (Quarantined, 1.0, NotYet)], Choice::Nobody(Unavailable::Full), now);
        check(&[(Quarantined, 1.0, NotYet)], Choice::Nobody(Unavailable::Quarantined), now);
        check(&[(Ready, 1.0, Finished)], Choice::Nobody(Unavailable::AllTried), now);
    }
}
