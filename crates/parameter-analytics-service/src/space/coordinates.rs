//! Points as a model sees them, and points from a cube of random numbers.

use crate::space::{Point, Space};

/// What a coordinate is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Axis {
    /// Any number in 0..1.
    Continuous,
    /// So many ordered values in 0..1.
    Levels(f64),
    /// The number of a choice, from 0, as many as were ever there.
    Choices(usize),
}

impl Space {
    /// What each coordinate is.
    pub fn axes(&self) -> Vec<Axis> {
        use crate::space::Domain;
        let axis = |domain: &Domain| match (domain, domain.levels()) {
            (Domain::Categorical { choices }, _) => Axis::Choices(choices.len()),
            (_, Some(levels)) => Axis::Levels(levels),
            (_, None) => Axis::Continuous,
        };
        self.parameters().iter().map(|parameter| axis(&parameter.domain)).collect()
    }

    /// The point at a place of the cube 0..1 in each dimension, where every value of a parameter has the same share: what uniform
    /// random numbers and low-discrepancy sequences become. A number that is missing counts as the middle.
    pub fn sample(&self, cube: &[f64]) -> Point {
        let shares = cube.iter().copied().chain(std::iter::repeat(0.5));
        let mut numbers: Box<[f64]> = self
            .parameters()
            .iter()
            .zip(shares)
            .map(|(parameter, share)| parameter.domain.at(share))
            .collect();
        self.settle(&mut numbers);
        Point(numbers)
    }

    /// The coordinates of a point: where in 0..1 a number lies (whole numbers and steps in the middle of their share, logarithms with
    /// `log`), the number of a choice, and the middle or the first choice for what is not active, so that it makes no difference
    /// between two points.
    pub fn encode(&self, point: &Point) -> Vec<f64> {
        let pairs = self.parameters().iter().zip(point.numbers());
        let coordinate = |number: f64, parameter: &crate::space::Parameter| match (
            number.is_nan(),
            parameter.domain.is_categorical(),
        ) {
            (true, true) => 0.0,
            (true, false) => 0.5,
            (false, _) => parameter.domain.share(number),
        };
        pairs.map(|(parameter, &number)| coordinate(number, parameter)).collect()
    }

    /// The point nearest to coordinates; encoding it again gives the coordinates that a model has to use, since whole numbers, steps
    /// and what is not active have moved.
    pub fn decode(&self, coordinates: &[f64]) -> Point {
        let padded = coordinates.iter().copied().chain(std::iter::repeat(0.5));
        let number = |parameter: &crate::space::Parameter, coordinate: f64| {
            if !parameter.domain.is_categorical() {
                return parameter.domain.at(coordinate);
            }
            if parameter.domain.offers(coordinate) { coordinate } else { parameter.domain.at(0.0) }
        };
        let mut numbers: Box<[f64]> =
            self.parameters().iter().zip(padded).map(|(parameter, at)| number(parameter, at)).collect();
        self.settle(&mut numbers);
        Point(numbers)
    }
}
