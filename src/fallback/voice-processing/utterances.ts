/** Speech becomes utterances: what a transcriber hears at once; the same rules as `crates/voice-processing/src/utterances.rs`. Pure. */

import type { Span, SpeechEvent } from './detector.js';
import { WINDOW } from './spectrum.js';

const SECOND = 16_000;
/** Whisper hears 30 s; the rest is room for what is found out late. */
const LONGEST = 28 * SECOND;
/** Silence that ends an utterance. */
const PAUSE = 2 * SECOND;

/** Gathers speech. */
export class Utterances {
  /** Speech that has ended and belongs to the next utterance. */
  readonly #ended: Span[] = [];
  /** Since when somebody speaks. */
  #speaking: number | undefined;
  /** Probabilities of the windows since `#first`. */
  readonly #probabilities: number[] = [];
  #first = 0;
  #at = 0;

  /** @param isEverything Everything from the signal's beginning is taken for speech. */
  constructor(isEverything: boolean) {
    if (isEverything) this.#speaking = 0;
  }

  /** Hears a window, and what the detector told of it. Gives the utterance that has ended, if one has. */
  push(probability: number, event: SpeechEvent | undefined): Span | undefined {
    this.#at += WINDOW;
    this.#probabilities.push(probability);
    if (event?.kind === 'started') this.#speaking = event.at;
    else if (event !== undefined) this.#stop(event.at);
    const whole = this.#cut();
    this.#forget();
    return whole;
  }

  /** The signal has ended after `length` samples, which the detector said of. What is left is the last utterance. */
  finish(length: number, event: SpeechEvent | undefined): Span | undefined {
    if (event?.kind === 'stopped') this.#stop(Math.min(event.at, length));
    else if (this.#speaking !== undefined) this.#stop(length);
    const all = this.#take(this.#ended.length);
    return all === undefined ? undefined : { start: all.start, end: Math.min(all.end, length) };
  }

  /** The first sample that may still belong to an utterance, as far as is known here. */
  needed(): number {
    return this.#ended[0]?.start ?? this.#speaking ?? this.#at;
  }

  #stop(end: number): void {
    const start = this.#speaking;
    this.#speaking = undefined;
    if (start !== undefined && start < end) this.#ended.push({ start, end });
  }

  #cut(): Span | undefined {
    const last = this.#ended.at(-1);
    // Who speaks by now may have begun before that was known.
    if (last !== undefined && (this.#speaking ?? this.#at) - last.end >= PAUSE) return this.#take(this.#ended.length);
    if (this.#at - this.needed() <= LONGEST) return undefined;
    if (last !== undefined) return this.#take(this.#beforeLongestSilence());
    const start = this.#speaking;
    if (start === undefined) return undefined;
    const end = this.#leastLikely(start);
    this.#speaking = end;
    return { start, end };
  }

  /** How many of the segments that have ended stand before the longest silence; of equal ones the last. */
  #beforeLongestSilence(): number {
    let [longest, count] = [-1, 1];
    this.#ended.forEach(({ end }, index) => {
      const silence = Math.max((this.#ended[index + 1]?.start ?? this.#speaking ?? this.#at) - end, 0);
      if (silence >= longest) [longest, count] = [silence, index + 1];
    });
    return count;
  }

  /** The middle of the window, in the latter half of what is spoken since `start`, in which speech was least likely. */
  #leastLikely(start: number): number {
    const from = Math.floor(Math.max(start + LONGEST / 2 - this.#first, 0) / WINDOW);
    let [least, found] = [Infinity, -1];
    for (let index = from; index < this.#probabilities.length; index++) {
      if (this.#probabilities[index]! < least) [least, found] = [this.#probabilities[index]!, index];
    }
    return found < 0 ? this.#at : this.#first + found * WINDOW + WINDOW / 2;
  }

  /** The first `count` segments as one utterance. */
  #take(count: number): Span | undefined {
    const taken = this.#ended.splice(0, count);
    return taken.length === 0 ? undefined : { start: taken[0]!.start, end: taken.at(-1)!.end };
  }

  /** Windows before what is needed; a second at a time, because it moves all others. */
  #forget(): void {
    const passed = Math.floor(Math.max(this.needed() - this.#first, 0) / WINDOW);
    if (passed * WINDOW <= SECOND) return;
    this.#first += this.#probabilities.splice(0, passed).length * WINDOW;
  }
}
