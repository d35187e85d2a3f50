//! The same sums with AVX2, AVX-VNNI and AVX-512 VNNI.

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_abs_epi8, _mm256_add_epi32, _mm256_dpbusd_avx_epi32, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_sign_epi8, _mm256_storeu_si256, _mm256_xor_si256, _mm512_dpbusd_epi32,
    _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512,
};

use super::Level;
use super::int8::{BLOCK, Tile};

/// Computes a tile of at most eight rows by two blocks or one row by four (AVX-512), four rows by one block (the others).
pub(super) fn run(level: Level, tile: Tile<'_>, rows: usize, blocks: usize) {
    // The kernels read without checks: this is all that they rely on.
    assert!(tile.rows.len() >= rows * tile.stride && tile.stride.is_multiple_of(4));
    assert!(tile.weights.len() >= blocks * BLOCK * tile.stride && tile.starts.len() >= blocks * BLOCK);
    // SAFETY: `Level` values other than Plain come from `Level::available`, which asked the CPU; the lengths were checked above.
    unsafe {
        match (level, rows, blocks) {
            (Level::Avx512Vnni, 1, 4) => avx512::<1, 4>(tile),
            (Level::Avx512Vnni, 1, 3) => avx512::<1, 3>(tile),
            (Level::Avx512Vnni, 8, 2) => avx512::<8, 2>(tile),
            (Level::Avx512Vnni, 7, 2) => avx512::<7, 2>(tile),
            (Level::Avx512Vnni, 6, 2) => avx512::<6, 2>(tile),
            (Level::Avx512Vnni, 5, 2) => avx512::<5, 2>(tile),
            (Level::Avx512Vnni, 4, 2) => avx512::<4, 2>(tile),
            (Level::Avx512Vnni, 3, 2) => avx512::<3, 2>(tile),
            (Level::Avx512Vnni, 2, 2) => avx512::<2, 2>(tile),
            (Level::Avx512Vnni, 1, 2) => avx512::<1, 2>(tile),
            (Level::Avx512Vnni, 8, _) => avx512::<8, 1>(tile),
            (Level::Avx512Vnni, 7, _) => avx512::<7, 1>(tile),
            (Level::Avx512Vnni, 6, _) => avx512::<6, 1>(tile),
            (Level::Avx512Vnni, 5, _) => avx512::<5, 1>(tile),
            (Level::Avx512Vnni, 4, _) => avx512::<4, 1>(tile),
            (Level::Avx512Vnni, 3, _) => avx512::<3, 1>(tile),
            (Level::Avx512Vnni, 2, _) => avx512::<2, 1>(tile),
            (Level::Avx512Vnni, _, _) => avx512::<1, 1>(tile),
            (Level::AvxVnni, 4, _) => avx_vnni::<4>(tile),
            (Level::AvxVnni, 3, _) => avx_vnni::<3>(tile),
            (Level::AvxVnni, 2, _) => avx_vnni::<2>(tile),
            (Level::AvxVnni, _, _) => avx_vnni::<1>(tile),
            (_, 4, _) => avx2::<4>(tile),
            (_, 3, _) => avx2::<3>(tile),
            (_, 2, _) => avx2::<2>(tile),
            (_, _, _) => avx2::<1>(tile),
        }
    }
}

