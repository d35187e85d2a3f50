//! How well each policy chooses, beside an exact Thompson sampler that shares no code with the bandits; how often the verdict on the best
//! arm is wrong; how fast decisions are. `cargo run --release -p parameter-analytics-service --example bandits -- PART [NUMBER]...`
//! prints lines of JSON.
//!
//! `regret [RUNS] [DECISIONS]`: the regret that adds up over 10,000 decisions, its mean over 200 seeds and that mean's standard error.
//!
//! - `easy`: distribution 14 of Auer, Cesa-Bianchi and Fischer, "Finite-time analysis of the multiarmed bandit problem" (2002).
//! - `hard`: rare successes, as in the experiments of Garivier and Cappe (2011) and Kaufmann, Korda and Munos (2012).
//! - `switch`: five coins of which another one becomes the best halfway; the regret after that.
//!
//! `identify [RUNS]`: verdicts of the top-two policy that were wrong, of 1,000, and how many rewards they took.
//!
//! `rate [MS]`: decisions per second of CPU time, alone and with the reward of each, among 10 arms and with 16 features, as
//! `benchmarks/params/bandits.py` measures others.

#![expect(clippy::print_stdout, reason = "an example speaks to the terminal")]

use parameter_analytics_service::bandit::{
    Bandit, BanditError, BanditOptions, Clock, Forget, Policy, Rewards,
};

const EASY: [f64; 10] = [0.9, 0.8, 0.8, 0.8, 0.7, 0.7, 0.7, 0.6, 0.6, 0.6];
const HARD: [f64; 10] = [0.1, 0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01];
const BEFORE: [f64; 5] = [0.9, 0.5, 0.5, 0.5, 0.1];
const AFTER: [f64; 5] = [0.5, 0.5, 0.5, 0.5, 0.9];

fn main() -> Result<(), BanditError> {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().unwrap_or_default();
    let mut numbers = arguments.map(|argument| argument.parse().unwrap_or(0));
    let mut number = |default| numbers.next().unwrap_or(default);
    match &*part {
        "regret" => regrets(number(200), number(10_000)),
        "identify" => identify(number(1_000)),
        "rate" => rates(number(1_000)),
        _ => {
            println!("bandits regret [RUNS] [DECISIONS] | identify [RUNS] | rate [MS]");
            Ok(())
        }
    }
}

fn regrets(runs: u64, decisions: u64) -> Result<(), BanditError> {
    for (problem, means) in [("easy", EASY), ("hard", HARD)] {
        let exact: Vec<f64> = (0..runs).map(|seed| exact_thompson(&means, decisions, seed)).collect();
        print(problem, "exact-thompson-reference", &exact);
        for (name, policy) in [
            ("thompson", Policy::Thompson),
            ("ucb", Policy::Ucb),
            ("epsilon-greedy", Policy::EpsilonGreedy { epsilon: 0.1 }),
        ] {
            let regrets = (0..runs).map(|seed| {
                regret(policy, Forget::Never, [&means, &means], decisions, seed).map(|[a, b]| a + b)
            });
            print(problem, name, &regrets.collect::<Result<Vec<f64>, _>>()?);
        }
    }
    let length = decisions / 8;
    for (name, forget) in [
        ("thompson", Forget::Never),
        ("thompson, sliding window", Forget::Window { length, clock: Clock::Rewards }),
        ("thompson, discounted", Forget::HalfLife { length: length / 4, clock: Clock::Rewards }),
    ] {
        let regrets = (0..runs).map(|seed| {
            regret(Policy::Thompson, forget, [&BEFORE, &AFTER], decisions, seed).map(|[_, after]| after)
        });
        print("switch", name, &regrets.collect::<Result<Vec<f64>, _>>()?);
    }
    Ok(())
}

fn print(problem: &str, policy: &str, regrets: &[f64]) {
    let runs = regrets.len() as f64;
    let mean = regrets.iter().sum::<f64>() / runs;
    let variance = regrets.iter().map(|regret| (regret - mean).powi(2)).sum::<f64>() / (runs - 1.0);
    let error = (variance / runs).sqrt();
    println!(
        r#"{{"problem":"{problem}","policy":"{policy}","runs":{runs},"regret":{mean:.2},"standardError":{error:.2}}}"#
    );
}

/// The regret in each half of a run.
fn regret(
    policy: Policy,
    forget: Forget,
    halves: [&[f64]; 2],
    decisions: u64,
    seed: u64,
) -> Result<[f64; 2], BanditError> {
    let names: Vec<String> = (0..halves[0].len()).map(|arm| arm.to_string()).collect();
    let options = BanditOptions::new(names.iter().map(String::as_str), policy, Rewards::Bernoulli, seed);
    let mut bandit = Bandit::new(BanditOptions { forget, ..options })?;
    let mut world = World(seed);
    let mut regrets = [0.0; 2];
    for now in 0..decisions {
        let half = usize::from(2 * now >= decisions);
        let means = halves[half];
        let decision = bandit.select(None, now)?;
        let arm = names.iter().position(|name| **name == *decision.arm).unwrap_or(0);
        bandit.reward(decision.decision_id, f64::from(u8::from(world.uniform() < means[arm])), now)?;
        regrets[half] += means.iter().copied().fold(0.0, f64::max) - means[arm];
    }
    Ok(regrets)
}

