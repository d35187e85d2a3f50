/**
 * From any rate to 16 kHz by a windowed sinc, of which only the outputs are computed (polyphase). Filters and places are those of
 * `crates/audio-input/src/resample`, so that both backends hear the same: at 48 kHz a Kaiser window, else rubato's, a squared
 * Blackman-Harris window of 256 inputs (https://docs.rs/rubato/5.1.0). What would alias is 80 dB down from 8.0 kHz on at 48 kHz, from
 * 8.9 kHz on at 44.1 kHz.
 */

const TARGET = 16_000;

/** Filters, and where they lie. Output `n` begins at input `floor((n + shift) * step / phases) - before`. */
interface Polyphase {
  /** One after the other. */
  taps: Float64Array;
  length: number;
  /** How many filters there are: outputs lie at so many places between inputs. */
  phases: number;
  step: number;
  shift: number;
  before: number;
}

/** Turns mono samples of a rate into those of 16 kHz. Output `n` is what sounded at `n` / 16,000 s. */
export class Resampler {
  readonly #rate: number;
  readonly #filter: Polyphase | undefined;
  /** Inputs since `#base`. */
  #kept: Float32Array;
  #base: number;
  #taken = 0;
  #given = 0;

  constructor(rate: number) {
    this.#rate = rate;
    this.#filter = rate === TARGET ? undefined : rate === 3 * TARGET ? kaiser() : blackmanHarris(rate);
    // Silence before the signal.
    this.#base = this.#filter === undefined ? 0 : first(this.#filter, 0);
    this.#kept = new Float32Array(Math.max(-this.#base, 0));
  }

  /** What can be told of `samples`; some of it comes with later calls. */
  push(samples: Float32Array): Float32Array {
    if (this.#filter === undefined) return samples;
    this.#taken += samples.length;
    return this.#resampled(this.#filter, samples, Infinity);
  }

  /** What is left, as if silence followed. */
  flush(): Float32Array {
    if (this.#filter === undefined) return new Float32Array();
    const whole = Math.ceil(this.#taken * TARGET / this.#rate);
    const silence = first(this.#filter, Math.max(whole - 1, 0)) + this.#filter.length - this.#base - this.#kept.length;
    return this.#resampled(this.#filter, new Float32Array(Math.max(silence, 0)), whole);
  }

  #resampled(filter: Polyphase, samples: Float32Array, most: number): Float32Array {
    const { taps, length, phases, step, shift } = filter;
    const input = new Float32Array(this.#kept.length + samples.length);
    input.set(this.#kept);
    input.set(samples, this.#kept.length);
    const out = new Float32Array(Math.ceil((input.length + 1) * phases / step) + 1);
    let count = 0;
    while (this.#given < most) {
      const from = first(filter, this.#given) - this.#base;
      if (from + length > input.length) break;
      const row = (this.#given + shift) * step % phases * length;
      let [a, b] = [0, 0];
      for (let at = 0; at + 1 < length; at += 2) {
        a += taps[row + at]! * input[from + at]!;
        b += taps[row + at + 1]! * input[from + at + 1]!;
      }
      if (length % 2 === 1) a += taps[row + length - 1]! * input[from + length - 1]!;
      out[count++] = a + b;
      this.#given++;
    }
    const used = Math.min(first(filter, this.#given) - this.#base, input.length);
    this.#kept = input.slice(used);
    this.#base += used;
    return out.subarray(0, count);
  }
}

/** The first input that output `n` is made of. */
function first({ phases, step, shift, before }: Polyphase, n: number): number {
  return Math.floor((n + shift) * step / phases) - before;
}

/** A sinc under a Kaiser window (Kaiser and Schafer, 1980): 84 dB from 7,000 Hz to 8,000 Hz. */
function kaiser(): Polyphase {
  const length = 255;
  const beta = 0.1102 * (84 - 8.7);
  const cutoff = 7_500 / 48_000;
  const middle = (length - 1) / 2;
  const taps = Float64Array.from({ length }, (_, at) => {
    const x = at - middle;
    const sinc = x === 0 ? 2 * cutoff : Math.sin(2 * Math.PI * cutoff * x) / (Math.PI * x);
    return sinc * bessel(beta * Math.sqrt(Math.max(1 - (x / middle) ** 2, 0))) / bessel(beta);
  });
  const sum = taps.reduce((all, tap) => all + tap);
  return { taps: taps.map(tap => tap / sum), length, phases: 1, step: 3, shift: 0, before: middle };
}

/** The modified Bessel function of order 0, by its series. */
function bessel(x: number): number {
  let [sum, term] = [1, 1];
  for (let n = 1; n < 50; n++) sum += term *= (x / 2 / n) ** 2;
  return sum;
}

function blackmanHarris(rate: number): Polyphase {
  const length = 256;
  /** Places between two inputs at which rubato keeps its sinc; it lies one of them off. */
  const OVERSAMPLING = 128;
  const ratio = TARGET / rate;
  // Rubato's fit of where this window's main lobe ends.
  const edge = 1 / (13.745202940783823 / length + 121.73532586374934 / length ** 2 + 5964.163279612051 / length ** 3 + 1);
  const cutoff = Math.fround(edge) * Math.min(ratio, 1);
  const tap = (x: number): number => {
    const turn = 2 * Math.PI * (x / length + 0.5);
    const window = 0.35875 - 0.48829 * Math.cos(turn) + 0.14128 * Math.cos(2 * turn) - 0.01168 * Math.cos(3 * turn);
    const angle = Math.PI * x * cutoff;
    return window ** 2 * (angle === 0 ? 1 : Math.sin(angle) / angle);
  };
  let sum = 0;
  for (let at = 0; at < length * OVERSAMPLING; at++) sum += tap(at / OVERSAMPLING - length / 2);
  sum /= OVERSAMPLING;
  const shared = divisor(TARGET, rate);
  const [phases, step] = [TARGET / shared, rate / shared];
  const taps = new Float64Array(phases * length);
  for (let phase = 0; phase < phases; phase++) {
    for (let at = 0; at < length; at++) taps[phase * length + at] = tap(at - length / 2 + 1 - phase / phases - 1 / OVERSAMPLING) / sum;
  }
  return { taps, length, phases, step, shift: 1 + Math.floor(length * ratio / 2), before: length - 1 };
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}
