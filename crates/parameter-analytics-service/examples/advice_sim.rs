//! Loops of advice, call and record against simulated models whose best parameters are known.
//!
//! `cargo run --release -p parameter-analytics-service --example advice_sim -- [--seeds 20] [--first-seed 0] [--rounds 2000]
//! [--worlds tokens,coins] [--json]`
//!
//! Per world: three loops. `explore` asks as callers do who say nothing; `after` are 200 recommendations that are not recorded, after it;
//! `recommend` only ever asks for recommendations. `miss` is the share of single calls of the last 200 that were beyond a limit; the
//! ratios are of the mean true reward to the best among parameters whose mean call meets the limits (`/mean`), and whose calls meet them
//! with a chance of 0.9 (`/0.9`).
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example speaks to the terminal and stops at errors"
)]

use parameter_analytics_service::Stream;
use parameter_analytics_service::advice::{
    Advisor, AdvisorOptions, Context, Limits, Mode, Record, Request, Source, usual_space,
};
use parameter_analytics_service::space::{Domain, Ordered, Parameter, ParameterValues, Space, Value};
use serde_json::json;

/// What a call with some parameters comes to.
#[derive(Debug, Clone, Copy)]
struct Truth {
    /// Mean.
    reward: f64,
    /// Mean, ms.
    latency: f64,
    /// Mean, dollars.
    cost: f64,
    failure: f64,
}

#[derive(Clone, Copy)]
enum Reward {
    Coin,
    Normal(f64),
}

/// Factors with mean 1 around the mean latency.
#[derive(Clone, Copy)]
enum Scatter {
    LogNormal(f64),
    /// One call in ten is drawn out by a Pareto with this exponent.
    Heavy(f64),
    /// So many ms more or less, whatever the mean is.
    Added(f64),
}

struct World {
    name: &'static str,
    task: &'static str,
    space: Option<Space>,
    limits: Limits,
    reward: Reward,
    scatter: Scatter,
    /// Rewards are known of this share of calls.
    rewarded: f64,
    /// Prompts between these lengths move latency and cost.
    prompts: Option<(f64, f64)>,
    truth: fn(&Get<'_>, f64) -> Truth,
    /// The truth's second argument before and after the middle.
    phases: (f64, f64),
}

struct Get<'a>(&'a ParameterValues);

impl Get<'_> {
    fn number(&self, name: &str) -> f64 {
        match self.0.get(name) {
            Some(Value::Number(number)) => *number,
            _ => 0.0,
        }
    }
    fn is(&self, name: &str, text: &str) -> bool {
        self.0.get(name) == Some(&Value::from(text))
    }
}

impl Scatter {
    fn draw(self, mean: f64, stream: &mut Stream) -> f64 {
        match self {
            Self::LogNormal(sigma) => mean * (sigma * stream.normal() - 0.5 * sigma * sigma).exp(),
            Self::Heavy(exponent) => {
                let body = (0.15 * stream.normal() - 0.011).exp();
                let tail =
                    if stream.unit() < 0.1 { (1.0 - stream.unit()).powf(-1.0 / exponent) } else { 1.0 };
                let mean_tail = 0.9 + 0.1 * exponent / (exponent - 1.0);
                mean * body * tail / mean_tail
            }
            Self::Added(sd) => (mean + sd * stream.normal()).max(1.0),
        }
    }
}

fn limits(latency: f64, cost: f64, quality: f64) -> Limits {
    let some = |limit: f64| (limit > 0.0).then_some(limit);
    Limits { max_latency_ms: some(latency), max_cost_usd: some(cost), min_quality: some(quality) }
}

/// 1 at the middle, falling off by its width.
fn hill(at: f64, middle: f64, width: f64) -> f64 {
    (-((at - middle) / width).powi(2)).exp()
}

fn tokens(x: &Get<'_>, phase: f64) -> Truth {
    let tokens = x.number("max_tokens");
    let length = 1.0 - (-tokens / 500.0).exp();
    let reward = 0.2
        + 0.75
            * length
            * hill(x.number("temperature"), 0.4 + phase, 0.6)
            * (1.0 - 0.2 * (x.number("top_p") - 0.9).abs())
            * (1.0 - 0.3 * x.number("frequency_penalty"));
    Truth { reward, latency: 250.0 + 8.0 * tokens, cost: 1e-4 + 2e-6 * tokens, failure: 0.0 }
}