/// Verdicts at an error of 0.1 and 0.01: coins, some close together, and Gaussian rewards that deviate by 1.
fn identify(runs: u64) -> Result<(), BanditError> {
    const GAUSSIAN: Rewards = Rewards::Gaussian { mean: 0.0, spread: 1.0 };
    for (problem, means, rewards, error) in [
        ("coins", &[0.6, 0.3, 0.2][..], Rewards::Bernoulli, 0.1),
        ("coins, close", &[0.5, 0.4, 0.35, 0.3][..], Rewards::Bernoulli, 0.1),
        ("coins, rare", &[0.1, 0.05, 0.02, 0.01][..], Rewards::Bernoulli, 0.01),
        ("gaussian", &[1.0, 0.0, 0.2][..], GAUSSIAN, 0.1),
    ] {
        let (mut wrong, mut took) = (0u64, 0u64);
        for seed in 0..runs {
            let names: Vec<String> = (0..means.len()).map(|arm| arm.to_string()).collect();
            let options = BanditOptions::new(
                names.iter().map(String::as_str),
                Policy::TopTwoThompson { error },
                rewards,
                seed,
            );
            let mut bandit = Bandit::new(options)?;
            let mut world = World(seed ^ 0x00C0_FFEE);
            let place = |arm: &str| arm.parse().unwrap_or(0usize);
            let verdict = loop {
                if let Some(verdict) = bandit.verdict() {
                    break place(&verdict);
                }
                let decision = bandit.select(None, 0)?;
                let mean = means[place(&decision.arm)];
                let reward = match rewards {
                    Rewards::Bernoulli => f64::from(u8::from(world.uniform() < mean)),
                    Rewards::Gaussian { .. } => mean + world.normal(),
                };
                bandit.reward(decision.decision_id, reward, 0)?;
                took += 1;
            };
            wrong += u64::from(verdict != 0);
        }
        let rewards = took as f64 / runs as f64;
        println!(
            r#"{{"problem":"{problem}","error":{error},"runs":{runs},"wrong":{wrong},"rewards":{rewards:.0}}}"#
        );
    }
    Ok(())
}

fn rates(ms: u64) -> Result<(), BanditError> {
    const FEATURES: usize = 16;
    let context: Vec<f64> = (0..FEATURES).map(|feature| feature as f64 / 16.0 - 0.5).collect();
    let names: Vec<String> = (0..10).map(|arm| arm.to_string()).collect();
    for (name, policy, context) in [
        ("thompson", Policy::Thompson, None),
        ("lin-thompson", Policy::LinThompson { features: FEATURES }, Some(&*context)),
    ] {
        let rewards =
            if context.is_none() { Rewards::Bernoulli } else { Rewards::Gaussian { mean: 0.0, spread: 1.0 } };
        let mut bandit =
            Bandit::new(BanditOptions::new(names.iter().map(String::as_str), policy, rewards, 1))?;
        for with_reward in [true, false] {
            // The first of both also teaches what the second one decides with.
            let (from, mut turn) = (cpu_seconds(), 0u64);
            let seconds = loop {
                for _ in 0..100 {
                    let decision = bandit.select(context, turn)?;
                    if with_reward {
                        let arm: u64 = decision.arm.parse().unwrap_or(0);
                        let reward = f64::from(u8::from(turn * 7_919 % 20 < 8 + arm));
                        bandit.reward(decision.decision_id, reward, turn)?;
                    }
                    turn += 1;
                }
                let seconds = cpu_seconds() - from;
                if seconds * 1e3 >= ms as f64 {
                    break seconds;
                }
            };
            let per_second = turn as f64 / seconds;
            println!(r#"{{"policy":"{name}","with_reward":{with_reward},"per_second":{per_second:.0}}}"#);
        }
    }
    Ok(())
}

fn cpu_seconds() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Thompson sampling as in the textbook, from Beta(1, 1) on, with draws by Box and Muller.
fn exact_thompson(means: &[f64], decisions: u64, seed: u64) -> f64 {
    let mut world = World(seed ^ 0x5DEE_CE66);
    let mut counts = vec![[1u32; 2]; means.len()];
    let best = means.iter().copied().fold(0.0, f64::max);
    let mut regret = 0.0;
    for _ in 0..decisions {
        let drawn = counts.iter().map(|[a, b]| {
            let (a, b) = (world.gamma(*a), world.gamma(*b));
            a / (a + b)
        });
        let drawn: Vec<f64> = drawn.collect();
        let arm = (0..means.len()).max_by(|a, b| drawn[*a].total_cmp(&drawn[*b])).unwrap_or(0);
        counts[arm][usize::from(world.uniform() >= means[arm])] += 1;
        regret += best - means[arm];
    }
    regret
}

/// SplitMix64, which the bandits' draws do not come from.
struct World(u64);

impl World {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53)
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Of a whole shape: Marsaglia and Tsang without the squeeze.
    fn gamma(&mut self, shape: u32) -> f64 {
        let d = f64::from(shape) - 1.0 / 3.0;
        loop {
            let x = self.normal();
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && (1.0 - self.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }
}
