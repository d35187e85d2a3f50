import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';

import { fields, oneOf, optionalSignal, text, whole } from '../check.js';
import { invalidInput, UniversalAiError } from '../errors.js';
import type { Pcm, PreparedAudio, PreparedProcess, PreparedRemote, PreparedStream, PreparedVoice } from './voice-processing-backend.js';
import { containerOf, LOOKED_AT } from './voice-processing-container.js';

const VOICE = new Set(['model', 'threads', 'vadModel', 'turnModel', 'transcriber']);
const OPENAI = new Set(['kind', 'baseUrl', 'apiKey', 'model']);
const LOCAL = new Set(['kind']);
const PROCESS = new Set(['enableVAD', 'sampleRate', 'channels', 'transcribe', 'language', 'wordTimestamps', 'denoise', 'beamSize', 'signal', 'onProgress']);
const OFFER = new Set(['language']);
const STREAM = new Set(['sampleRate', 'channels', 'language', 'partialEveryMs', 'endpointSilenceMs', 'signal']);
const DETECT = new Set(['sampleRate', 'channels', 'threshold']);

/** Of samples about which nothing is said: what every model hears. */
const SAMPLE_RATE = 16_000;
/** From below telephony's 8 kHz to twice a studio's 96 kHz. */
const [LOWEST_RATE, HIGHEST_RATE] = [4_000, 384_000];
/** As many as have names in a WAV file. */
const MOST_CHANNELS = 26;

const AUDIO = 'a Uint8Array (a file\'s bytes), an Int16Array or Float32Array (samples), or the path of a file';

export function prepareVoice(options: unknown = {}): PreparedVoice {
  const { model, threads, vadModel, turnModel, transcriber } = fields('options', options, VOICE);
  if (turnModel !== undefined && turnModel !== false) throw unsupported('options.turnModel', 'is not there yet: turns end by silence; leave it out');
  return {
    model: model === undefined ? 'whisper-tiny.en' : text('options.model', model),
    threads: threads === undefined ? undefined : whole('options.threads', threads, 1, 256),
    vadModel: vadModel === undefined ? 'silero-vad-6' : text('options.vadModel', vadModel),
    remote: transcriber === undefined ? undefined : prepareTranscriber(transcriber),
  };
}

function prepareTranscriber(given: unknown): PreparedRemote | undefined {
  const { kind } = fields('options.transcriber', given, OPENAI);
  if (oneOf('options.transcriber.kind', kind, ['local', 'openai']) === 'local') {
    fields('options.transcriber', given, LOCAL);
    return undefined;
  }
  const { baseUrl, apiKey, model } = given as Record<string, unknown>;
  return {
    baseUrl: prepareUrl(baseUrl),
    apiKey: apiKey === undefined ? undefined : prepareKey(apiKey),
    model: text('options.transcriber.model', model),
  };
}

function prepareUrl(given: unknown): string {
  const field = 'options.transcriber.baseUrl';
  const written = text(field, given);
  const url = URL.canParse(written) ? new URL(written) : undefined;
  const isPlain = url !== undefined && ['http:', 'https:'].includes(url.protocol) && url.search === '' && url.hash === '' && url.username === '' && url.password === '';
  // The URL itself may hold a password.
  if (!isPlain) throw new UniversalAiError('UAT_INVALID_INPUT', `${field}: expected a URL of http or https without a user, a query or a fragment`, { details: { field } });
  return url.href;
}

/** What a header can hold. The key is not repeated. */
function prepareKey(given: unknown): string {
  const field = 'options.transcriber.apiKey';
  if (typeof given === 'string' && /^[\x21-\x7e]+$/.test(given)) return given;
  throw new UniversalAiError('UAT_INVALID_INPUT', `${field}: expected printable ASCII without spaces`, { details: { field } });
}

/** How a recording is heard, and by what that may be ended. */
export interface Prepared {
  process: PreparedProcess;
  signal: AbortSignal | undefined;
  onProgress: ((fraction: number) => void) | undefined;
}

export function prepareProcess(options: unknown): Prepared {
  const { enableVAD, transcribe, language, wordTimestamps, denoise, beamSize, signal, onProgress } = fields('options', options, PROCESS);
  if (optionalBoolean('options.denoise', denoise) === true) throw unsupported('options.denoise', 'is not there yet; leave it out');
  if (onProgress !== undefined && typeof onProgress !== 'function') throw invalidInput('options.onProgress', 'a function', onProgress);
  return {
    process: {
      vad: optionalBoolean('options.enableVAD', enableVAD) ?? true,
      transcribe: optionalBoolean('options.transcribe', transcribe) ?? true,
      language: language === undefined ? undefined : text('options.language', language),
      wordTimestamps: optionalBoolean('options.wordTimestamps', wordTimestamps) ?? false,
      beamSize: beamSize === undefined ? undefined : whole('options.beamSize', beamSize, 1, 32),
    },
    signal: optionalSignal('options.signal', signal),
    onProgress: onProgress as Prepared['onProgress'],
  };
}

/** What a server cannot be told. */
export function checkRemote({ beamSize }: PreparedProcess): void {
  if (beamSize !== undefined) throw unsupported('options.beamSize', 'is for a local model; leave it out, a server chooses by itself');
}

