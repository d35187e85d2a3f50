//! The weights that the passes compute with: 8-bit matrices, and floating point for what is small.

use std::io::{Read, Seek};

use rayon::prelude::*;

use super::ModelFile;
use crate::WhisperError;
use crate::kernels::{Int8Matrix, Level, all_finite, from_halves};

const F32: u8 = 0;
const F16: u8 = 4;
/// CTranslate2's number for the exact GELU.
const GELU: u8 = 3;
/// Numbers that a thread converts at a time.
const HALVES: usize = 1 << 16;
/// More of anything than the largest Whisper has (1,280 wide, 32 layers, 51,866 tokens, 128 mels, 1,500 positions, 448 tokens):
/// beyond it, a shape is an error of the file.
const MOST: usize = 1 << 17;

/// Scale and shift of a layer norm.
pub(crate) struct LayerNorm {
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
}

/// One layer of the encoder; the attention's three inputs are one matrix.
pub(crate) struct EncoderLayer {
    pub(crate) attention_norm: LayerNorm,
    pub(crate) queries_keys_values: Int8Matrix,
    pub(crate) attention_out: Int8Matrix,
    pub(crate) feed_norm: LayerNorm,
    pub(crate) feed_in: Int8Matrix,
    pub(crate) feed_out: Int8Matrix,
}

/// What a layer of the decoder asks the encoder's output with.
pub(crate) struct CrossAttention {
    pub(crate) norm: LayerNorm,
    pub(crate) queries: Int8Matrix,
    pub(crate) keys_values: Int8Matrix,
    pub(crate) out: Int8Matrix,
}

/// One layer of the decoder: as the encoder's, with another attention in the middle.
pub(crate) struct DecoderLayer {
    pub(crate) own: EncoderLayer,
    pub(crate) cross: CrossAttention,
}

/// A whole model. Its sizes are those of the arrays in the file.
pub(crate) struct Weights {
    pub(crate) mels: usize,
    pub(crate) width: usize,
    pub(crate) heads: usize,
    /// Three columns for each mel, by output: floating point, because it is small and hears the audio itself.
    pub(crate) conv1: Vec<f32>,
    pub(crate) conv1_bias: Vec<f32>,
    /// Inputs in the order of time, then channel.
    pub(crate) conv2: Int8Matrix,
    pub(crate) encoder_positions: Vec<f32>,
    pub(crate) encoder: Vec<EncoderLayer>,
    pub(crate) encoder_norm: LayerNorm,
    /// Both the table of embeddings and the output head.
    pub(crate) embeddings: Int8Matrix,
    pub(crate) decoder_positions: Vec<f32>,
    pub(crate) decoder: Vec<DecoderLayer>,
    pub(crate) decoder_norm: LayerNorm,
}

