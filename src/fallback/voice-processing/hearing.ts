/** A recording from beginning to end: `crates/voice-processing/src/{hearing,process}.rs` in TypeScript. */

import { setImmediate as nextTurn } from 'node:timers/promises';

import type { PreparedAudio } from '../../services/voice-processing-backend.js';
import { Decoder } from './decoder.js';
import { SpeechStream } from './silero.js';
import { WINDOW } from './spectrum.js';
import type { Weights } from './weights.js';

/** How long the event loop may have to wait for the next piece, in ms: half of what people notice. */
const TURN_MS = 20;
/** Nobody sees more than ten steps a second of a bar. */
const APART_MS = 100;

/** What a signal was, when it was heard. */
export interface Heard {
  /** Samples at 16 kHz. */
  length: number;
  isTruncated: boolean;
  decodeMs: number;
  resampleMs: number;
  vadMs: number;
}

/** Who is told of each window, in order; the last may be shorter. What is returned is waited for. */
export type HeardBy = (window: Float32Array, probability: number) => Promise<void> | undefined;

/**
 * Hears a signal, and lets others have the event loop now and then.
 *
 * @param check Throws where nobody wants to hear any more.
 */
export async function hear(weights: Weights, audio: PreparedAudio, check: () => void, tell: ((fraction: number) => void) | undefined, heardBy: HeardBy): Promise<Heard> {
  const stream = new SpeechStream(weights);
  const window = new Float32Array(WINDOW);
  let [filled, decodeMs, vadMs, turn, told] = [0, 0, 0, performance.now(), 0];
  const listen = async (): Promise<void> => {
    window.fill(0, filled);
    const began = performance.now();
    const probability = stream.probability(window);
    const ended = performance.now();
    vadMs += ended - began;
    const waits = heardBy(window.slice(0, filled), probability);
    filled = 0;
    if (waits !== undefined) await waits;
    if (ended - turn < TURN_MS) return;
    await nextTurn();
    turn = performance.now();
    check();
  };
  let began = performance.now();
  const decoder = await Decoder.open(audio);
  try {
    for (;;) {
      check();
      const block = await decoder.nextBlock();
      decodeMs += performance.now() - began;
      if (block === undefined) break;
      for (let at = 0; at < block.length;) {
        const more = Math.min(WINDOW - filled, block.length - at);
        window.set(block.subarray(at, at + more), filled);
        [filled, at] = [filled + more, at + more];
        if (filled === WINDOW) await listen();
      }
      began = performance.now();
      if (tell !== undefined && began - told >= APART_MS && decoder.progress < 1) {
        told = began;
        tell(decoder.progress);
      }
    }
    if (filled > 0) await listen();
  } finally {
    await decoder.close();
  }
  const { samples, isTruncated, resampleMs } = decoder;
  return { length: samples, isTruncated, decodeMs: decodeMs - resampleMs, resampleMs, vadMs };
}
