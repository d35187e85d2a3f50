//! Which endpoint is asked next: a pure function over what is known of each.

use std::time::{Duration, Instant};

use balance::{Home, Load, RoundRobin};
use parking_lot::Mutex;

use crate::board::Availability;
use crate::endpoint::Standing;

/// How much more than its share of the load an endpoint takes before conversations that belong there go elsewhere. The
/// paper's authors found a quarter to be the balance between moved keys and uneven loads; Google's load balancer and
/// HAProxy use it.
const AFFINITY_BOUND: f64 = 1.25;

/// One endpoint in the eyes of the choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contender {
    pub(crate) standing: Standing,
    /// Stands for it in hashes.
    pub(crate) id: u64,
    /// How this request fared there so far.
    pub(crate) tried: Tried,
}

/// How a request fared at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    NotYet,
    /// Not let into its line.
    TurnedAway,
    /// Failed in a way that may pass in a moment (refused, closed, 5xx): worth one more try.
    FailedBriefly,
    /// Failed in a way that a second try will not mend, or twice.
    Finished,
}

/// How one of several that are equally well is picked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way<'a> {
    /// The lower of two drawn costs.
    PeakEwma,
    /// Whose turn it is.
    RoundRobin(&'a Mutex<RoundRobin>),
    /// The one with the fewest requests by weight.
    LeastInFlight,
    /// The home of this key.
    Affinity(u64),
    /// The first.
    Priority,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Ask this one now.
    Ask(usize),
    /// Ask this one again after a pause.
    AskAgain(usize),
    /// Wait for a place at any that is full.
    Wait,
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
}

impl Contender {
    /// Whether its line is worth standing in.
    pub(crate) fn is_worth_a_wait(&self) -> bool {
        self.tried == Tried::NotYet && self.standing.availability == Availability::Full
    }

    fn may_be_asked(&self) -> bool {
        matches!(self.standing.availability, Availability::Ready | Availability::Suspect)
    }

    fn load(&self) -> Load {
        Load { in_flight: self.standing.in_flight, weight: self.standing.weight }
    }
}

/// Fresh endpoints that are ready first; then a place in the line of one that is full; then those with an open breaker,
/// because with nobody else to ask a likely failure is better than a certain one (Envoy calls this the panic threshold,
/// <https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/panic_threshold>); then
/// one that failed briefly, once more. Among equals, the model's way decides.
pub(crate) fn choose(options: &[Contender], way: Way<'_>, rng: &mut fastrand::Rng, now: Instant) -> Choice {
    let is_ready = |o: &Contender| o.standing.availability == Availability::Ready;
    if let Some(i) = pick(options, way, |o| o.tried == Tried::NotYet && is_ready(o), rng) {
        return Choice::Ask(i);
    }
    if options.iter().any(Contender::is_worth_a_wait) {
        return Choice::Wait;
    }
    if let Some(i) = pick(options, way, |o| o.tried == Tried::NotYet && o.may_be_asked(), rng) {
        return Choice::Ask(i);
    }
    let once_more = |o: &Contender| {
        o.tried == Tried::FailedBriefly && (o.may_be_asked() || o.standing.availability == Availability::Full)
    };
    if let Some(i) = pick(options, way, once_more, rng) {
        return Choice::AskAgain(i);
    }
    Choice::Nobody(why_nobody(options, now))
}

fn pick(
    options: &[Contender],
    way: Way<'_>,
    wanted: impl Fn(&Contender) -> bool,
    rng: &mut fastrand::Rng,
) -> Option<usize> {
    // One without weight takes no part.
    let load = |o: &Contender| if wanted(o) { o.load() } else { Load { weight: 0.0, ..o.load() } };
    let nth = |n| options.iter().enumerate().filter(|(_, o)| wanted(o)).nth(n);
    match way {
        Way::PeakEwma => {
            let eligible = options.iter().filter(|o| wanted(o)).count();
            let cost = |n| nth(n).map_or(f64::NAN, |(_, o)| o.standing.cost);
            balance::power_of_two(eligible, cost, rng).and_then(nth).map(|(index, _)| index)
        }
        // A pick that nobody can win would leave the turns as they are, but costs the lock.
        Way::RoundRobin(_) if !options.iter().any(&wanted) => None,
        Way::RoundRobin(turns) => turns.lock().pick(options.iter().map(|o| load(o).weight)),
        Way::LeastInFlight => balance::least_in_flight(options.iter().map(load), rng),
        Way::Affinity(key) => {
            let homes = options.iter().map(|o| Home { id: o.id, load: load(o) });
            balance::affinity(key, AFFINITY_BOUND, homes)
        }
        Way::Priority => options.iter().position(wanted),
    }
}

