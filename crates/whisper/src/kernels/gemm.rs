//! Products of 32-bit floating-point matrices, by the crate `gemm`.

/// A matrix inside a longer slice: where it starts, and how far apart its rows and columns are.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl Strided<'_> {
    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
    }
}

/// `scale * left * right` with `rows` by `inner` and `inner` by `columns` numbers, written to `out` row by row, `out_row` apart.
pub(crate) fn matmul_f32(
    (rows, inner, columns): (usize, usize, usize),
    left: Strided<'_>,
    right: Strided<'_>,
    scale: f32,
    out: &mut [f32],
    out_row: usize,
) {
    assert!(left.holds(rows, inner) && right.holds(inner, columns));
    assert!(rows == 0 || columns == 0 || (rows - 1) * out_row + columns <= out.len() && columns <= out_row);
    // SAFETY: the three matrices lie inside their slices, as was checked; `out` is borrowed exclusively, and its rows do not overlap.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            out_row as isize,
            false,
            left.data.as_ptr(),
            left.column as isize,
            left.row as isize,
            right.data.as_ptr(),
            right.column as isize,
            right.row as isize,
            0.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
