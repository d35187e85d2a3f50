//! Every level of instructions that this machine has computes the same products.

use whisper::kernels::{Activations, Int8Matrix, Level};

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.f32() * 2.0 - 1.0).collect()
}

fn reference(rows: &[f32], weights: &[f32], inputs: usize, bias: &[f32]) -> Vec<f32> {
    let of = |row: &[f32], weights: &[f32]| row.iter().zip(weights).map(|(a, b)| a * b).sum::<f32>();
    let row =
        |row| weights.chunks_exact(inputs).zip(bias).map(move |(weights, bias)| of(row, weights) + bias);
    rows.chunks_exact(inputs).flat_map(row).collect()
}

#[test]
fn all_levels_agree_to_the_last_bit_and_with_the_product_of_floats_within_rounding() {
    // Cut blocks, cut rows of tiles, and columns that are no multiple of four.
    for (rows, inputs, outputs) in
        [(1, 384, 100), (5, 64, 16), (8, 30, 33), (9, 1_536, 48), (37, 384, 131), (3, 2, 1)]
    {
        let (a, weights, bias) =
            (numbers(1, rows * inputs), numbers(2, inputs * outputs), numbers(3, outputs));
        let matrix = Int8Matrix::quantise(&weights, outputs, &bias);
        assert_eq!((matrix.outputs(), matrix.inputs()), (outputs, inputs));
        let plain = matrix.multiply(Level::Plain, &Activations::quantise(Level::Plain, &a, inputs));
        for (found, expected) in plain.iter().zip(reference(&a, &weights, inputs, &bias)) {
            // Steps of 1/127 in both, which err at random.
            let allowed = 0.02 * (inputs as f32).sqrt();
            assert!(
                (found - expected).abs() < allowed,
                "{rows} by {inputs} by {outputs}: {found}, {expected}"
            );
        }
        for level in Level::available() {
            let found = matrix.multiply(level, &Activations::quantise(level, &a, inputs));
            assert_eq!(found, plain, "{level:?}: {rows} by {inputs} by {outputs}");
        }
    }
}

#[test]
fn the_largest_numbers_do_not_saturate_at_any_level() {
    let (inputs, outputs) = (512, 32);
    let (a, weights) = (vec![1.0; inputs], vec![-1.0; inputs * outputs]);
    let matrix = Int8Matrix::quantise(&weights, outputs, &[]);
    for level in Level::available() {
        let found = matrix.multiply(level, &Activations::quantise(level, &a, inputs));
        assert!(found.iter().all(|value| (value + 512.0).abs() < 0.01), "{level:?}: {}", found[0]);
    }
}

#[test]
fn nothing_times_anything_is_the_bias() {
    let matrix = Int8Matrix::quantise(&numbers(4, 64 * 16), 16, &[0.25; 16]);
    for level in Level::available() {
        assert_eq!(matrix.multiply(level, &Activations::quantise(level, &[0.0; 64], 64)), [0.25; 16]);
    }
}
