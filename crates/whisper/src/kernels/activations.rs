//! Activations as 8-bit numbers, each row with a scale of its own.

use super::Level;
use super::float::quantise_row;

/// Rows of numbers, as bytes: 128 stands for nought, 1 and 255 for the largest of the row.
pub struct Activations {
    pub(super) rows: usize,
    /// Bytes of a row: the number of columns, rounded up to a multiple of four.
    pub(super) stride: usize,
    pub(super) data: Vec<u8>,
    pub(super) scales: Vec<f32>,
}

impl Activations {
    /// Of rows of `columns` numbers that lie one after another.
    pub fn quantise(level: Level, rows: &[f32], columns: usize) -> Self {
        let stride = columns.next_multiple_of(4);
        let count = rows.len() / columns;
        let mut data = vec![128; count * stride];
        let mut scales = vec![0.0; count];
        let pairs = rows.chunks_exact(columns).zip(data.chunks_exact_mut(stride));
        for ((row, bytes), scale) in pairs.zip(&mut scales) {
            quantise_row(level, row, &mut bytes[..columns], scale);
        }
        Self { rows: count, stride, data, scales }
    }
}
