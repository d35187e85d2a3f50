//! Which kernel computes a tile, and the one that any CPU can run.

use super::Level;
use super::int8::{BLOCK, Tile};
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Rows and blocks that a level computes at once, so that its sums stay in registers. One row alone reads the weights once and
/// is bound by that: more blocks then hide how long a sum takes.
pub(super) fn tile_size(level: Level, rows: usize) -> (usize, usize) {
    match level {
        Level::Plain => (1, 1),
        Level::Avx2 | Level::AvxVnni => (4, 1),
        Level::Avx512Vnni if rows == 1 => (1, 4),
        Level::Avx512Vnni => (8, 2),
    }
}

/// Computes a tile of at most [`tile_size`].
pub(super) fn run(level: Level, tile: Tile<'_>, rows: usize, blocks: usize) {
    match level {
        Level::Plain => plain(tile, rows, blocks),
        #[cfg(target_arch = "x86_64")]
        _ => x86::run(level, tile, rows, blocks),
        #[cfg(not(target_arch = "x86_64"))]
        _ => plain(tile, rows, blocks),
    }
}

fn plain(mut tile: Tile<'_>, rows: usize, blocks: usize) {
    for block in 0..blocks {
        let weights = &tile.weights[block * BLOCK * tile.stride..][..BLOCK * tile.stride];
        for row in 0..rows {
            let mut sums = [0_i32; BLOCK];
            sums.copy_from_slice(&tile.starts[block * BLOCK..][..BLOCK]);
            let bytes = &tile.rows[row * tile.stride..][..tile.stride];
            for (bytes, weights) in bytes.chunks_exact(4).zip(weights.chunks_exact(4 * BLOCK)) {
                for lane in 0..BLOCK {
                    for part in 0..4 {
                        let product = i32::from(bytes[part]) * i32::from(weights[lane * 4 + part]);
                        sums[lane] = sums[lane].wrapping_add(product);
                    }
                }
            }
            tile.finish(row, block, &sums);
        }
    }
}
