/** Segments of speech, out of the probabilities of windows; the same rules as `crates/silero-vad/src/detector.rs`. Pure. */

import { WINDOW } from './spectrum.js';

/** Samples at 16 kHz from the signal's beginning; `end` is the first that no longer belongs to it. */
export interface Span {
  start: number;
  end: number;
}

/** Somebody speaks, or nobody any more, since this sample. */
export type SpeechEvent = { kind: 'started' | 'stopped'; at: number };

/** Silero's own but for the pre-roll, which suits a recogniser of words: samples. */
const [MIN_SPEECH, MIN_SILENCE, PRE_ROLL, TAIL] = [250, 100, 300, 100].map(ms => ms * 16) as [number, number, number, number];
/** How far below the threshold speech ends, and the least there can be below. Silero's. */
const [HYSTERESIS, LEAST] = [Math.fround(0.15), Math.fround(0.01)];
export const THRESHOLD = 0.5;

interface Speaking {
  since: number;
  /** Long enough, and said so. */
  isConfirmed: boolean;
  /** The first window of a silence that may end it. */
  quietSince: number | undefined;
}

/** Turns the probabilities of a signal's windows into events. */
export class Detector {
  readonly #threshold: number;
  /** Below it speech ends. */
  readonly #quiet: number;
  /** Where the next window begins. */
  #at = 0;
  #lastEnd = 0;
  #speaking: Speaking | undefined;

  /** @param threshold Above 0, at most 1. */
  constructor(threshold: number) {
    // As numbers of 32 bits, so that none at the edge is judged otherwise than by the core.
    this.#threshold = Math.fround(threshold);
    this.#quiet = Math.max(Math.fround(this.#threshold - HYSTERESIS), LEAST);
  }

  /** What the next window's probability tells. */
  push(probability: number): SpeechEvent | undefined {
    const begins = this.#at;
    this.#at += WINDOW;
    if (this.#speaking === undefined) {
      if (probability < this.#threshold) return undefined;
      this.#speaking = { since: begins, isConfirmed: false, quietSince: undefined };
    }
    const speaking = this.#speaking;
    if (probability >= this.#threshold) {
      speaking.quietSince = undefined;
    } else if (probability < this.#quiet) {
      speaking.quietSince ??= begins;
      if (this.#at - speaking.quietSince >= MIN_SILENCE) {
        this.#speaking = undefined;
        return speaking.isConfirmed ? this.#stop(speaking.quietSince + TAIL) : undefined;
      }
    }
    if (speaking.isConfirmed || speaking.quietSince !== undefined || this.#at - speaking.since < MIN_SPEECH) return undefined;
    speaking.isConfirmed = true;
    return { kind: 'started', at: Math.max(speaking.since - PRE_ROLL, this.#lastEnd) };
  }

  /** What the signal's end tells, after `length` samples in all. */
  finish(length: number): SpeechEvent | undefined {
    const speaking = this.#speaking;
    this.#speaking = undefined;
    if (speaking?.isConfirmed !== true) return undefined;
    const end = speaking.quietSince === undefined ? length : speaking.quietSince + TAIL;
    return this.#stop(Math.min(end, length));
  }

  #stop(at: number): SpeechEvent {
    this.#lastEnd = at;
    return { kind: 'stopped', at };
  }
}

/** The segments of a whole signal of `length` samples. */
export function segments(probabilities: Float32Array, length: number, threshold: number): Span[] {
  const detector = new Detector(threshold);
  const found: Span[] = [];
  let start = 0;
  const hear = (event: SpeechEvent | undefined): void => {
    if (event?.kind === 'started') start = event.at;
    // An end in the last window can lie in the silence that filled it.
    else if (event !== undefined) found.push({ start, end: Math.min(event.at, length) });
  };
  for (const probability of probabilities) hear(detector.push(probability));
  hear(detector.finish(length));
  return found;
}
