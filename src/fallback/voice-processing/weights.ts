/** Silero's numbers, in the order in which the network's sums read them. */

import { UniversalAiError } from '../../errors.js';
import { tensors, type Tensor } from './onnx.js';
import { BINS, FRAME } from './spectrum.js';

/** Width of the LSTM. */
export const HIDDEN = 128;

/** Outputs whose weights lie together; the sums are written for so many. */
const BLOCK = 4;

/** A product of a matrix with one or more columns. */
export interface Layer {
  /** For each block of outputs, their weights of each input in turn, so that the sums read straight ahead. */
  weights: Float32Array;
  bias: Float32Array;
  inputs: number;
  outputs: number;
}

export interface Weights {
  /** What frames are multiplied with before their Fourier transform. */
  window: Float32Array;
  conv0: Layer;
  conv1: Layer;
  conv2: Layer;
  conv3: Layer;
  /** Gates in PyTorch's order (input, forget, cell, output); inputs are those of the layer below, then the LSTM's own. */
  lstm: Layer;
  out: Float32Array;
  outBias: number;
}

/** @throws {UniversalAiError} `UAT_CORRUPT_VALUE`: no sound ONNX file; `UAT_UNSUPPORTED`: another network. */
export function readWeights(file: Uint8Array): Weights {
  const found = tensors(file);
  const get = (name: string, ...dims: number[]): Float32Array => floats(found, name, dims);
  const conv = (at: number, outputs: number, channels: number): [Float32Array, Float32Array] => [
    get(`model.encoder.${at}.reparam_conv.weight`, outputs, channels, 3), get(`model.encoder.${at}.reparam_conv.bias`, outputs),
  ];
  const [w0, b0] = conv(0, 128, BINS);
  const [w1, b1] = conv(1, 64, 128);
  const [w2, b2] = conv(2, 64, 64);
  const [w3, b3] = conv(3, 128, 64);
  const [input, own] = [get('model.decoder.rnn.weight_ih', 4 * HIDDEN, HIDDEN), get('model.decoder.rnn.weight_hh', 4 * HIDDEN, HIDDEN)];
  const [below, beside] = [get('model.decoder.rnn.bias_ih', 4 * HIDDEN), get('model.decoder.rnn.bias_hh', 4 * HIDDEN)];
  return {
    window: windowOf(get('model.stft.forward_basis_buffer', 2 * BINS, 1, FRAME)),
    conv0: layer(3 * BINS, b0, (row, at) => w0[row * 3 * BINS + at]!),
    conv1: layer(3 * 128, b1, (row, at) => w1[row * 3 * 128 + at]!),
    // Of two positions and the zero before them one is made: the first tap meets the zero.
    conv2: layer(2 * 64, b2, (row, at) => w2[row * 3 * 64 + (at >> 1) * 3 + (at & 1) + 1]!),
    // Of one position and zeros around it one is made: only the middle tap meets it.
    conv3: layer(64, b3, (row, at) => w3[row * 3 * 64 + at * 3 + 1]!),
    lstm: layer(2 * HIDDEN, below.map((bias, at) => bias + beside[at]!), (row, at) => at < HIDDEN ? input[row * HIDDEN + at]! : own[row * HIDDEN + at - HIDDEN]!),
    out: get('model.decoder.decoder.2.weight', 1, HIDDEN, 1),
    outBias: get('model.decoder.decoder.2.bias', 1)[0]!,
  };
}

/** Rearranges a matrix, told by `at(output, input)`, of whole blocks of outputs. */
function layer(inputs: number, bias: Float32Array, at: (output: number, input: number) => number): Layer {
  const outputs = bias.length;
  const weights = new Float32Array(inputs * outputs);
  let place = 0;
  for (let block = 0; block < outputs; block += BLOCK) {
    for (let input = 0; input < inputs; input++) {
      for (let lane = 0; lane < BLOCK; lane++) weights[place++] = at(block + lane, input);
    }
  }
  return { weights, bias, inputs, outputs };
}

/**
 * The network says its Fourier transform as a convolution with 258 kernels: cosines, then sines, each times a window. An FFT gives the
 * same in a fiftieth of the multiplications, provided that they are those of a transform, which is checked.
 */
function windowOf(kernels: Float32Array): Float32Array {
  // Rounding of f32 in numbers up to 1; another transform, or another scaling, differs by far more.
  const CLOSE = 2e-6;
  // The lowest frequency's cosine is 1 everywhere.
  const window = kernels.slice(0, FRAME);
  for (let row = 0; row < 2 * BINS; row++) {
    for (let at = 0; at < FRAME; at++) {
      const angle = 2 * Math.PI * (row % BINS * at % FRAME) / FRAME;
      const wave = row < BINS ? Math.cos(angle) : -Math.sin(angle);
      if (!(Math.abs(wave * window[at]! - kernels[row * FRAME + at]!) <= CLOSE)) throw otherModel('model.stft.forward_basis_buffer', `row ${row} is not that of a windowed Fourier transform`);
    }
  }
  return window;
}

function floats(found: Map<string, Tensor>, name: string, dims: number[]): Float32Array {
  const tensor = found.get(name);
  if (tensor === undefined) throw otherModel(name, 'it is missing');
  if (tensor.data === undefined || tensor.dims.join(' ') !== dims.join(' ') || tensor.data.length !== dims.reduce((product, dim) => product * dim, 1)) {
    throw otherModel(name, `expected 32-bit floats of the shape ${dims.join(' x ')}, found the shape ${tensor.dims.join(' x ')}`);
  }
  return tensor.data;
}

function otherModel(tensor: string, reason: string): UniversalAiError {
  return new UniversalAiError('UAT_UNSUPPORTED', `the model is not Silero VAD 6 for 16 kHz: ${tensor}: ${reason}; take the catalogue's \`silero-vad-6\``);
}
