//! Which point is tried next.

mod auto;
mod gp;
mod observations;
pub mod sobol;
mod tpe;

use serde::{Deserialize, Serialize};

use crate::space::{Point, Space};
use crate::stream::Stream;

pub use auto::{Choice, choose};
pub use gp::{Fit, Models};
pub use observations::Observations;

/// How points are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SamplerKind {
    /// One of the others, by the space and by how much is known; see [`choose`].
    #[default]
    Auto,
    /// Gaussian processes: the fewest trials, a few ms for each at 100 trials.
    Gp,
    /// Densities of good and of other points: for more trials and dimensions than Gaussian processes take.
    Tpe,
    /// Independent uniform points.
    Random,
    /// Points that leave no part of the space out.
    Sobol,
    /// None: the point came from somewhere else. No study can be made with it.
    Given,
}

/// A point to try.
#[derive(Debug, Clone)]
pub struct Suggestion {
    /// The point.
    pub point: Point,
    /// Which sampler it comes from.
    pub by: SamplerKind,
    /// Where hyperparameters were fitted for it.
    pub fit: Option<Fit>,
}

/// Random points among which one that was not tried is looked for, before every point is counted.
const DRAWS: usize = 64;
/// A space with more points is not gone through one by one.
const COUNTABLE: f64 = 65_536.0;

/// Trials that lay the ground before a model is asked: twice the dimensions and some, within reason.
pub(crate) fn groundwork(dimensions: usize) -> usize {
    (2 * dimensions + 2).clamp(5, 12)
}

/// With constraints there are no more of them: most violate one, and a model finds out sooner where that is. On ten problems a tenth of
/// all violations went, and the best values came closer rather than less close.
const CONSTRAINED_GROUNDWORK: usize = 6;

/// The point for a trial: never one that was tried before, as long as the space has others.
pub fn suggest(
    kind: SamplerKind,
    space: &Space,
    known: &Observations,
    models: &mut Models,
    seed: u64,
    trial: u64,
) -> Suggestion {
    let mut stream = Stream::new(seed, trial);
    let kind = match kind {
        SamplerKind::Auto => choose(space, known.len()).sampler,
        kind => kind,
    };
    let most = if known.constraints.is_empty() { usize::MAX } else { CONSTRAINED_GROUNDWORK };
    let needed = groundwork(space.dimensions()).min(most) as u64;
    // A half of the groundwork is enough once all of it is out.
    let grounded = trial >= needed && 2 * known.len() as u64 >= needed.min(4);
    let own = stream.clone();
    let scattered = |by| (vec![sobol_point(space, seed, trial, &mut own.clone())], by, None);
    let (points, by, fit) = match kind {
        SamplerKind::Random | SamplerKind::Given => {
            (vec![space.sample(&stream.cube(space.dimensions()))], kind, None)
        }
        SamplerKind::Sobol => scattered(kind),
        _ if !grounded => scattered(SamplerKind::Sobol),
        SamplerKind::Tpe => (tpe::suggest(space, known, &mut stream), kind, None),
        SamplerKind::Auto | SamplerKind::Gp => match models.suggest(space, known, &mut stream) {
            Ok((points, fit)) => (points, SamplerKind::Gp, fit),
            Err(_) => scattered(SamplerKind::Sobol),
        },
    };
    let point = new_one(points, space, known, &mut stream);
    Suggestion { point, by, fit }
}

fn sobol_point(space: &Space, seed: u64, trial: u64, stream: &mut Stream) -> Point {
    let scramble = Stream::new(seed, u64::MAX).bits() as u32;
    let mut cube = sobol::cube(trial, space.dimensions(), scramble);
    // What lies between the sequence's steps of 2^-24.
    cube.iter_mut().for_each(|share| *share += stream.unit() / 16_777_216.0);
    space.sample(&cube)
}

/// The first that was not tried; else a random one that was not; else any that was not; else the first.
fn new_one(points: Vec<Point>, space: &Space, known: &Observations, stream: &mut Stream) -> Point {
    if let Some(point) = points.iter().find(|point| !known.visited(point)) {
        return point.clone();
    }
    for _ in 0..DRAWS {
        let point = space.sample(&stream.cube(space.dimensions()));
        if !known.visited(&point) {
            return point;
        }
    }
    if space.cardinality().is_some_and(|points| points <= COUNTABLE)
        && let Some(point) = untried(space, known)
    {
        return point;
    }
    points.into_iter().next().unwrap_or_else(|| space.sample(&stream.cube(space.dimensions())))
}

/// Goes through every point of a finite space.
fn untried(space: &Space, known: &Observations) -> Option<Point> {
    let levels: Vec<u64> = space
        .parameters()
        .iter()
        .filter_map(|parameter| parameter.domain.levels())
        .map(|n| n as u64)
        .collect();
    let count: u64 = levels.iter().product();
    (0..count)
        .map(|number| {
            let mut rest = number;
            let cube: Vec<f64> = levels
                .iter()
                .map(|&levels| {
                    let level = rest % levels;
                    rest /= levels;
                    (level as f64 + 0.5) / levels as f64
                })
                .collect();
            space.sample(&cube)
        })
        .find(|point| !known.visited(point))
}
