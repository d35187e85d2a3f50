//! Points that leave no part of a cube out: Owen-scrambled Sobol numbers (Sobol 1967; Owen 1998; by hashes as in Burley 2020).

/// What the crate's sequence is long; another scramble goes on after it.
const LENGTH: u64 = 1 << 16;
/// What the crate's sequence is wide.
const WIDTH: usize = 256;

/// The point with this number, 0..1 in each dimension, in steps of 2^-24.
pub fn cube(index: u64, dimensions: usize, seed: u32) -> Vec<f64> {
    let block = (index / LENGTH) as u32;
    (0..dimensions)
        .map(|dimension| {
            let scramble = (dimension / WIDTH) as u32;
            let seed = seed ^ block.wrapping_mul(0x9e37_79b9) ^ scramble.wrapping_mul(0x85eb_ca6b);
            f64::from(sobol_burley::sample((index % LENGTH) as u32, (dimension % WIDTH) as u32, seed))
        })
        .collect()
}