fn slower(x: &Get<'_>, phase: f64) -> Truth {
    let truth = tokens(x, 0.0);
    Truth { latency: truth.latency * (1.0 + phase), ..truth }
}

fn hot(x: &Get<'_>, _: f64) -> Truth {
    let truth = tokens(x, 0.9);
    Truth { failure: if x.number("temperature") > 1.1 { 0.4 } else { 0.02 }, ..truth }
}

fn models() -> Space {
    Space::new(vec![
        Parameter::new("model", Domain::choices(["small", "medium", "large"])),
        Parameter::new("temperature", Domain::float(0.0, 1.5)),
        Parameter::new("style", Domain::choices(["plain", "steps", "critique"])),
        Parameter::new("rounds", Domain::int(1, 5)).when("style", "critique"),
    ])
    .unwrap()
}

fn chosen(x: &Get<'_>, _: f64) -> Truth {
    let (quality, speed, price) = match (x.is("model", "small"), x.is("model", "medium")) {
        (true, _) => (0.5, 1.0, 1.0),
        (_, true) => (0.7, 1.8, 4.0),
        _ => (0.85, 4.0, 15.0),
    };
    let rounds = if x.is("style", "critique") { x.number("rounds") } else { 1.0 };
    let style = if x.is("style", "critique") {
        0.05 * rounds
    } else if x.is("style", "steps") {
        0.08
    } else {
        0.0
    };
    let steps = if x.is("style", "steps") { 1.6 } else { rounds };
    Truth {
        reward: (quality + style) * (0.6 + 0.4 * hill(x.number("temperature"), 0.6, 0.5)),
        latency: 400.0 * speed * steps,
        cost: 2e-4 * price * steps,
        failure: 0.0,
    }
}

fn plain() -> Space {
    Space::new(vec![
        Parameter::new("a", Domain::float(-3.0, 5.0)),
        Parameter::new("b", Domain::log_float(1e-3, 10.0)),
        Parameter::new("k", Domain::int(1, 20)),
        Parameter::new("c", Domain::float(0.0, 1.0)),
        Parameter::new("flag", Domain::choices([true, false])),
        Parameter::new("d", Domain::Float { low: 0.0, high: 2.0, log: false, step: Some(0.25) }),
    ])
    .unwrap()
}

fn mixed(x: &Get<'_>, _: f64) -> Truth {
    let k = x.number("k");
    let flag = if x.0.get("flag") == Some(&Value::Bool(true)) { 1.0 } else { 0.8 };
    let reward = flag
        * hill(x.number("a"), 1.5, 3.0)
        * hill(x.number("b").log10(), -0.5, 2.0)
        * (0.4 + 0.6 * (1.0 - (-k / 6.0).exp()))
        * (1.0 - 0.2 * (x.number("d") - 1.0).abs());
    let latency = 100.0 + 60.0 * k * (1.0 + 0.5 * x.number("c")) + 200.0 * x.number("d");
    Truth { reward: 40.0 * reward, latency, cost: 1e-3 * (1.0 + k), failure: 0.0 }
}

fn rare(x: &Get<'_>, _: f64) -> Truth {
    let truth = tokens(x, 0.5);
    Truth { reward: 0.25 * (truth.reward - 0.15), ..truth }
}

fn losses(x: &Get<'_>, _: f64) -> Truth {
    let truth = tokens(x, 0.0);
    Truth { reward: 1_000.0 * truth.reward - 1_500.0, ..truth }
}

