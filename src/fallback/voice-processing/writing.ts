/** What is made of a signal while it is heard: where somebody spoke, and the utterances that are written down. */

import type { PreparedProcess } from '../../services/voice-processing-backend.js';
import type { SpeechSegment } from '../../services/voice-processing-types.js';
import type { Span, SpeechEvent } from './detector.js';
import type { RemoteTranscriber } from './remote.js';

const SECOND = 16_000;
/** A beginning is told up to 0.72 s late: what is kept of a signal in which nobody seems to speak. */
const LATE = SECOND;

/** Samples as ms, rounded down. */
export function ms(samples: number): number {
  return Math.floor(samples * 1000 / SECOND);
}

/** Where somebody spoke so far. */
export class SpeechSums {
  readonly segments: SpeechSegment[] = [];
  /** Since when somebody speaks, with the probabilities since that became known and their number. */
  #since: { start: number; sum: number; count: number } | undefined;

  hear(probability: number, event: SpeechEvent | undefined): void {
    if (event?.kind === 'stopped') return this.#stop(event.at);
    if (event !== undefined) this.#since = { start: event.at, sum: 0, count: 0 };
    if (this.#since === undefined) return;
    this.#since.sum += probability;
    this.#since.count++;
  }

  finish(length: number, event: SpeechEvent | undefined): void {
    if (event?.kind === 'stopped') this.#stop(event.at);
    // The tail of an end in the last window can lie after the signal.
    const last = this.segments.at(-1);
    if (last !== undefined) last.endMs = Math.min(last.endMs, ms(length));
  }

  get totalMs(): number {
    return this.segments.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
  }

  #stop(end: number): void {
    if (this.#since === undefined) return;
    const { start, sum, count } = this.#since;
    this.segments.push({ startMs: ms(start), endMs: ms(end), text: '', confidence: sum / Math.max(count, 1) });
    this.#since = undefined;
  }
}

/** Utterances that are written down, and the samples that may belong to the next. */
export class Writing {
  readonly segments: SpeechSegment[] = [];
  spentMs = 0;
  /** Known from the caller, or from the first utterance. */
  language: string | undefined;
  readonly #words: RemoteTranscriber;
  readonly #options: PreparedProcess;
  readonly #signal: AbortSignal;
  /** Windows, of which the first begins `#base` from the signal's beginning. */
  readonly #windows: Float32Array[] = [];
  #base = 0;
  #heard = 0;

  constructor(words: RemoteTranscriber, options: PreparedProcess, signal: AbortSignal) {
    this.#words = words;
    this.#options = options;
    this.#signal = signal;
    this.language = options.language;
  }

  keep(window: Float32Array): void {
    this.#windows.push(window);
    this.#heard += window.length;
  }

  async write(utterance: Span): Promise<void> {
    const began = performance.now();
    const said = await this.#words.transcribe(this.#samples(utterance), this.#options, this.language, this.#signal);
    this.spentMs += performance.now() - began;
    // Who changes the language within a recording is rarer than an utterance too short to tell it.
    if (said.segments.length > 0) this.language ??= said.language;
    const [start, end] = [ms(Math.max(utterance.start, this.#base)), ms(utterance.end)];
    for (const segment of said.segments.filter(({ text }) => text !== '')) {
      const earliest = Math.max(this.segments.at(-1)?.endMs ?? start, start);
      this.segments.push(onOurClock(segment, start, earliest, Math.max(end, earliest)));
    }
  }

  /** Lets go of what cannot belong to an utterance any more. */
  forget(needed: number): void {
    const passed = Math.min(needed, this.#heard - LATE);
    if (passed - this.#base <= SECOND) return;
    let count = 0;
    for (; this.#windows[count] !== undefined && this.#base + this.#windows[count]!.length <= passed; count++) this.#base += this.#windows[count]!.length;
    this.#windows.splice(0, count);
  }

  #samples({ start, end }: Span): Float32Array {
    const [from, to] = [Math.max(start, this.#base), Math.min(end, this.#heard)];
    const samples = new Float32Array(Math.max(to - from, 0));
    let at = this.#base;
    for (const window of this.#windows) {
      const [first, last] = [Math.max(from - at, 0), Math.min(to - at, window.length)];
      if (first < last) samples.set(window.subarray(first, last), at + first - from);
      at += window.length;
    }
    return samples;
  }
}

/** A segment whose times are from `start`, on the signal's clock: between `earliest` and `latest`, whatever a transcriber says. */
function onOurClock(segment: SpeechSegment, start: number, earliest: number, latest: number): SpeechSegment {
  const place = (time: number, least: number): number => Math.min(Math.max(time + start, least), latest);
  const startMs = place(segment.startMs, earliest);
  const endMs = place(segment.endMs, startMs);
  let after = startMs;
  const words = segment.words?.map(word => {
    const begins = place(word.startMs, after);
    after = place(word.endMs, begins);
    return { ...word, startMs: begins, endMs: after };
  });
  return { ...segment, startMs, endMs, ...(words === undefined ? {} : { words }) };
}
