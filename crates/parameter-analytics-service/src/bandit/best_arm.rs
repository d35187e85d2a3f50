//! When enough is known to say which arm is the best, and which one to try until then.
//!
//! The evidence that arm a is better than arm b is the generalised likelihood ratio (Chernoff 1959; Garivier and Kaufmann, COLT 2016).
//! Where b is better in truth, it is at most `N_a d(m_a, mu_a) + N_b d(m_b, mu_b)`, the deviation of both means from the truth, which
//! Kaufmann and Koolen bound at all times at once ("Mixture Martingales Revisited with Applications to Sequential Tests and Confidence
//! Intervals", JMLR 22(246), 2021, arXiv 1811.11419): for one-parameter exponential families and a set S of arms,
//! `P(exists t: sum over S of N d - 3 ln(1 + ln N) >= |S| T(x / |S|)) <= exp(-x)`. Here S is a pair, and `x = ln((K - 1) / error)`
//! covers the K - 1 rivals of the best arm, so that the verdict is wrong with probability `error` at most. Their martingales need of a
//! distribution only that its moment generating function is not above the family's: that is so for rewards in 0..1 of any distribution
//! beside Bernoulli's, and for Gaussian ones that deviate by `spread` at most. For Gaussian rewards their paper has a smaller
//! threshold, which is not used.
//!
//! The runner-up to try is the one that is hardest to tell from the leader (T3C; Shang, de Heide, Kaufmann, Menard, Valko, AISTATS 2020),
//! instead of drawing until another one leads (Russo 2016), which takes ever longer.

use super::evidence::Totals;
use super::options::Rewards;
use super::upper_bound::kl;

/// How much the rewards speak for `a` being better than `b`, in nats; 0 where they do not.
pub(super) fn evidence(a: &Totals, b: &Totals, rewards: Rewards) -> f64 {
    let (mean_a, mean_b) = (a.mean(), b.mean());
    if a.pulls <= 0.0 || b.pulls <= 0.0 || mean_a <= mean_b {
        return 0.0;
    }
    match rewards {
        Rewards::Bernoulli => {
            let both = (a.sum + b.sum) / (a.pulls + b.pulls);
            a.pulls * kl(mean_a.min(1.0), both) + b.pulls * kl(mean_b.max(0.0), both)
        }
        // With a deviation of 1, since sums are in spreads.
        Rewards::Gaussian { .. } => {
            let gap = mean_a - mean_b;
            0.5 * gap * gap / (1.0 / a.pulls + 1.0 / b.pulls)
        }
    }
}

/// The arm that is the best, if the others are told from it; each with its place.
pub(super) fn verdict(arms: &[(usize, &Totals)], ever: usize, rewards: Rewards, error: f64) -> Option<usize> {
    let (place, leader) = arms.iter().max_by(|a, b| a.1.mean().total_cmp(&b.1.mean()))?;
    let mut rivals = arms.iter().filter(|(rival, _)| rival != place);
    rivals
        .all(|(_, rival)| {
            evidence(leader, rival, rewards) > threshold(leader.pulls, rival.pulls, ever, error)
        })
        .then_some(*place)
}

/// The rival that is hardest to tell from `leader`; among equals the one that was tried least.
pub(super) fn runner_up(leader: usize, arms: &[(usize, &Totals)], rewards: Rewards) -> Option<usize> {
    let (_, leading) = arms.iter().find(|(place, _)| *place == leader)?;
    let rivals = arms.iter().filter(|(place, _)| *place != leader);
    let cost = |rival: &Totals| evidence(leading, rival, rewards);
    let in_order = |a: &Totals, b: &Totals| cost(a).total_cmp(&cost(b)).then(a.pulls.total_cmp(&b.pulls));
    rivals.min_by(|(_, a), (_, b)| in_order(a, b)).map(|(place, _)| *place)
}

/// Below it the evidence for the best among `arms` may still be chance.
fn threshold(pulls: f64, rival_pulls: f64, arms: usize, error: f64) -> f64 {
    let pairs = arms.saturating_sub(1).max(1) as f64;
    let times = |pulls: f64| 3.0 * libm::log(1.0 + libm::log(pulls.max(1.0)));
    2.0 * calibration(0.5 * libm::log(pairs / error)) + times(pulls) + times(rival_pulls)
}