fn worlds() -> Vec<World> {
    let base = || World {
        name: "tokens",
        task: "chat",
        space: None,
        limits: limits(3_000.0, 0.0, 0.0),
        reward: Reward::Normal(0.05),
        scatter: Scatter::LogNormal(0.1),
        rewarded: 1.0,
        prompts: None,
        truth: tokens,
        phases: (0.0, 0.0),
    };
    let custom = |name, space, truth| World { name, space: Some(space), truth, ..base() };
    vec![
        base(),
        World { name: "coins", reward: Reward::Coin, ..base() },
        World { name: "noisy", reward: Reward::Normal(0.3), scatter: Scatter::LogNormal(0.4), ..base() },
        World { name: "heavy", scatter: Scatter::Heavy(1.8), limits: limits(4_000.0, 0.0, 0.0), ..base() },
        World { name: "added", scatter: Scatter::Added(250.0), limits: limits(1_500.0, 0.0, 0.0), ..base() },
        World { name: "free", limits: limits(0.0, 0.0, 0.0), reward: Reward::Coin, task: "code", ..base() },
        World { name: "rare", truth: rare, reward: Reward::Coin, ..base() },
        World { name: "failing", truth: hot, limits: limits(5_000.0, 0.0, 0.0), ..base() },
        World { name: "losses", truth: losses, reward: Reward::Normal(50.0), ..base() },
        World { name: "sparse", rewarded: 0.2, reward: Reward::Coin, ..base() },
        World {
            name: "prompts",
            prompts: Some((50.0, 4_000.0)),
            limits: limits(6_000.0, 0.0, 0.0),
            ..base()
        },
        World {
            limits: limits(3_000.0, 2.5e-3, 0.0),
            scatter: Scatter::LogNormal(0.2),
            reward: Reward::Coin,
            ..custom("models", models(), chosen)
        },
        World {
            limits: limits(0.0, 9e-4, 0.55),
            scatter: Scatter::LogNormal(0.3),
            reward: Reward::Normal(0.2),
            ..custom("quality", models(), chosen)
        },
        World {
            limits: limits(900.0, 0.0, 0.0),
            reward: Reward::Normal(4.0),
            scatter: Scatter::LogNormal(0.15),
            ..custom("mixed", plain(), mixed)
        },
        World { name: "moves", phases: (0.0, 0.8), ..base() },
        World { name: "slower", truth: slower, phases: (0.0, 0.8), ..base() },
    ]
}

impl World {
    fn space(&self) -> Space {
        self.space.clone().unwrap_or_else(|| usual_space().unwrap())
    }

    fn prompt(&self, stream: &mut Stream) -> f64 {
        self.prompts.map_or(0.0, |(low, high)| low * (high / low).powf(stream.unit()))
    }

    /// By what a prompt multiplies latency and cost.
    fn longer(&self, prompt: f64) -> f64 {
        if self.prompts.is_some() { 0.5 + prompt / 2_000.0 } else { 1.0 }
    }

    fn call(&self, at: &ParameterValues, phase: f64, prompt: f64, stream: &mut Stream) -> (Truth, Record) {
        let truth = (self.truth)(&Get(at), phase);
        let longer = self.longer(prompt);
        let latency = self.scatter.draw(truth.latency * longer, stream);
        let reward = match self.reward {
            Reward::Coin => f64::from(u8::from(stream.unit() < truth.reward)),
            Reward::Normal(sd) => truth.reward + sd * stream.normal(),
        };
        let failed = stream.unit() < truth.failure;
        let known = stream.unit() < self.rewarded;
        let record = Record {
            parameters: at.clone(),
            context: self.context(prompt),
            reward: (known && !failed).then_some(reward),
            latency_ms: Some(latency),
            cost_usd: Some(truth.cost * longer * (0.05 * stream.normal()).exp()),
            error: failed.then(|| "failed".to_owned()),
            ..Record::default()
        };
        (truth, record)
    }

    fn context(&self, prompt: f64) -> Context {
        if self.prompts.is_some() {
            Ordered(vec![("prompt_tokens".into(), prompt)])
        } else {
            Context::default()
        }
    }

    fn met(&self, record: &Record, truth: Truth) -> bool {
        let Limits { max_latency_ms, max_cost_usd, min_quality } = self.limits;
        let within = |value: Option<f64>, limit: Option<f64>| {
            limit.is_none_or(|limit| value.is_none_or(|v| v <= limit))
        };
        within(record.latency_ms, max_latency_ms)
            && within(record.cost_usd, max_cost_usd)
            && min_quality.is_none_or(|least| truth.reward >= least)
    }

