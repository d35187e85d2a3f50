//! Products with weights of 8 bits.

use std::ops::Range;

use rayon::prelude::*;

use super::float::quantise_weights;
use super::{Activations, Level, plain};

/// Outputs that are computed side by side: as many 32-bit sums as a 512-bit register holds.
pub(super) const BLOCK: usize = 16;
/// Fewer products than these are not worth waking another thread for, which takes some 5 us.
const WORTH_A_THREAD: usize = 4 << 20;

/// A weight matrix of `outputs` rows by `inputs` columns, each row scaled so that its largest number is 127.
///
/// It lies in blocks of 16 rows; inside a block come four columns of each row, then the next four: the order in which VNNI
/// instructions take it.
pub struct Int8Matrix {
    outputs: usize,
    inputs: usize,
    packed: Vec<i8>,
    scales: Vec<f32>,
    /// What each sum starts from, because activations are stored with 128 added.
    starts: Vec<i32>,
    bias: Vec<f32>,
}

/// The part of a product that a kernel computes at once.
pub(super) struct Tile<'a> {
    /// The bytes of the first row of activations, and how far the next is.
    pub(super) rows: &'a [u8],
    pub(super) stride: usize,
    pub(super) row_scales: &'a [f32],
    /// Of the first block.
    pub(super) weights: &'a [i8],
    pub(super) scales: &'a [f32],
    pub(super) starts: &'a [i32],
    pub(super) bias: &'a [f32],
    /// From the first output of the first row, and how far the next row is.
    pub(super) out: &'a mut [f32],
    pub(super) out_stride: usize,
    /// How many outputs there are from here on; a last block may be cut.
    pub(super) width: usize,
}

impl Tile<'_> {
    /// Scales what a kernel summed up for a row and a block of this tile.
    #[inline(always)]
    pub(super) fn finish(&mut self, row: usize, block: usize, sums: &[i32; BLOCK]) {
        let (from, scale) = (block * BLOCK, self.row_scales[row]);
        let width = BLOCK.min(self.width - from);
        let mut values = [0.0; BLOCK];
        let (scales, bias) = (&self.scales[from..from + BLOCK], &self.bias[from..from + BLOCK]);
        for lane in 0..BLOCK {
            values[lane] = sums[lane] as f32 * (scale * scales[lane]) + bias[lane];
        }
        let at = row * self.out_stride + from;
        if width == BLOCK {
            self.out[at..at + BLOCK].copy_from_slice(&values);
        } else {
            self.out[at..at + width].copy_from_slice(&values[..width]);
        }
    }
}

impl Int8Matrix {
    /// Of `outputs` rows that lie one after another; `bias` is one number each, or empty.
    pub fn quantise(weights: &[f32], outputs: usize, bias: &[f32]) -> Self {
        let level = Level::best();
        let inputs = weights.len() / outputs.max(1);
        let (quads, padded) = (inputs.div_ceil(4), outputs.next_multiple_of(BLOCK));
        let mut packed = vec![0; padded * quads * 4];
        let mut scales = vec![0.0; padded];
        let mut starts = vec![0; padded];
        let mut own_bias = vec![0.0; padded];
        own_bias[..bias.len()].copy_from_slice(bias);
        packed
            .par_chunks_mut(BLOCK * quads * 4)
            .zip(scales.par_chunks_mut(BLOCK))
            .zip(starts.par_chunks_mut(BLOCK))
            .zip(weights.par_chunks(BLOCK * inputs))
            .for_each(|(((block, scales), starts), rows)| {
                for (lane, row) in rows.chunks_exact(inputs).enumerate() {
                    let mut bytes = vec![0; quads * 4];
                    let (scale, sum) = quantise_weights(level, row, &mut bytes[..inputs]);
                    scales[lane] = scale;
                    for (quad, bytes) in bytes.as_chunks::<4>().0.iter().enumerate() {
                        let at = (quad * BLOCK + lane) * 4;
                        block[at..at + 4].copy_from_slice(bytes);
                    }
                    starts[lane] = -128 * sum;
                }
            });
        Self { outputs, inputs, packed, scales, starts, bias: own_bias }
    }

