/** Magnitudes of a window's spectrum: Silero's first layer. */

/** Samples that a probability is of: 32 ms. */
export const WINDOW = 512;
/** Samples of the window before that are heard again. */
export const CONTEXT = 64;
/** Samples of a frame. */
export const FRAME = 256;
/** Frequencies of a frame. */
export const BINS = FRAME / 2 + 1;
/** Frames of a window. */
export const FRAMES = 4;
/** Samples from one frame to the next. */
const HOP = 128;

/** Where each sample stands in the first step of the FFT: bits of its place in reverse. */
const PLACES = Uint8Array.from({ length: FRAME }, (_, at) => Number.parseInt(at.toString(2).padStart(8, '0').split('').reverse().join(''), 2));
const COSINES = Float64Array.from({ length: FRAME / 2 }, (_, at) => Math.cos(2 * Math.PI * at / FRAME));
const SINES = Float64Array.from({ length: FRAME / 2 }, (_, at) => Math.sin(2 * Math.PI * at / FRAME));

export class Spectrum {
  readonly #window: Float32Array;
  readonly #samples = new Float32Array((FRAMES - 1) * HOP + FRAME);
  readonly #re = new Float64Array(FRAME);
  readonly #im = new Float64Array(FRAME);

  constructor(window: Float32Array) {
    this.#window = window;
  }

  /** Writes `BINS` rows of `FRAMES` magnitudes. @param seen The end of the window before, and the window. */
  magnitudes(seen: Float32Array, out: Float32Array): void {
    const samples = this.#samples;
    const length = CONTEXT + WINDOW;
    samples.set(seen);
    // Mirrored at the end, so that the last frame is whole.
    for (let at = length; at < samples.length; at++) samples[at] = seen[2 * length - 2 - at]!;
    for (let frame = 0; frame < FRAMES; frame++) {
      for (let at = 0; at < FRAME; at++) {
        const place = PLACES[at]!;
        this.#re[at] = samples[frame * HOP + place]! * this.#window[place]!;
        this.#im[at] = 0;
      }
      this.#transform();
      for (let bin = 0; bin < BINS; bin++) out[bin * FRAMES + frame] = Math.sqrt(this.#re[bin]! ** 2 + this.#im[bin]! ** 2);
    }
  }

  /** Cooley and Tukey's, of radix 2, in place. */
  #transform(): void {
    const [re, im] = [this.#re, this.#im];
    for (let half = 1; half < FRAME; half *= 2) {
      const step = FRAME / (2 * half);
      for (let block = 0; block < FRAME; block += 2 * half) {
        for (let at = 0; at < half; at++) {
          const [low, high] = [block + at, block + at + half];
          const cosine = COSINES[at * step]!;
          const sine = SINES[at * step]!;
          const real = re[high]! * cosine + im[high]! * sine;
          const imaginary = im[high]! * cosine - re[high]! * sine;
          re[high] = re[low]! - real;
          im[high] = im[low]! - imaginary;
          re[low] = re[low]! + real;
          im[low] = im[low]! + imaginary;
        }
      }
    }
  }
}