    /// The best mean reward among points that meet the limits in the mean, and with a chance of 0.9. With prompts, in the mean over them
    /// of the best for each.
    fn best(&self, phase: f64) -> (f64, f64) {
        let space = self.space();
        let mut stream = Stream::new(12_345, 0);
        let d = space.dimensions();
        let points: Vec<(Truth, f64)> = (0..60_000)
            .map(|_| {
                let at = space.values(&space.sample(&stream.cube(d)));
                let truth = (self.truth)(&Get(&at), phase);
                (Truth { reward: truth.reward * (1.0 - truth.failure), ..truth }, truth.reward)
            })
            .collect();
        let factor = |mean: f64| {
            let mut stream = Stream::new(777, 0);
            let mut draws: Vec<f64> = (0..4_000).map(|_| self.scatter.draw(mean, &mut stream)).collect();
            draws.sort_by(f64::total_cmp);
            draws[3_600]
        };
        let of_one = factor(1_000.0) / 1_000.0;
        let prompts: Vec<f64> = if self.prompts.is_some() {
            (0..40).map(|_| self.prompt(&mut stream)).collect()
        } else {
            vec![0.0]
        };
        let best = |sure: bool| {
            let of = |prompt: f64| {
                let feasible = points.iter().filter(|(truth, quality)| {
                    let mean = truth.latency * self.longer(prompt);
                    let late = match self.scatter {
                        _ if !sure => mean,
                        Scatter::Added(sd) => mean + 1.2816 * sd,
                        _ => mean * of_one,
                    };
                    let cost = truth.cost * self.longer(prompt) * if sure { 1.066 } else { 1.0 };
                    self.limits.max_latency_ms.is_none_or(|limit| late <= limit)
                        && self.limits.max_cost_usd.is_none_or(|limit| cost <= limit)
                        && self.limits.min_quality.is_none_or(|least| *quality >= least)
                });
                feasible.map(|(truth, _)| truth.reward).fold(f64::NEG_INFINITY, f64::max)
            };
            prompts.iter().map(|prompt| of(*prompt)).sum::<f64>() / prompts.len() as f64
        };
        (best(false), best(true))
    }
}

/// Of the last 200 rounds of a loop, and of all.
#[derive(Default)]
struct Seen {
    calls: f64,
    missed: f64,
    reward: f64,
    bayesian: f64,
    nanoseconds: Vec<u64>,
    /// Chances that were told, and whether the limits were met.
    told: Vec<(f64, bool)>,
}

fn explore(world: &World, mode: Mode, seed: u64, rounds: u64) -> (Advisor, Seen) {
    let mut advisor = Advisor::new(AdvisorOptions {
        space: world.space.clone(),
        task_type: world.task.to_owned(),
        seed: seed * 7_919 + 13,
    })
    .unwrap();
    let mut seen = Seen::default();
    for round in 0..rounds {
        let phase = if round < rounds / 2 { world.phases.0 } else { world.phases.1 };
        one(world, &mut advisor, mode, (seed, round), phase, true, round + 200 >= rounds, &mut seen);
    }
    (advisor, seen)
}

#[expect(clippy::too_many_arguments, reason = "one step of a simulation")]
fn one(
    world: &World,
    advisor: &mut Advisor,
    mode: Mode,
    (seed, round): (u64, u64),
    phase: f64,
    learn: bool,
    counts: bool,
    seen: &mut Seen,
) {
    let mut stream = Stream::new(seed ^ 0xABCD_EF01, round);
    let prompt = world.prompt(&mut stream);
    let request = Request { limits: world.limits, mode, context: world.context(prompt) };
    let before = cpu_ms();
    let advice = advisor.advise(&request, round).unwrap();
    seen.nanoseconds.push(((cpu_ms() - before) * 1e6) as u64);
    let (truth, record) = world.call(&advice.parameters, phase, prompt, &mut stream);
    let met = world.met(&record, truth);
    if round >= 100 && record.error.is_none() {
        seen.told.push((advice.feasible_probability, met));
    }
    if counts {
        seen.calls += 1.0;
        seen.missed += f64::from(u8::from(!met));
        seen.reward += truth.reward * (1.0 - truth.failure);
        seen.bayesian += f64::from(u8::from(advice.source == Source::Bayesian));
    }
    if learn {
        advisor.observe(&record).unwrap();
    }
}