impl Weights {
    /// Reads all of them.
    pub(crate) fn read<R: Read + Seek>(file: &mut ModelFile<R>) -> Result<Self, WhisperError> {
        if file.spec != "WhisperSpec" {
            return Err(unsupported(format!("spec is {}", file.spec)));
        }
        let [width, mels, taps] = shape(file, "encoder/conv1/weight")?;
        let [vocabulary, _] = shape(file, "decoder/embeddings/weight")?;
        let [positions, _] = shape(file, "encoder/position_encodings/encodings")?;
        let [tokens, _] = shape(file, "decoder/position_encodings/encodings")?;
        let heads = heads(file)?;
        if taps != 3 || !width.is_multiple_of(heads) || positions < 2 || tokens < 8 {
            return Err(unsupported(format!(
                "convolution has {taps} taps, and {width} numbers for {heads} heads"
            )));
        }
        for (name, expected) in [("decoder/activation", GELU), ("decoder/pre_norm", 1), ("decoder/alibi", 0)]
        {
            if file.has(name) && file.bytes(name)? != [expected] {
                return Err(unsupported(format!("{name} is not {expected}")));
            }
        }
        let mut read = Reader { file, width };
        let mut encoder = Vec::new();
        while read.file.has(&format!("encoder/layer_{}/ffn/linear_0/weight", encoder.len())) {
            encoder.push(read.layer(&format!("encoder/layer_{}", encoder.len()))?);
        }
        let mut decoder = Vec::new();
        while read.file.has(&format!("decoder/layer_{}/ffn/linear_0/weight", decoder.len())) {
            let name = format!("decoder/layer_{}", decoder.len());
            decoder.push(DecoderLayer {
                own: read.layer(&name)?,
                cross: read.cross(&format!("{name}/attention"))?,
            });
        }
        if encoder.is_empty() || decoder.is_empty() {
            return Err(unsupported("encoder or decoder has no layers".to_owned()));
        }
        let conv2 = by_time(&read.floats("encoder/conv2/weight", &[width, width, 3])?, width);
        let conv2_bias = read.floats("encoder/conv2/bias", &[width])?;
        Ok(Self {
            mels,
            width,
            heads,
            conv1: read.floats("encoder/conv1/weight", &[width, mels, 3])?,
            conv1_bias: read.floats("encoder/conv1/bias", &[width])?,
            conv2: Int8Matrix::quantise(&conv2, width, &conv2_bias),
            encoder_positions: read.floats("encoder/position_encodings/encodings", &[positions, width])?,
            encoder,
            encoder_norm: read.norm("encoder/layer_norm")?,
            embeddings: Int8Matrix::quantise(
                &read.floats("decoder/embeddings/weight", &[vocabulary, width])?,
                vocabulary,
                &[],
            ),
            decoder_positions: read.floats("decoder/position_encodings/encodings", &[tokens, width])?,
            decoder,
            decoder_norm: read.norm("decoder/layer_norm")?,
        })
    }

    /// How many tokens the model knows.
    pub(crate) fn vocabulary(&self) -> usize {
        self.embeddings.outputs()
    }

    /// How many positions of 20 ms the encoder hears at most: 1,500.
    pub(crate) fn audio_positions(&self) -> usize {
        self.encoder_positions.len() / self.width
    }

    /// How many tokens a text has at most, with all in front of it: 448.
    pub(crate) fn text_positions(&self) -> usize {
        self.decoder_positions.len() / self.width
    }
}

fn unsupported(reason: String) -> WhisperError {
    WhisperError::Unsupported { reason }
}

/// Sizes that are within reason.
fn shape<R: Read + Seek, const N: usize>(
    file: &ModelFile<R>,
    name: &str,
) -> Result<[usize; N], WhisperError> {
    let shape = &file.find(name)?.shape;
    match <[usize; N]>::try_from(shape.as_slice()) {
        Ok(sizes) if sizes.iter().all(|size| (1..=MOST).contains(size)) => Ok(sizes),
        _ => Err(unsupported(format!("{name} has the shape {shape:?}"))),
    }
}

fn heads<R: Read + Seek>(file: &mut ModelFile<R>) -> Result<usize, WhisperError> {
    let number = |bytes: Vec<u8>| bytes.iter().rev().fold(0, |sum, byte| sum * 256 + usize::from(*byte));
    // At most four bytes, by the kinds of numbers that there are.
    for name in ["encoder/num_heads", "decoder/num_heads"] {
        if !file.find(name)?.shape.is_empty() {
            return Err(unsupported(format!("{name} is an array")));
        }
    }
    let (encoder, decoder) =
        (number(file.bytes("encoder/num_heads")?), number(file.bytes("decoder/num_heads")?));
    match encoder {
        1..=64 if encoder == decoder => Ok(encoder),
        _ => Err(unsupported(format!("encoder has {encoder} heads and its decoder {decoder}"))),
    }
}

struct Reader<'a, R> {
    file: &'a mut ModelFile<R>,
    width: usize,
}

