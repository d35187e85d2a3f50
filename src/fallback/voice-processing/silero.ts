/** Silero VAD 6 for 16 kHz, and what it remembers of one signal; the same sums as `crates/silero-vad`. */

import { UniversalAiError } from '../../errors.js';
import { BINS, CONTEXT, FRAMES, Spectrum, WINDOW } from './spectrum.js';
import { HIDDEN, type Layer, type Weights } from './weights.js';

/** 40 dB above full scale: filters overshoot by some dB, 16-bit integers that were not scaled by 90. */
const LOUDEST = 100;

/** Feed it the signal's windows in order. */
export class SpeechStream {
  readonly #weights: Weights;
  readonly #spectrum: Spectrum;
  readonly #seen = new Float32Array(CONTEXT + WINDOW);
  readonly #magnitudes = new Float32Array(BINS * FRAMES);
  readonly #first = new Float32Array(128 * 4);
  readonly #second = new Float32Array(64 * 2);
  readonly #third = new Float32Array(64);
  /** What the LSTM reads: the layer below, and its own last output. */
  readonly #inputs = new Float32Array(2 * HIDDEN);
  readonly #cell = new Float32Array(HIDDEN);
  readonly #gates = new Float32Array(4 * HIDDEN);
  readonly #column: Float32Array[] = Array.from({ length: 4 }, () => new Float32Array(3 * BINS));
  #windows = 0;

  constructor(weights: Weights) {
    this.#weights = weights;
    this.#spectrum = new Spectrum(weights.window);
  }

  /**
   * How likely it is (0 to 1) that the next 32 ms hold speech.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT` for a sample that is not finite, or so loud that it was not scaled.
   */
  probability(window: Float32Array): number {
    // Written so that NaN is found.
    const loud = window.findIndex(sample => !(sample >= -LOUDEST && sample <= LOUDEST));
    if (loud >= 0) throw new UniversalAiError('UAT_INVALID_INPUT', `sample ${this.#windows * WINDOW + loud} is ${shortest(window[loud]!)}: expected finite samples of full scale -1 to 1`);
    this.#windows++;
    const { conv0, conv1, conv2, conv3, lstm } = this.#weights;
    this.#seen.copyWithin(0, WINDOW);
    this.#seen.set(window, CONTEXT);
    this.#spectrum.magnitudes(this.#seen, this.#magnitudes);
    convolve(conv0, this.#magnitudes, 4, 1, this.#column, this.#first);
    convolve(conv1, this.#first, 4, 2, this.#column, this.#second);
    apply(conv2, this.#second, this.#third, 0, 1, true);
    apply(conv3, this.#third, this.#inputs, 0, 1, true);
    apply(lstm, this.#inputs, this.#gates, 0, 1, false);
    return sigmoid(this.#step());
  }

  /** The LSTM's step, and the last layer. */
  #step(): number {
    const gates = this.#gates;
    const { out, outBias } = this.#weights;
    let sum = outBias;
    for (let at = 0; at < HIDDEN; at++) {
      const cell = sigmoid(gates[HIDDEN + at]!) * this.#cell[at]! + sigmoid(gates[at]!) * Math.tanh(gates[2 * HIDDEN + at]!);
      this.#cell[at] = cell;
      const hidden = sigmoid(gates[3 * HIDDEN + at]!) * Math.tanh(cell);
      this.#inputs[HIDDEN + at] = hidden;
      sum += Math.max(hidden, 0) * out[at]!;
    }
    return sum;
  }
}

/** A convolution of width 3 with zeros beyond the ends, at every `stride`-th place of `places`; `input` has them side by side. */
function convolve(layer: Layer, input: Float32Array, places: number, stride: number, columns: Float32Array[], out: Float32Array): void {
  const count = places / stride;
  const channels = layer.inputs / 3;
  for (let to = 0; to < count; to++) {
    const column = columns[to]!;
    for (let channel = 0; channel < channels; channel++) {
      for (let tap = 0; tap < 3; tap++) {
        const place = to * stride + tap - 1;
        column[3 * channel + tap] = place >= 0 && place < places ? input[channel * places + place]! : 0;
      }
    }
    apply(layer, column, out, to, count, true);
  }
}

/** One column of a layer's product, with or without what is below 0, into every `stride`-th place of `out` from `offset`. */
function apply({ weights, bias, inputs, outputs }: Layer, column: Float32Array, out: Float32Array, offset: number, stride: number, rectified: boolean): void {
  // Four outputs at a time, whose weights lie together: no addition waits for the one before.
  let weight = 0;
  for (let output = 0; output < outputs; output += 4) {
    let [a, b, c, d] = [bias[output]!, bias[output + 1]!, bias[output + 2]!, bias[output + 3]!];
    for (let at = 0; at < inputs; at++, weight += 4) {
      const input = column[at]!;
      a += weights[weight]! * input;
      b += weights[weight + 1]! * input;
      c += weights[weight + 2]! * input;
      d += weights[weight + 3]! * input;
    }
    const place = offset + output * stride;
    out[place] = rectified && a < 0 ? 0 : a;
    out[place + stride] = rectified && b < 0 ? 0 : b;
    out[place + 2 * stride] = rectified && c < 0 ? 0 : c;
    out[place + 3 * stride] = rectified && d < 0 ? 0 : d;
  }
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** A number of 32 bits as the core writes it: with as few digits as tell it from its neighbours. */
export function shortest(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? 'inf' : '-inf';
  for (let digits = 1; digits < 9; digits++) {
    const written = Number(value.toPrecision(digits));
    if (Math.fround(written) === value) return String(written);
  }
  return String(value);
}
