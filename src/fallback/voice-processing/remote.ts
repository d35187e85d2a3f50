/** Somebody else's model writes speech down: any server with OpenAI's `POST /v1/audio/transcriptions`. */

import { isObject } from '../../check.js';
import { UniversalAiError } from '../../errors.js';
import type { PreparedProcess, PreparedRemote } from '../../services/voice-processing-backend.js';
import type { SpeechSegment } from '../../services/voice-processing-types.js';
import { languageCode } from './language.js';

/** What an utterance says; times are ms from its beginning. */
export interface Said {
  language: string;
  segments: SpeechSegment[];
}

/** How long an utterance of at most 30 s may take: a model of a slow machine needs about as long as somebody spoke. */
const PATIENCE_MS = 120_000;
/** What is read of an answer, in bytes. */
const LONGEST_ANSWER = 1 << 20;
/** What is told of a refusal, in characters. */
const LONGEST_REASON = 300;

/** Asks a server for the text of each utterance. */
export class RemoteTranscriber {
  readonly #url: URL;
  readonly #apiKey: string | undefined;
  readonly #model: string;

  constructor({ baseUrl, apiKey, model }: PreparedRemote) {
    const root = baseUrl.replace(/\/+$/, '');
    this.#url = new URL(`${root}${new URL(root).pathname === '/' ? '/v1' : ''}/audio/transcriptions`);
    this.#apiKey = apiKey;
    this.#model = model;
  }

  /** @param signal Ends the question. @throws {UniversalAiError} What is wrong with the server or its answer. */
  async transcribe(samples: Float32Array, options: PreparedProcess, language: string | undefined, signal: AbortSignal): Promise<Said> {
    const late = AbortSignal.timeout(PATIENCE_MS);
    const headers = this.#apiKey === undefined ? {} : { authorization: `Bearer ${this.#apiKey}` };
    try {
      // A redirect would carry the key elsewhere.
      const response = await fetch(this.#url, { method: 'POST', headers, body: this.#form(samples, options, language), redirect: 'manual', signal: AbortSignal.any([signal, late]) });
      const body = await answered(response);
      if (!response.ok) throw this.#refusal(response.status, body);
      return this.#read(body, samples.length / 16);
    } catch (error) {
      if (error instanceof UniversalAiError || signal.aborted) throw error;
      if (late.aborted) throw this.#failed('UAT_TIMEOUT', true, `no answer within ${PATIENCE_MS / 1000} s`, error);
      throw this.#failed('UAT_UPSTREAM', true, innermost(error), error);
    }
  }

  #form(samples: Float32Array, { wordTimestamps }: PreparedProcess, language: string | undefined): FormData {
    const form = new FormData();
    form.append('model', this.#model);
    form.append('response_format', 'verbose_json');
    form.append('timestamp_granularities[]', 'segment');
    if (wordTimestamps) form.append('timestamp_granularities[]', 'word');
    if (language !== undefined) form.append('language', language);
    form.append('file', new Blob([wav(samples)], { type: 'audio/wav' }), 'utterance.wav');
    return form;
  }

  /** Some servers know `verbose_json`, and others give a text alone. */
  #read(body: string, lengthMs: number): Said {
    const answer = parsed(body);
    if (!isObject(answer) || typeof answer['text'] !== 'string') {
      throw this.#failed('UAT_UPSTREAM', false, `expected a transcription as verbose_json, got: ${body.trim().slice(0, LONGEST_REASON) || 'nothing'}`);
    }
    const segments = objects(answer['segments']).map(segmentOf);
    const text = answer['text'].trim();
    if (segments.length === 0 && text !== '') segments.push({ startMs: 0, endMs: Math.floor(lengthMs), text, confidence: NaN });
    for (const word of objects(answer['words'])) {
      const startMs = ms(word['start']);
      // A word belongs to the last segment that has begun.
      const segment = segments.findLast(one => one.startMs <= startMs) ?? segments[0];
      if (segment !== undefined) (segment.words ??= []).push({ word: String(word['word'] ?? '').trim(), startMs, endMs: ms(word['end']), confidence: NaN });
    }
    return { language: typeof answer['language'] === 'string' ? languageCode(answer['language']) : '', segments };
  }

  #refusal(status: number, body: string): UniversalAiError {
    const error = isObject(parsed(body)) ? (parsed(body) as Record<string, unknown>)['error'] : undefined;
    const said = typeof error === 'string' ? error : isObject(error) && typeof error['message'] === 'string' ? error['message'] : body;
    const words = said.trim().slice(0, LONGEST_REASON) || 'no reason was given';
    // Some servers repeat what they were sent.
    const reason = `status ${status}: ${this.#apiKey === undefined ? words : words.replaceAll(this.#apiKey, 'the key')}`;
    switch (status) {
      case 401: case 403: return this.#failed('UAT_UNAUTHORIZED', false, reason);
      case 404: return this.#failed('UAT_MODEL_NOT_FOUND', false, reason);
      case 429: return this.#failed('UAT_RATE_LIMITED', true, reason);
      default: return this.#failed('UAT_UPSTREAM', status >= 500, reason);
    }
  }

  #failed(code: UniversalAiError['code'], retryable: boolean, message: string, cause?: unknown): UniversalAiError {
    return new UniversalAiError(code, `transcriber ${this.#url.host}: ${message}`, { retryable, ...(cause === undefined ? {} : { cause }) });
  }
}

async function answered(response: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of response.body ?? []) {
    length += piece.length;
    if (length > LONGEST_ANSWER) throw new Error(`the answer has more than ${LONGEST_ANSWER} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function objects(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function segmentOf({ start, end, text, avg_logprob: logprob }: Record<string, unknown>): SpeechSegment {
  // Nobody says how sure it is who does not say this.
  const confidence = typeof logprob === 'number' ? Math.min(Math.max(Math.exp(logprob), 0), 1) : NaN;
  return { startMs: ms(start), endMs: ms(end), text: String(text ?? '').trim(), confidence };
}

/** Seconds as ms; what lies before the beginning is at it. */
function ms(seconds: unknown): number {
  return typeof seconds === 'number' && seconds > 0 ? Math.round(seconds * 1000) : 0;
}

/** 16 kHz mono as a file of 16-bit PCM. */
function wav(samples: Float32Array): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.alloc(44 + 2 * samples.length);
  bytes.write('RIFF', 0, 'latin1');
  bytes.writeUInt32LE(36 + 2 * samples.length, 4);
  bytes.write('WAVEfmt \x10\0\0\0\x01\0\x01\0', 8, 'latin1');
  bytes.writeUInt32LE(16_000, 24);
  bytes.writeUInt32LE(32_000, 28);
  bytes.write('\x02\0\x10\0data', 32, 'latin1');
  bytes.writeUInt32LE(2 * samples.length, 40);
  samples.forEach((sample, at) => bytes.writeInt16LE(Math.min(Math.max(Math.round(sample * 32_768), -32_768), 32_767), 44 + 2 * at));
  return bytes;
}

/** `fetch` says no more than that it failed; its cause says what a person can act on. */
function innermost(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  return inner instanceof Error ? inner.message || String((inner as NodeJS.ErrnoException).code ?? inner.name) : String(inner);
}