impl<R: Read + Seek> Reader<'_, R> {
    fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WhisperError> {
        let variable = self.file.find(name)?.clone();
        if variable.shape != shape {
            return Err(unsupported(format!(
                "{name} has the shape {:?} instead of {shape:?}",
                variable.shape
            )));
        }
        let bytes = self.file.bytes(name)?;
        let level = Level::best();
        let numbers: Vec<f32> = match variable.kind {
            F32 => bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            F16 => {
                let mut numbers = vec![0.0; bytes.len() / 2];
                let pairs = bytes.as_chunks::<2>().0.par_chunks(HALVES).zip(numbers.par_chunks_mut(HALVES));
                pairs.for_each(|(halves, numbers)| from_halves(level, halves, numbers));
                numbers
            }
            kind => {
                let reason = format!("{name} has numbers of the kind {kind} instead of f16 or f32");
                return Err(unsupported(reason));
            }
        };
        if all_finite(level, &numbers) {
            Ok(numbers)
        } else {
            let reason = format!("{name} holds what is not a number");
            Err(WhisperError::Corrupt { offset: variable.offset, reason })
        }
    }

    fn norm(&mut self, name: &str) -> Result<LayerNorm, WhisperError> {
        let width = [self.width];
        let gamma = self.floats(&format!("{name}/gamma"), &width)?;
        Ok(LayerNorm { gamma, beta: self.floats(&format!("{name}/beta"), &width)? })
    }

    fn matrix(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<Int8Matrix, WhisperError> {
        let weights = self.floats(&format!("{name}/weight"), &[outputs, inputs])?;
        let bias = self.floats(&format!("{name}/bias"), &[outputs])?;
        Ok(Int8Matrix::quantise(&weights, outputs, &bias))
    }

    fn layer(&mut self, name: &str) -> Result<EncoderLayer, WhisperError> {
        let width = self.width;
        let [inner, _] = shape(self.file, &format!("{name}/ffn/linear_0/weight"))?;
        Ok(EncoderLayer {
            attention_norm: self.norm(&format!("{name}/self_attention/layer_norm"))?,
            queries_keys_values: self.matrix(&format!("{name}/self_attention/linear_0"), 3 * width, width)?,
            attention_out: self.matrix(&format!("{name}/self_attention/linear_1"), width, width)?,
            feed_norm: self.norm(&format!("{name}/ffn/layer_norm"))?,
            feed_in: self.matrix(&format!("{name}/ffn/linear_0"), inner, width)?,
            feed_out: self.matrix(&format!("{name}/ffn/linear_1"), width, inner)?,
        })
    }

    fn cross(&mut self, name: &str) -> Result<CrossAttention, WhisperError> {
        let width = self.width;
        Ok(CrossAttention {
            norm: self.norm(&format!("{name}/layer_norm"))?,
            queries: self.matrix(&format!("{name}/linear_0"), width, width)?,
            keys_values: self.matrix(&format!("{name}/linear_1"), 2 * width, width)?,
            out: self.matrix(&format!("{name}/linear_2"), width, width)?,
        })
    }
}

/// The weights of a convolution, from outputs by channels by time to outputs by time by channels.
fn by_time(weights: &[f32], channels: usize) -> Vec<f32> {
    let mut out = vec![0.0; weights.len()];
    for (from, to) in weights.chunks_exact(3 * channels).zip(out.chunks_exact_mut(3 * channels)) {
        for (channel, taps) in from.as_chunks::<3>().0.iter().enumerate() {
            for (time, tap) in taps.iter().enumerate() {
                to[time * channels + channel] = *tap;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_the_numbers_that_they_stand_for() {
        let cases =
            [(0x3c00_u16, 1.0), (0xc000, -2.0), (0x0001, 5.960_464_5e-8), (0x7bff, 65_504.0), (0x8000, -0.0)];
        for level in Level::available() {
            let of = |half: u16| {
                let mut out = [1.0];
                from_halves(level, &[half.to_le_bytes()], &mut out);
                out[0]
            };
            for (half, number) in cases {
                assert_eq!(of(half).to_bits(), f32::to_bits(number), "{half:x}");
            }
            assert!(of(0x7c00).is_nan() && of(0xfe00).is_nan());
        }
    }
}