/// The function T of Kaufmann and Koolen 2021, `T(x) = 2 h~((h^-1(1 + x) + ln(2 zeta(2))) / 2)`: x and a logarithm of it. `h(u)` is
/// `u - ln u`, and `h~` is theirs for z = 3/2: `exp(1/u) u` with `u = h^-1(y)` from the y on where that u is `1 / ln z`, and below it
/// the line `z (y - ln ln z)`, which meets it there.
fn calibration(x: f64) -> f64 {
    /// ln(2 zeta(2)) = ln(pi^2 / 3).
    const MIXTURE: f64 = 1.190_847_483_030_69;
    let y = 0.5 * (inverse_h(1.0 + x) + MIXTURE);
    /// h(1 / ln(3/2)) and ln(ln(3/2)).
    const TURN: f64 = 1.563_583_006_658_551_9;
    const LOG_LOG: f64 = -0.902_720_455_717_879_8;
    let tilted = if y >= TURN {
        let u = inverse_h(y);
        libm::exp(1.0 / u) * u
    } else {
        1.5 * (y - LOG_LOG)
    };
    2.0 * tilted
}

/// The u >= 1 with u - ln u = y, for y >= 1.
fn inverse_h(y: f64) -> f64 {
    let mut u = y + (2.0 * (y - 1.0).max(0.0)).sqrt();
    /// From this start Newton's steps double the digits at once.
    const STEPS: usize = 20;
    for _ in 0..STEPS {
        if u <= 1.0 {
            return 1.0;
        }
        let step = (u - libm::log(u) - y) / (1.0 - 1.0 / u);
        u = (u - step).max(1.0);
        if step.abs() < 1e-12 * u {
            break;
        }
    }
    u
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(pulls: f64, mean: f64) -> Totals {
        Totals { pulls, sum: pulls * mean, ..Totals::default() }
    }

    #[test]
    fn the_calibration_is_that_of_the_paper() {
        for (x, y) in [(1.0, 1.0), (2.0, 2.0 - 2f64.ln()), (10.0, 10.0 - 10f64.ln())] {
            assert!((inverse_h(y) - x).abs() < 1e-9, "{x}: {}", inverse_h(y));
        }
        // They give T(x) as about x + 4 ln(1 + x + sqrt(2 x)) for x >= 5.
        for x in [5.0f64, 10.0, 50.0, 500.0] {
            let near = x + 4.0 * (1.0 + x + (2.0 * x).sqrt()).ln();
            assert!((0.97..1.12).contains(&(calibration(x) / near)), "{x}: {} for {near}", calibration(x));
        }
        let (log_log, turn) = (1.5f64.ln().ln(), 1.0 / 1.5f64.ln() + 1.5f64.ln().ln());
        assert!((log_log + 0.902_720_455_717_879_8).abs() < 1e-12, "{log_log}");
        assert!((turn - 1.563_583_006_658_551_9).abs() < 1e-9, "{turn}");
        assert!(
            ((std::f64::consts::PI.powi(2) / 3.0).ln() - 1.190_847_483_030_69).abs() < 1e-12,
            "{}",
            (std::f64::consts::PI.powi(2) / 3.0).ln()
        );
    }

    #[test]
    fn evidence_grows_with_the_gap_and_the_rewards() {
        let rewards = Rewards::Bernoulli;
        let of = |n, a, b| evidence(&totals(n, a), &totals(n, b), rewards);
        assert_eq!(of(100.0, 0.4, 0.5), 0.0);
        assert!(of(100.0, 0.6, 0.5) < of(100.0, 0.7, 0.5) && of(100.0, 0.6, 0.5) < of(200.0, 0.6, 0.5));
        assert_eq!(evidence(&totals(0.0, 0.9), &totals(9.0, 0.1), rewards), 0.0);
    }

    #[test]
    fn a_verdict_needs_every_rival_to_be_told_apart() {
        let arms = [totals(900.0, 0.8), totals(900.0, 0.5), totals(900.0, 0.79)];
        let placed: Vec<(usize, &Totals)> = arms.iter().enumerate().collect();
        assert_eq!(verdict(&placed[..2], 2, Rewards::Bernoulli, 0.05), Some(0));
        assert_eq!(verdict(&placed, 3, Rewards::Bernoulli, 0.05), None);
        assert_eq!(runner_up(0, &placed, Rewards::Bernoulli), Some(2));
    }
}
