import { readFile } from 'node:fs/promises';

import { onAbort } from '../../abort.js';
import { UniversalAiError } from '../../errors.js';
import type { BackendBrowser, BackendLive, Listening, PreparedAudio, PreparedProcess, PreparedVoice, VoiceProcessingBackend } from '../../services/voice-processing-backend.js';
import type { DetectedSpeech, VoiceResult } from '../../services/voice-processing-types.js';
import { Detector, segments, THRESHOLD } from './detector.js';
import { hear } from './hearing.js';
import { vadFile } from './model-file.js';
import { RemoteTranscriber } from './remote.js';
import { WINDOW } from './spectrum.js';
import { Utterances } from './utterances.js';
import { readWeights, type Weights } from './weights.js';
import { ms, SpeechSums, Writing } from './writing.js';

/** Reads the network that finds speech. @throws {UniversalAiError} `UAT_MODEL_NOT_FOUND`, `UAT_CORRUPT_VALUE`, `UAT_UNSUPPORTED`, `UAT_STORAGE`. */
export async function openTypeScriptVoiceProcessing({ vadModel, remote }: PreparedVoice): Promise<VoiceProcessingBackend> {
  const file = await readFile(vadFile(vadModel)).catch((error: unknown) => {
    if (error instanceof UniversalAiError) throw error;
    throw new UniversalAiError('UAT_STORAGE', `the model could not be read: ${(error as Error).message}`, { retryable: true, cause: error });
  });
  return new TypeScriptVoiceProcessing(readWeights(file), remote === undefined ? undefined : new RemoteTranscriber(remote));
}

/** Hears recordings on the event loop, in turns; a server writes down what was said. */
class TypeScriptVoiceProcessing implements VoiceProcessingBackend {
  readonly #weights: Weights;
  readonly #words: RemoteTranscriber | undefined;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(weights: Weights, words: RemoteTranscriber | undefined) {
    this.#weights = weights;
    this.#words = words;
  }

  process(audio: PreparedAudio, options: PreparedProcess, { signal, tell }: Listening): Promise<VoiceResult> {
    return this.#run(signal, ended => this.#process(audio, options, ended, tell));
  }

  stream(): BackendLive {
    throw new UniversalAiError('UAT_UNSUPPORTED', 'stream: the TypeScript backend hears recordings alone; the native one hears live signals, and processAudio the last seconds of one', { details: { option: 'stream' } });
  }

  accept(): Promise<BackendBrowser> {
    return Promise.reject(new UniversalAiError('UAT_UNSUPPORTED', 'acceptWebRtc: the TypeScript backend has no WebRTC; the native one has, and `uat serve` at POST /whip', { details: { option: 'acceptWebRtc' } }));
  }

  detect(audio: PreparedAudio, threshold: number = THRESHOLD): Promise<DetectedSpeech> {
    return this.#run(undefined, ended => this.#detect(audio, threshold, ended));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#running);
  }

  async #process(audio: PreparedAudio, options: PreparedProcess, ended: AbortSignal, tell: ((fraction: number) => void) | undefined): Promise<VoiceResult> {
    const began = performance.now();
    const writing = options.transcribe ? new Writing(this.#transcriber(), options, ended) : undefined;
    const detector = new Detector(THRESHOLD);
    const utterances = new Utterances(!options.vad);
    const speech = new SpeechSums();
    const heard = await hear(this.#weights, audio, () => ended.throwIfAborted(), tell, (window, probability) => {
      const told = detector.push(probability);
      const event = options.vad ? told : undefined;
      speech.hear(probability, event);
      if (writing === undefined) return undefined;
      writing.keep(window);
      const utterance = utterances.push(probability, event);
      const written = utterance === undefined ? undefined : writing.write(utterance);
      if (written === undefined) writing.forget(utterances.needed());
      return written?.then(() => writing.forget(utterances.needed()));
    });
    const { length, isTruncated, decodeMs, resampleMs, vadMs } = heard;
    const told = detector.finish(length);
    const event = options.vad ? told : undefined;
    speech.finish(length, event);
    const last = writing === undefined ? undefined : utterances.finish(length, event);
    if (last !== undefined) await writing?.write(last);
    const found = writing?.segments ?? speech.segments;
    return {
      text: found.map(({ text }) => text).join(' ').trim(),
      language: (writing === undefined ? options.language : writing.language) ?? '',
      segments: found,
      durationMs: ms(length),
      speechMs: options.vad ? speech.totalMs : ms(length),
      truncated: isTruncated,
      damagedPackets: 0,
      timings: { decodeMs, resampleMs, vadMs, transcribeMs: writing?.spentMs ?? 0, totalMs: performance.now() - began },
    };
  }

  async #detect(audio: PreparedAudio, threshold: number, ended: AbortSignal): Promise<DetectedSpeech> {
    const probabilities: number[] = [];
    const { length } = await hear(this.#weights, audio, () => ended.throwIfAborted(), undefined, (_, probability) => void probabilities.push(probability));
    const found = Float32Array.from(probabilities);
    return {
      segments: segments(found, length, threshold).map(({ start, end }) => ({ startMs: ms(start), endMs: ms(end) })),
      probabilities: found,
      frameMs: WINDOW / 16,
    };
  }

  #transcriber(): RemoteTranscriber {
    if (this.#words !== undefined) return this.#words;
    throw new UniversalAiError('UAT_ENGINE_UNAVAILABLE', 'the TypeScript backend has no model that writes down what was said: set `transcriber` of initialize() to a server with OpenAI\'s /v1/audio/transcriptions, pass `transcribe: false`, or install the native backend');
  }

  /** What ends a call from outside becomes its error. */
  async #run<T>(signal: AbortSignal | undefined, act: (ended: AbortSignal) => Promise<T>): Promise<T> {
    const ending = new AbortController();
    // By hand: `AbortSignal.any` of a signal that lives as long as the service keeps something of each call in Node 20.
    const release = [this.#closing.signal, signal].map(from => onAbort(from, () => ending.abort(from?.reason)));
    const running = act(ending.signal);
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      if (error instanceof UniversalAiError && error !== ending.signal.reason || !ending.signal.aborted) throw error;
      if (this.#closing.signal.aborted) throw new UniversalAiError('UAT_CLOSED', 'this VoiceProcessingService was closed while the call was under way; make a new one');
      throw new UniversalAiError('UAT_CANCELLED', 'the call was cancelled by its signal', { cause: ending.signal.reason });
    } finally {
      for (const letGo of release) letGo();
      this.#running.delete(running);
    }
  }
}