    /// How many rows the matrix has.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// How many columns the matrix has.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// One row as it was, but for rounding.
    pub(crate) fn row(&self, index: usize, into: &mut [f32]) {
        let quads = self.inputs.div_ceil(4);
        let block = &self.packed[index / BLOCK * BLOCK * quads * 4..];
        for (column, value) in into.iter_mut().enumerate().take(self.inputs) {
            let byte = block[(column / 4 * BLOCK + index % BLOCK) * 4 + column % 4];
            *value = f32::from(byte) * self.scales[index];
        }
    }

    /// The product of each row of activations with each row of the matrix, plus bias: `rows * outputs` numbers. Shares the
    /// work among the threads of the pool that it is called in, where there is enough of it.
    pub fn multiply(&self, level: Level, activations: &Activations) -> Vec<f32> {
        let rows = activations.rows;
        let mut out = vec![0.0; rows * self.outputs];
        let threads = rayon::current_num_threads();
        if threads == 1 || rows * self.outputs * self.inputs < WORTH_A_THREAD {
            self.part(level, activations, 0..rows, 0..self.outputs.div_ceil(BLOCK), &mut out);
        } else if rows >= 8 * threads {
            // Small parts, because a thread may be taken away in the middle.
            let share = rows.div_ceil(threads * 4).next_multiple_of(8);
            out.par_chunks_mut(share * self.outputs).enumerate().for_each(|(index, out)| {
                let from = index * share;
                let blocks = 0..self.outputs.div_ceil(BLOCK);
                self.part(level, activations, from..(from + share).min(rows), blocks, out);
            });
        } else {
            self.by_columns(level, activations, threads, &mut out);
        }
        out
    }

    /// A few rows by many outputs, as in the head: each thread computes some outputs of all rows.
    fn by_columns(&self, level: Level, activations: &Activations, threads: usize, out: &mut [f32]) {
        let blocks = self.outputs.div_ceil(BLOCK);
        let share = blocks.div_ceil(threads * 4).next_multiple_of(4);
        let parts: Vec<Vec<f32>> = (0..blocks.div_ceil(share))
            .into_par_iter()
            .map(|index| {
                let range = index * share..((index + 1) * share).min(blocks);
                let width = (range.end * BLOCK).min(self.outputs) - range.start * BLOCK;
                let mut part = vec![0.0; activations.rows * width];
                self.part(level, activations, 0..activations.rows, range, &mut part);
                part
            })
            .collect();
        let mut from = 0;
        for part in parts {
            let width = part.len() / activations.rows;
            for (row, values) in part.chunks_exact(width).enumerate() {
                let at = row * self.outputs + from;
                out[at..at + width].copy_from_slice(values);
            }
            from += width;
        }
    }

    /// Some rows by some blocks of outputs; `out` holds these alone.
    fn part(&self, level: Level, a: &Activations, rows: Range<usize>, blocks: Range<usize>, out: &mut [f32]) {
        assert_eq!(a.stride, self.inputs.next_multiple_of(4), "as many columns as inputs");
        let block_bytes = BLOCK * a.stride;
        let width = (blocks.end * BLOCK).min(self.outputs) - blocks.start * BLOCK;
        let mut block = blocks.start;
        while block < blocks.end {
            let mut row = rows.start;
            let (most_rows, most_blocks) = plain::tile_size(level, rows.len());
            let tile_blocks = most_blocks.min(blocks.end - block);
            while row < rows.end {
                let tile_rows = most_rows.min(rows.end - row);
                let outputs = block * BLOCK..(block + tile_blocks) * BLOCK;
                let from = (block - blocks.start) * BLOCK;
                let tile = Tile {
                    rows: &a.data[row * a.stride..(row + tile_rows) * a.stride],
                    stride: a.stride,
                    row_scales: &a.scales[row..row + tile_rows],
                    weights: &self.packed[block * block_bytes..(block + tile_blocks) * block_bytes],
                    scales: &self.scales[outputs.clone()],
                    starts: &self.starts[outputs.clone()],
                    bias: &self.bias[outputs],
                    out: &mut out[(row - rows.start) * width + from..],
                    out_stride: width,
                    width: width - from,
                };
                plain::run(level, tile, tile_rows, tile_blocks);
                row += tile_rows;
            }
            block += tile_blocks;
        }
    }
}
