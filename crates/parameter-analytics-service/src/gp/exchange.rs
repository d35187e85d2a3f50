//! The neighbours of a point in what has no gradient: categories, whole numbers and steps.

use crate::gp::maximise::FEW_LEVELS;
use crate::space::{Axis, Space};

/// More neighbours than this are not looked at; with eight parameters of five values there are half as many.
const MOST: usize = 2_048;

/// One discrete value in the place of another.
struct Change {
    place: usize,
    value: f64,
    /// A category, or the next value in an order.
    is_close: bool,
    is_category: bool,
}

/// The points that differ from one in one discrete value or in two, of which one is a category or both are the next ones in their order:
/// a parameter that counts only for one category is found by the two together. Everything else stays as it is.
pub(crate) fn exchanges(space: &Space, from: &[f64]) -> Vec<Vec<f64>> {
    let singles: Vec<Change> = space
        .axes()
        .iter()
        .zip(from)
        .enumerate()
        .flat_map(|(place, (axis, at))| of(place, *axis, *at))
        .collect();
    let pairs = singles.iter().enumerate().flat_map(|(number, a)| {
        let others = singles.iter().skip(number + 1).filter(|b| b.place != a.place);
        let allowed = |b: &&Change| a.is_category || b.is_category || (a.is_close && b.is_close);
        others.filter(allowed).map(move |b| [Some(a), Some(b)])
    });
    let changes = singles.iter().map(|single| [Some(single), None]).chain(pairs).take(MOST);
    let moved = |change: [Option<&Change>; 2]| {
        let mut to = from.to_vec();
        for Change { place, value, .. } in change.into_iter().flatten() {
            if let Some(coordinate) = to.get_mut(*place) {
                *coordinate = *value;
            }
        }
        space.encode(&space.decode(&to))
    };
    changes.map(moved).filter(|point| point != from).collect()
}

fn of(place: usize, axis: Axis, at: f64) -> Vec<Change> {
    let level = |value: f64, levels: f64| Change {
        place,
        value,
        is_close: (value - at).abs() * levels < 1.5,
        is_category: false,
    };
    match axis {
        Axis::Continuous => Vec::new(),
        Axis::Choices(count) => (0..count)
            .map(|choice| choice as f64)
            .filter(|choice| *choice != at)
            .map(|value| Change { place, value, is_close: true, is_category: true })
            .collect(),
        Axis::Levels(levels) if levels <= FEW_LEVELS => (0..levels as u32)
            .map(|number| (f64::from(number) + 0.5) / levels)
            .filter(|value| (value - at).abs() * levels > 0.5)
            .map(|value| level(value, levels))
            .collect(),
        Axis::Levels(levels) => [-8.0, -4.0, -2.0, -1.0, 1.0, 2.0, 4.0, 8.0]
            .map(|steps| at + steps / levels)
            .into_iter()
            .filter(|value| (0.0..=1.0).contains(value))
            .map(|value| level(value, levels))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Domain, Parameter};

    #[test]
    fn a_category_is_exchanged_with_any_other_value_and_the_rest_stays() {
        let space = Space::new(vec![
            Parameter::new("x", Domain::float(0.0, 1.0)),
            Parameter::new("n", Domain::int(1, 4)),
            Parameter::new("kind", Domain::choices(["a", "b", "c"])),
        ])
        .unwrap();
        let from = [0.25, 0.125, 1.0];
        let found = exchanges(&space, &from);
        // Three other numbers, two other kinds, and the six pairs of them.
        assert_eq!(found.len(), 11);
        assert!(found.iter().all(|point| point[0] == 0.25 && point[1..] != from[1..]));
        assert!(found.contains(&vec![0.25, 0.875, 2.0]), "{found:?}");
        let smooth = Space::new(vec![Parameter::new("x", Domain::float(0.0, 1.0))]).unwrap();
        assert!(exchanges(&smooth, &[0.5]).is_empty());
    }
}
