//! Records of the same configuration, or of neighbouring ones, as one input of a model.

use std::collections::HashMap;

use crate::advice::record::Row;
use crate::space::{Axis, Space};

/// A Gaussian process of so many inputs is fitted in some 20 ms, the cube of them. Fewer blur what neighbours tell: of 60, a loop with
/// noisy rewards finds points several percent worse.
const MOST_INPUTS: usize = 140;
/// In each coordinate, with the cube's side 1: what is one configuration to a model at first.
const BESIDE: f64 = 0.01;
/// Each time that there are too many, what is pooled reaches so much farther.
const FARTHER: f64 = 1.5;

/// Which records belong together.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// The place of each row's group.
    pub(super) groups: Vec<usize>,
    /// The number of each row's very configuration.
    pub(super) exact: Vec<usize>,
    /// How many different configurations there are.
    pub(super) distinct: usize,
    /// The coordinates of each group: the mean of its records.
    pub(super) centres: Vec<Vec<f64>>,
}

impl Pool {
    /// At most [`MOST_INPUTS`] groups: the configurations with the most records lead, and others join the first leader that is near
    /// enough in every coordinate and has the same categories (leader clustering, Hartigan 1975, chapter 3).
    pub(super) fn of(rows: &[&Row], space: &Space) -> Self {
        let axes = space.axes();
        let mut places: HashMap<Box<[u64]>, usize> = HashMap::new();
        let mut distinct: Vec<(Vec<f64>, f64)> = Vec::new();
        let mut own = Vec::with_capacity(rows.len());
        for row in rows {
            let place = *places.entry(row.point.key()).or_insert_with(|| {
                distinct.push((space.encode(&row.point), 0.0));
                distinct.len() - 1
            });
            if let Some((_, count)) = distinct.get_mut(place) {
                *count += 1.0;
            }
            own.push(place);
        }
        let mut order: Vec<usize> = (0..distinct.len()).collect();
        let count = |place: &usize| distinct.get(*place).map_or(0.0, |(_, count)| *count);
        // Stable: of equals the first comes first.
        order.sort_by(|a, b| count(b).total_cmp(&count(a)));
        let mut radius = BESIDE;
        loop {
            // With every radius tried, one group for each combination of categories is left: then more inputs are the price.
            let most = if radius < 1.0 { MOST_INPUTS } else { usize::MAX };
            if let Some((group_of, centres)) = groups(&distinct, &order, &axes, radius, most) {
                let groups =
                    own.iter().map(|place| group_of.get(*place).copied().unwrap_or_default()).collect();
                return Self { groups, exact: own, distinct: distinct.len(), centres };
            }
            radius *= FARTHER;
        }
    }
}

/// The group of each distinct configuration and the centres; `None`: more than `most`.
fn groups(
    distinct: &[(Vec<f64>, f64)],
    order: &[usize],
    axes: &[Axis],
    radius: f64,
    most: usize,
) -> Option<(Vec<usize>, Vec<Vec<f64>>)> {
    let mut leaders: Vec<&[f64]> = Vec::new();
    let mut sums: Vec<(Vec<f64>, f64)> = Vec::new();
    let mut group_of = vec![0; distinct.len()];
    for &place in order {
        let (coordinates, count) = distinct.get(place)?;
        let near = |leader: &&[f64]| {
            leader.iter().zip(coordinates).zip(axes).all(|((a, b), axis)| match axis {
                Axis::Choices(_) => a == b,
                _ => (a - b).abs() <= radius,
            })
        };
        let group = leaders.iter().position(near).unwrap_or(leaders.len());
        if group == leaders.len() {
            if group == most {
                return None;
            }
            leaders.push(coordinates);
            sums.push((vec![0.0; axes.len()], 0.0));
        }
        let (sum, total) = sums.get_mut(group)?;
        sum.iter_mut().zip(coordinates).for_each(|(sum, coordinate)| *sum += coordinate * count);
        *total += count;
        *group_of.get_mut(place)? = group;
    }
    // Categories are equal in a group; dividing their sum could miss the number.
    let centre = |((sum, total), leader): ((Vec<f64>, f64), &[f64])| {
        let means = sum.into_iter().zip(leader).zip(axes);
        means
            .map(|((sum, own), axis)| if matches!(axis, Axis::Choices(_)) { *own } else { sum / total })
            .collect()
    };
    let centres = sums.into_iter().zip(leaders).map(centre).collect();
    Some((group_of, centres))
}