export function prepareDetect(options: unknown): number | undefined {
  const { threshold } = fields('options', options, DETECT);
  // Written so that NaN fails.
  if (threshold !== undefined && !(typeof threshold === 'number' && threshold > 0 && threshold <= 1)) throw invalidInput('options.threshold', 'a probability above 0, at most 1', threshold);
  return threshold as number | undefined;
}

/** Checks what is to be heard, but for whether there is such a file. */
export function prepareAudio(audio: unknown, options: unknown): PreparedAudio {
  const { rate, count } = prepareFormat(options as Record<string, unknown>);
  const pcm: Pcm | undefined = rate === undefined ? undefined : { sampleRate: rate, channels: count };
  if (typeof audio === 'string') {
    if (audio === '' || audio.includes('\0')) throw invalidInput('audio', AUDIO, audio);
    return { kind: 'file', path: resolve(audio), pcm };
  }
  if (audio instanceof Uint8Array) return prepareBytes(audio, pcm);
  if (!(audio instanceof Int16Array || audio instanceof Float32Array)) throw invalidInput('audio', AUDIO, audio);
  if (audio.length === 0) throw empty('no samples');
  if (audio.length % count !== 0) throw invalidInput('audio', `whole frames of ${count} samples, one of each channel`, `${audio.length} samples`);
  return { kind: 'samples', samples: audio, pcm: pcm ?? { sampleRate: SAMPLE_RATE, channels: count } };
}

function prepareFormat({ sampleRate, channels }: Record<string, unknown>): { rate: number | undefined; count: number } {
  return {
    rate: sampleRate === undefined ? undefined : whole('options.sampleRate', sampleRate, LOWEST_RATE, HIGHEST_RATE),
    count: channels === undefined ? 1 : whole('options.channels', channels, 1, MOST_CHANNELS),
  };
}

export function prepareStream(given: unknown = {}): { stream: PreparedStream; signal: AbortSignal | undefined } {
  const options = fields('options', given, STREAM);
  const { language, partialEveryMs, endpointSilenceMs } = options;
  const { rate, count } = prepareFormat(options);
  return {
    stream: {
      pcm: { sampleRate: rate ?? SAMPLE_RATE, channels: count },
      language: language === undefined ? undefined : text('options.language', language),
      partialEveryMs: partialEveryMs === undefined ? undefined : whole('options.partialEveryMs', partialEveryMs, 100, 60_000),
      endpointSilenceMs: endpointSilenceMs === undefined ? undefined : whole('options.endpointSilenceMs', endpointSilenceMs, 100, 60_000),
    },
    signal: optionalSignal('options.signal', options['signal']),
  };
}

export function prepareOffer(offerSdp: unknown, given: unknown = {}): { offer: string; language: string | undefined } {
  const { language } = fields('options', given, OFFER);
  if (typeof offerSdp !== 'string') throw invalidInput('offerSdp', 'an SDP offer: RTCPeerConnection.localDescription.sdp', offerSdp);
  return { offer: offerSdp, language: language === undefined ? undefined : text('options.language', language) };
}

/** Samples of a live signal; none are as good as some. */
export function checkFrames(pcm: unknown, channels: number): Int16Array | Float32Array {
  if (!(pcm instanceof Int16Array || pcm instanceof Float32Array)) throw invalidInput('pcm', 'an Int16Array or a Float32Array of samples', pcm);
  if (pcm.length % channels !== 0) throw invalidInput('pcm', `whole frames of ${channels} samples, one of each channel`, `${pcm.length} samples`);
  return pcm;
}

function prepareBytes(bytes: Uint8Array, pcm: Pcm | undefined): PreparedAudio {
  if (bytes.length === 0) throw empty('no bytes');
  const frame = pcm === undefined ? 1 : 2 * pcm.channels;
  if (bytes.length % frame !== 0 && containerOf(bytes.subarray(0, LOOKED_AT)) === undefined) {
    throw invalidInput('audio', `whole frames of ${frame} bytes, 16 bits of each channel`, `${bytes.length} bytes`);
  }
  return { kind: 'bytes', bytes, pcm };
}

/** Whether there is such a file; the same words for both backends. */
export async function checkFile(audio: PreparedAudio): Promise<void> {
  if (audio.kind !== 'file') return;
  const { path } = audio;
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const isMissing = cause.code === 'ENOENT' || cause.code === 'ENOTDIR';
    throw new UniversalAiError(isMissing ? 'UAT_NOT_FOUND' : 'UAT_STORAGE', isMissing ? `audio: there is no file ${path}` : `audio: ${path} cannot be read: ${cause.message}`, { details: { path }, cause });
  });
  // A pipe or a device has no end that is known.
  if (!found.isFile()) throw new UniversalAiError('UAT_INVALID_INPUT', `audio: expected a file, got ${found.isDirectory() ? 'a folder' : 'a device or a pipe'}: ${path}`, { details: { field: 'audio', path } });
  if (found.size === 0) throw empty('no bytes');
}

export function unsupported(option: string, why: string): UniversalAiError {
  return new UniversalAiError('UAT_UNSUPPORTED', `${option} ${why}`, { details: { option: option.replace('options.', '') } });
}

function optionalBoolean(field: string, value: unknown): boolean | undefined {
  if (value !== undefined && typeof value !== 'boolean') throw invalidInput(field, 'true or false', value);
  return value;
}

function empty(found: string): UniversalAiError {
  return new UniversalAiError('UAT_AUDIO_FORMAT', `the audio is empty: expected samples, found ${found}`);
}
