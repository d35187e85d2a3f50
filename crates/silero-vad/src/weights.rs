//! The network's numbers, in the order in which the kernels read them.

use crate::VadError;
use crate::onnx::{self, Tensor};
use crate::spectrum::{BINS, FRAME, Spectrum};

/// Width of the LSTM.
pub(crate) const HIDDEN: usize = 128;

/// A layer's weights: for each block of `B` outputs, the `B` weights of each input in turn, so that a kernel reads
/// straight ahead. Every layer is a product of a matrix with one or more columns.
pub(crate) struct Layer<const B: usize> {
    pub(crate) weights: Vec<[f32; B]>,
    pub(crate) bias: Vec<[f32; B]>,
}

pub(crate) struct Weights {
    pub(crate) spectrum: Spectrum,
    pub(crate) conv0: Layer<16>,
    pub(crate) conv1: Layer<32>,
    pub(crate) conv2: Layer<64>,
    pub(crate) conv3: Layer<64>,
    /// Gates in PyTorch's order (input, forget, cell, output); inputs are those of the layer below, then the LSTM's own.
    pub(crate) lstm: Layer<64>,
    pub(crate) out: [f32; HIDDEN],
    pub(crate) out_bias: f32,
}

impl Weights {
    pub(crate) fn read(file: &[u8]) -> Result<Self, VadError> {
        let tensors = onnx::tensors(file)?;
        let get = |name, dims: &[usize]| floats(&tensors, name, dims);
        let basis = get("model.stft.forward_basis_buffer", &[2 * BINS, 1, FRAME])?;
        let [w0, w1, w2, w3] = [
            get("model.encoder.0.reparam_conv.weight", &[128, BINS, 3])?,
            get("model.encoder.1.reparam_conv.weight", &[64, 128, 3])?,
            get("model.encoder.2.reparam_conv.weight", &[64, 64, 3])?,
            get("model.encoder.3.reparam_conv.weight", &[128, 64, 3])?,
        ];
        let [b0, b1, b2, b3] = [
            get("model.encoder.0.reparam_conv.bias", &[128])?,
            get("model.encoder.1.reparam_conv.bias", &[64])?,
            get("model.encoder.2.reparam_conv.bias", &[64])?,
            get("model.encoder.3.reparam_conv.bias", &[128])?,
        ];
        let input = get("model.decoder.rnn.weight_ih", &[4 * HIDDEN, HIDDEN])?;
        let own = get("model.decoder.rnn.weight_hh", &[4 * HIDDEN, HIDDEN])?;
        let mut lstm_bias = get("model.decoder.rnn.bias_ih", &[4 * HIDDEN])?;
        for (sum, more) in lstm_bias.iter_mut().zip(get("model.decoder.rnn.bias_hh", &[4 * HIDDEN])?) {
            *sum += more;
        }
        let mut out = [0.0; HIDDEN];
        out.copy_from_slice(&get("model.decoder.decoder.2.weight", &[1, HIDDEN, 1])?);
        let out_bias = get("model.decoder.decoder.2.bias", &[1])?.first().copied().unwrap_or_default();
        Ok(Self {
            spectrum: Spectrum::new(&basis)?,
            conv0: layer(3 * BINS, &b0, |row, at| w0[row * 3 * BINS + at]),
            conv1: layer(3 * 128, &b1, |row, at| w1[row * 3 * 128 + at]),
            // Of two positions and the zero before them one is made: the first tap meets the zero.
            conv2: layer(2 * 64, &b2, |row, at| w2[row * 3 * 64 + at / 2 * 3 + at % 2 + 1]),
            // Of one position and zeros around it one is made: only the middle tap meets it.
            conv3: layer(64, &b3, |row, at| w3[row * 3 * 64 + at * 3 + 1]),
            lstm: layer(2 * HIDDEN, &lstm_bias, |row, at| match at.checked_sub(HIDDEN) {
                None => input[row * HIDDEN + at],
                Some(at) => own[row * HIDDEN + at],
            }),
            out,
            out_bias,
        })
    }
}

/// Rearranges a matrix, told by `at(output, input)`, of whole blocks of outputs.
fn layer<const B: usize>(inputs: usize, bias: &[f32], at: impl Fn(usize, usize) -> f32) -> Layer<B> {
    let bias = bias.as_chunks().0.to_vec();
    let blocks = 0..bias.len();
    let weights = blocks
        .flat_map(|block| (0..inputs).map(move |input| (block, input)))
        .map(|(block, input)| std::array::from_fn(|lane| at(block * B + lane, input)))
        .collect();
    Layer { weights, bias }
}

fn floats(tensors: &[Tensor<'_>], tensor: &'static str, dims: &[usize]) -> Result<Vec<f32>, VadError> {
    let other = |reason: String| VadError::OtherModel { tensor, reason };
    let found = tensors
        .iter()
        .find(|found| found.name == tensor.as_bytes())
        .ok_or_else(|| other("the file has no such tensor".to_owned()))?;
    if !found.dims.iter().copied().eq(dims.iter().map(|&dim| dim as u64)) {
        return Err(other(format!("expected the shape {dims:?}, found {:?}", found.dims)));
    }
    let bytes = dims.iter().product::<usize>() * size_of::<f32>();
    if found.data_type != 1 || found.data.len() != bytes {
        return Err(other(format!("expected {bytes} bytes of 32-bit numbers, found {}", found.data.len())));
    }
    let numbers: Vec<f32> = found.data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
        return Err(other(format!("number {at} is {}", numbers[at])));
    }
    Ok(numbers)
}