fn cpu_ms() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: &str| {
        let place = arguments.iter().position(|argument| argument == name);
        place.and_then(|place| arguments.get(place + 1)).map_or(default, String::as_str).to_owned()
    };
    let seeds: u64 = option("--seeds", "20").parse().unwrap();
    let first: u64 = option("--first-seed", "0").parse().unwrap();
    let rounds: u64 = option("--rounds", "2000").parse().unwrap();
    let wanted = option("--worlds", "");
    // Without the third loop.
    let brief = arguments.iter().any(|argument| argument == "--brief");
    let json = arguments.iter().any(|argument| argument == "--json");
    if !json {
        println!(
            "{:9} {:9} {:>6} {:>6} {:>6} {:>6} {:>6} {:>8} {:>8} {:>8}",
            "world", "loop", "miss", "/mean", "/0.9", "worst", "bayes", "mean us", "p99 ms", "max ms"
        );
    }
    let mut told: Vec<(f64, bool)> = Vec::new();
    for world in worlds() {
        if !wanted.is_empty() && !wanted.split(',').any(|name| name == world.name) {
            continue;
        }
        let phase = world.phases.1;
        let (best, sure) = world.best(phase);
        let mut by_loop: [Vec<Seen>; 3] = Default::default();
        for seed in first..first + seeds {
            let (mut advisor, seen) = explore(&world, Mode::Explore, seed, rounds);
            let mut after = Seen::default();
            for round in rounds..rounds + 200 {
                one(&world, &mut advisor, Mode::Recommend, (seed, round), phase, false, true, &mut after);
            }
            let (_, alone) = explore(&world, Mode::Recommend, seed, if brief { 201 } else { rounds });
            by_loop[0].push(seen);
            by_loop[1].push(after);
            by_loop[2].push(alone);
        }
        for (name, mut of_seeds) in ["explore", "after", "recommend"].into_iter().zip(by_loop) {
            let mean =
                |of: &dyn Fn(&Seen) -> f64| of_seeds.iter().map(of).sum::<f64>() / of_seeds.len() as f64;
            let beside = |best: f64| move |seen: &Seen| 1.0 - (best - seen.reward / seen.calls) / best.abs();
            let miss = mean(&|seen| seen.missed / seen.calls);
            let bayesian = mean(&|seen| seen.bayesian / seen.calls);
            let (of_mean, of_sure) = (mean(&beside(best)), mean(&beside(sure)));
            let worst = of_seeds.iter().map(beside(sure)).fold(f64::INFINITY, f64::min);
            let good = |seen: &&Seen| seen.missed <= 0.1 * seen.calls && beside(sure)(seen) >= 0.95;
            let passed = of_seeds.iter().filter(good).count();
            let mut ns: Vec<u64> =
                of_seeds.iter().flat_map(|seen| seen.nanoseconds.iter().copied()).collect();
            ns.sort_unstable();
            let micros = ns.iter().sum::<u64>() as f64 / ns.len() as f64 / 1e3;
            let (p99, most) = (ns[ns.len() * 99 / 100] as f64 / 1e6, ns[ns.len() - 1] as f64 / 1e6);
            if json {
                let row = json!({
                    "world": world.name, "loop": name, "seeds": seeds, "rounds": rounds, "miss": miss, "passed": passed,
                    "best_mean": best, "best_sure": sure, "ratio_mean": of_mean, "ratio_sure": of_sure, "worst": worst,
                    "bayesian": bayesian, "advise_us_mean": micros, "advise_ms_p99": p99, "advise_ms_max": most,
                });
                println!("{row}");
            } else {
                println!(
                    "{:9} {name:9} {:5.1}% {of_mean:6.3} {of_sure:6.3} {worst:6.3} {:5.0}% {micros:8.0} {p99:8.2} {most:8.1}  {passed}/{seeds}",
                    world.name,
                    100.0 * miss,
                    100.0 * bayesian
                );
            }
            told.extend(of_seeds.iter_mut().flat_map(|seen| std::mem::take(&mut seen.told)));
        }
    }
    let edges = [0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.94, 0.96, 0.98, 1.0 + 1e-9];
    for pair in edges.windows(2) {
        let inside: Vec<&(f64, bool)> =
            told.iter().filter(|(chance, _)| *chance >= pair[0] && *chance < pair[1]).collect();
        if inside.is_empty() {
            continue;
        }
        let count = inside.len() as f64;
        let said = inside.iter().map(|(chance, _)| chance).sum::<f64>() / count;
        let met = inside.iter().filter(|(_, met)| *met).count() as f64 / count;
        if json {
            println!("{}", json!({"told": said, "met": met, "count": count}));
        } else {
            println!("told {:5.3} met {:5.3} ({count} calls)", said, met);
        }
    }
}