fn why_nobody(options: &[Contender], now: Instant) -> Unavailable {
    let untried = || options.iter().filter(|o| o.tried == Tried::NotYet).map(|o| o.standing.availability);
    let soonest = untried().filter_map(|a| match a {
        Availability::CoolingDown { until } => Some(until.saturating_duration_since(now)),
        _ => None,
    });
    if let Some(pause) = soonest.min() {
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
    use Tried::{FailedBriefly, Finished, NotYet, TurnedAway};

    fn contender(availability: Availability, cost: f64, tried: Tried) -> Contender {
        Contender { standing: Standing { availability, cost, in_flight: 0, weight: 1.0 }, id: 0, tried }
    }

    /// The same whatever the way and the draw.
    fn check(options: &[(Availability, f64, Tried)], expected: Choice, now: Instant) {
        let options: Vec<Contender> = options.iter().map(|&(a, cost, t)| contender(a, cost, t)).collect();
        let turns = Mutex::default();
        for way in
            [Way::RoundRobin(&turns), Way::LeastInFlight, Way::Affinity(7), Way::Priority, Way::PeakEwma]
        {
            for seed in 0..20 {
                assert_eq!(
                    choose(&options, way, &mut fastrand::Rng::with_seed(seed), now),
                    expected,
                    "{way:?}"
                );
            }
        }
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
        check(&[(Full, 0.1, FailedBriefly), (Ready, 9.0, Finished)], Choice::AskAgain(0), now);
    }

    #[test]
    fn a_place_is_waited_for_rather_than_a_likely_failure_asked() {
        let now = Instant::now();
        check(&[(Full, 0.1, NotYet), (Ready, 9.0, NotYet)], Choice::Ask(1), now);
        check(&[(Full, 9.0, NotYet), (Suspect, 0.1, NotYet)], Choice::Wait, now);
        check(&[(Full, 9.0, TurnedAway), (Suspect, 0.1, NotYet)], Choice::Ask(1), now);
        check(&[(Full, 9.0, NotYet), (Ready, 0.1, FailedBriefly)], Choice::Wait, now);
        check(&[(Full, 9.0, TurnedAway)], Choice::Nobody(Unavailable::AllTried), now);
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
        let until = now + Duration::from_secs(2);
        check(
            &[(Quarantined, 1.0, NotYet), (CoolingDown { until }, 1.0, NotYet)],
            Choice::Nobody(Unavailable::CoolingDown(Duration::from_secs(2))),
            now,
        );
        check(&[(Quarantined, 1.0, NotYet)], Choice::Nobody(Unavailable::Quarantined), now);
        check(&[(Ready, 1.0, Finished)], Choice::Nobody(Unavailable::AllTried), now);
    }

    /// Which of these is asked, so often, if nothing changes in between.
    fn asked(way: Way<'_>, options: &[(u32, f64, Tried)], times: usize) -> Vec<usize> {
        let options: Vec<Contender> = (1..)
            .zip(options)
            .map(|(id, &(in_flight, weight, tried))| {
                let cost = (f64::from(in_flight) + 1.0) / weight;
                let standing = Standing { availability: Ready, cost, in_flight, weight };
                Contender { standing, id, tried }
            })
            .collect();
        let mut rng = fastrand::Rng::with_seed(3);
        (0..times)
            .map(|_| match choose(&options, way, &mut rng, Instant::now()) {
                Choice::Ask(index) => index,
                other => panic!("expected somebody, got {other:?}"),
            })
            .collect()
    }

    #[test]
    fn each_way_picks_in_its_own_manner() {
        let loads = [(4, 1.0, NotYet), (0, 1.0, Finished), (2, 1.0, NotYet), (8, 1.0, NotYet)];
        assert_eq!(asked(Way::Priority, &loads, 3), [0, 0, 0]);
        assert_eq!(asked(Way::LeastInFlight, &loads, 3), [2, 2, 2]);
        assert_eq!(asked(Way::RoundRobin(&Mutex::default()), &loads, 6), [0, 2, 3, 0, 2, 3]);
        let drawn = asked(Way::PeakEwma, &loads, 50);
        assert!(
            drawn.contains(&0) && drawn.contains(&2) && drawn.iter().all(|i| [0, 2].contains(i)),
            "{drawn:?}"
        );
    }

    #[test]
    fn the_weights_count_for_every_way_but_priority() {
        let weights = [(0, 1.0, NotYet), (0, 3.0, NotYet)];
        let second = |way: Way<'_>, loads: &[_]| asked(way, loads, 400).iter().filter(|i| **i == 1).count();
        assert_eq!(second(Way::RoundRobin(&Mutex::default()), &weights), 300);
        assert!((270..330).contains(&second(Way::LeastInFlight, &weights)));
        assert_eq!(second(Way::PeakEwma, &weights), 400);
        assert_eq!(second(Way::Priority, &weights), 0);
        let homes = (0..400).filter(|key| asked(Way::Affinity(*key), &weights, 1) == [1]).count();
        assert!((270..330).contains(&homes), "{homes}");
    }

    #[test]
    fn like_conversations_stay_together_until_their_endpoint_has_more_than_its_share() {
        let idle = [(0, 1.0, NotYet); 4];
        let home = asked(Way::Affinity(42), &idle, 1)[0];
        assert_eq!(asked(Way::Affinity(42), &idle, 5), [home; 5]);
        let mut busy = [(4, 1.0, NotYet); 4];
        assert_eq!(asked(Way::Affinity(42), &busy, 1), [home]);
        busy[home].0 = 7;
        assert_ne!(asked(Way::Affinity(42), &busy, 1), [home]);
    }
}
