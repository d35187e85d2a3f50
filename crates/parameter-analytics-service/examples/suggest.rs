//! Studies over standard input and output, a line of JSON for each request and each answer, so that a program in another language can
//! evaluate the very same function for this crate and for others.
//!
//! - `{"create": OPTIONS}` forgets the study before and makes one; `{}`.
//! - `{"ask": COUNT}` gives `{"trials": [{"id", "parameters"}], "cpu_ms"}`: the time of the ask alone.
//! - `{"tell": ID, "values": [..], "constraint_values": [..]}`, without values for a trial that failed; `{}`.
//! - `{"fill": [{"parameters", "values", "constraint_values"}]}` imports trials that somebody else tried; `{}`.
//! - `{"best": true}` gives `{"best": ID}` or `{"best": null}`; `{"memory": true}` gives `{"resident_kib"}`.
//!
//! What is refused is answered with `{"error"}`.
#![expect(clippy::print_stdout, reason = "an example speaks to the terminal")]

use std::io::BufRead;

use parameter_analytics_service::sampler::SamplerKind;
use parameter_analytics_service::space::ParameterValues;
use parameter_analytics_service::study::{Event, Outcome, State, Study, StudyOptions};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Told {
    tell: u64,
    #[serde(default)]
    values: Vec<f64>,
    #[serde(default)]
    constraint_values: Vec<f64>,
}

#[derive(Deserialize)]
struct Known {
    parameters: ParameterValues,
    values: Vec<f64>,
    #[serde(default)]
    constraint_values: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Request {
    Create {
        create: Box<StudyOptions>,
    },
    Ask {
        ask: usize,
    },
    Tell(Told),
    Fill {
        fill: Vec<Known>,
    },
    Best {
        #[expect(dead_code, reason = "its name says all")]
        best: bool,
    },
    Memory {
        #[expect(dead_code, reason = "its name says all")]
        memory: bool,
    },
}

fn main() {
    let mut study = None;
    for line in std::io::stdin().lock().lines() {
        let answer = line.map_err(Into::into).and_then(|line| answer(&mut study, &line));
        println!("{}", answer.unwrap_or_else(|error| json!({"error": error.to_string()})));
    }
}

fn answer(kept: &mut Option<Study>, line: &str) -> Result<Value, Box<dyn std::error::Error>> {
    let request = serde_json::from_str(line)?;
    if let Request::Create { create } = request {
        *kept = Some(Study::create(*create, 0)?);
        return Ok(json!({}));
    }
    let study = kept.as_mut().ok_or("the first request is `create`")?;
    match request {
        Request::Ask { ask } => {
            let before = cpu_ms();
            let asked = study.ask(ask, 0)?;
            let cpu_ms = cpu_ms() - before;
            let documents: Vec<_> = asked
                .iter()
                .map(|&trial| study.trial(trial).map(|trial| study.document(trial)))
                .collect::<Result<_, _>>()?;
            study.take_events();
            Ok(json!({"trials": documents, "cpu_ms": cpu_ms}))
        }
        Request::Tell(told) => {
            let outcome = if told.values.is_empty() {
                Outcome::Nothing
            } else {
                Outcome::Values(told.values, told.constraint_values)
            };
            study.tell(told.tell, outcome, 0)?;
            study.take_events();
            Ok(json!({}))
        }
        Request::Fill { fill } => {
            *study = filled(study.options().clone(), fill)?;
            Ok(json!({}))
        }
        Request::Best { .. } => Ok(json!({"best": study.best().map(|trial| trial.id)})),
        Request::Memory { .. } => Ok(json!({"resident_kib": resident_kib()?})),
        Request::Create { .. } => Err("a study is there already".into()),
    }
}

/// A study to which these trials happened.
fn filled(options: StudyOptions, known: Vec<Known>) -> Result<Study, Box<dyn std::error::Error>> {
    let mut events = vec![Event::Created { options, at: 0 }];
    for (trial, Known { parameters, values, constraint_values }) in (0..).zip(known) {
        events.push(Event::Asked { trial, parameters, by: SamplerKind::Random, fit: None, at: 0 });
        events.push(Event::Told { trial, state: State::Complete, values, constraint_values, at: 0 });
    }
    Ok(Study::replay(events)?)
}

fn cpu_ms() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

fn resident_kib() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