/// Four bytes of a row of activations.
///
/// # Safety
/// They have to be there.
#[inline(always)]
unsafe fn quad(rows: *const u8, at: usize) -> i32 {
    // SAFETY: as the caller promises; the read needs no alignment.
    unsafe { rows.add(at).cast::<i32>().read_unaligned() }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn avx512<const ROWS: usize, const BLOCKS: usize>(mut tile: Tile<'_>) {
    let (rows, weights, stride) = (tile.rows.as_ptr(), tile.weights.as_ptr(), tile.stride);
    let quads = stride / 4;
    // SAFETY: `run` has checked that these many rows and blocks of `stride` bytes, and their starts, are there.
    let sums: [[__m512i; BLOCKS]; ROWS] = unsafe {
        let starts: [__m512i; BLOCKS] =
            std::array::from_fn(|block| _mm512_loadu_si512(tile.starts.as_ptr().add(block * BLOCK).cast()));
        let mut sums = [starts; ROWS];
        for at in 0..quads {
            let loaded: [__m512i; BLOCKS] = std::array::from_fn(|block| {
                _mm512_loadu_si512(weights.add((block * quads + at) * 4 * BLOCK).cast())
            });
            for (row, sums) in sums.iter_mut().enumerate() {
                let bytes = _mm512_set1_epi32(quad(rows, row * stride + at * 4));
                for (sum, loaded) in sums.iter_mut().zip(loaded) {
                    *sum = _mm512_dpbusd_epi32(*sum, bytes, loaded);
                }
            }
        }
        sums
    };
    for (row, sums) in sums.iter().enumerate() {
        for (block, sum) in sums.iter().enumerate() {
            let mut lanes = [0; BLOCK];
            // SAFETY: `lanes` is 512 bits long.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), *sum) };
            tile.finish(row, block, &lanes);
        }
    }
}

/// Loads one block of 16 lanes as two registers.
///
/// # Safety
/// 64 bytes have to be there.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load_pair<T>(from: *const T) -> [__m256i; 2] {
    // SAFETY: as the caller promises.
    unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.cast::<__m256i>().add(1))] }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn finish_pair(tile: &mut Tile<'_>, row: usize, sums: [__m256i; 2]) {
    let mut lanes = [0; BLOCK];
    // SAFETY: `lanes` is twice 256 bits long.
    unsafe {
        _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sums[0]);
        _mm256_storeu_si256(lanes.as_mut_ptr().cast::<__m256i>().add(1), sums[1]);
    }
    tile.finish(row, 0, &lanes);
}

#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn avx_vnni<const ROWS: usize>(mut tile: Tile<'_>) {
    let (rows, weights, stride) = (tile.rows.as_ptr(), tile.weights.as_ptr(), tile.stride);
    // SAFETY: `run` has checked that these many rows, one block and its starts are there.
    let sums = unsafe {
        let mut sums = [load_pair(tile.starts.as_ptr()); ROWS];
        for at in 0..stride / 4 {
            let loaded = load_pair(weights.add(at * 4 * BLOCK));
            for (row, sums) in sums.iter_mut().enumerate() {
                let bytes = _mm256_set1_epi32(quad(rows, row * stride + at * 4));
                for half in 0..2 {
                    sums[half] = _mm256_dpbusd_avx_epi32(sums[half], bytes, loaded[half]);
                }
            }
        }
        sums
    };
    for (row, sums) in sums.into_iter().enumerate() {
        finish_pair(&mut tile, row, sums);
    }
}

/// `maddubs` adds pairs of products as 16-bit numbers and saturates. Signed activations of at most 127, whose sign has gone to
/// the weights, make pairs of at most 2 * 127 * 127 = 32,258: those fit.
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const ROWS: usize>(mut tile: Tile<'_>) {
    let (rows, weights, stride) = (tile.rows.as_ptr(), tile.weights.as_ptr(), tile.stride);
    let (ones, high_bit) = (_mm256_set1_epi16(1), _mm256_set1_epi8(-128));
    // SAFETY: `run` has checked that these many rows and one block are there.
    let sums = unsafe {
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        for at in 0..stride / 4 {
            let loaded = load_pair(weights.add(at * 4 * BLOCK));
            for (row, sums) in sums.iter_mut().enumerate() {
                let bytes = _mm256_set1_epi32(quad(rows, row * stride + at * 4));
                let signed = _mm256_xor_si256(bytes, high_bit);
                let magnitude = _mm256_abs_epi8(signed);
                for half in 0..2 {
                    let pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(loaded[half], signed));
                    sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(pairs, ones));
                }
            }
        }
        sums
    };
    for (row, sums) in sums.into_iter().enumerate() {
        finish_pair(&mut tile, row, sums);
    }
}
