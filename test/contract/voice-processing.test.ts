import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { type AudioInput, type ProcessAudioOptions, type VoiceOptions, VoiceProcessingService } from '../../src/index.js';
import { atRate, bytesOf, type Encoding, floats, joined, sentence, silence, speech, wav } from '../support/audio.js';
import { eachBackend } from '../support/backends.js';
import { ROOT } from '../support/built.js';
import { errorOf } from '../support/errors.js';
import support from './support.json' with { type: 'json' };

/** Speech without words: what every backend can tell. */
const SPEECH = { transcribe: false } as const;
/** Somebody speaks after a second, and again after four. */
const TALK = joined(silence(1), speech(), silence(1.4), speech(), silence(0.5));

// The TypeScript backend computes on the event loop, which a busy machine slows down.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'uat-voice-')); });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

function fixture(name: string): string {
  return join(ROOT, 'crates/audio-input/tests/fixtures', name);
}

eachBackend(backend => {
  const opened: VoiceProcessingService[] = [];
  /** One for all tests that leave it as it is. */
  let service: VoiceProcessingService;

  async function open(options?: VoiceOptions): Promise<VoiceProcessingService> {
    const made = new VoiceProcessingService();
    opened.push(made);
    await made.initialize(options);
    return made;
  }

  beforeAll(async () => {
    service = new VoiceProcessingService();
    await service.initialize();
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await Promise.all(opened.splice(0).map(one => one.close()));
  });
  afterAll(() => service?.close());

  it('says which backend answers and why, and has the methods that support.json lists', async () => {
    expect(service.backend).toEqual({ kind: backend, reason: expect.stringContaining('UAT_BACKEND') as string });
    const methods = Object.getOwnPropertyNames(VoiceProcessingService.prototype).filter(name => !['constructor', 'backend'].includes(name));
    expect(Object.keys(support.VoiceProcessingService).sort()).toEqual(methods.sort());
  });

  describe('speech', () => {
    it('is as likely as ONNX Runtime says', async () => {
      let state = 1;
      const noise = Int16Array.from({ length: 25_600 }, () => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        return 0;
      });
      state = 1;
      const signal = new Float32Array(speech().length + noise.length);
      signal.set(floats(speech()));
      for (let at = speech().length; at < signal.length; at++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        signal[at] = (state >>> 8) / 16_777_216 - 0.5;
      }
      const recorded = readFileSync(join(ROOT, 'crates/silero-vad/tests/fixtures/probabilities.txt'), 'utf8').trim().split('\n').map(Number);
      const { probabilities, frameMs } = await service.detectSpeech(signal);
      expect(frameMs).toBe(32);
      expect(probabilities).toBeInstanceOf(Float32Array);
      expect(probabilities.length).toBe(recorded.length);
      recorded.forEach((expected, at) => expect(Math.abs(probabilities[at]! - expected), `window ${at}`).toBeLessThan(1e-5));
    });

    it('is found where it is, in whatever form the signal comes', async () => {
      const expected = (await service.detectSpeech(TALK)).segments;
      expect(expected).toHaveLength(2);
      expect(expected[0]!.startMs).toBeGreaterThan(600);
      expect(expected[1]!.endMs).toBeLessThan(6_000);
      const forms: Record<string, [AudioInput, { sampleRate?: number; channels?: number }?]> = {
        floats: [floats(TALK)],
        'bytes without a header': [bytesOf(TALK), { sampleRate: 16_000 }],
        'a file without a header': [file('talk.raw', bytesOf(TALK)), { sampleRate: 16_000, channels: 1 }],
        'a wav file': [file('talk.wav', wav(TALK))],
        'a wav file of two channels': [wav(TALK, { channels: 2 })],
        'a wav file of three, of the extensible format': [wav(TALK, { channels: 3, extensible: true, encoding: 's24' })],
        'a wav file whose writer did not know its length': [wav(TALK, { declared: 0xffff_ffff })],
        'two channels': [Int16Array.from({ length: 2 * TALK.length }, (_, at) => TALK[at >> 1]!), { channels: 2 }],
      };
      for (const encoding of ['s24', 's32', 'f32', 'f64'] satisfies Encoding[]) forms[`a wav file of ${encoding}`] = [wav(TALK, { encoding })];
      for (const [form, [audio, options]] of Object.entries(forms)) {
        expect((await service.detectSpeech(audio, options)).segments, form).toEqual(expected);
      }
    });

    it('begins at the threshold that is asked for', async () => {
      const [low, high] = await Promise.all([0.05, 0.999].map(threshold => service.detectSpeech(TALK, { threshold })));
      const lasts = (found: typeof low): number => found!.segments.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
      expect(lasts(low)).toBeGreaterThan(lasts(high));
    });

    it('is told by processAudio too, with how sure that is', async () => {
      const result = await service.processAudio(TALK, SPEECH);
      const { segments } = await service.detectSpeech(TALK);
      expect(result.segments.map(({ startMs, endMs }) => ({ startMs, endMs }))).toEqual(segments);
      for (const { confidence, text } of result.segments) {
        expect(text).toBe('');
        expect(confidence).toBeGreaterThan(0.5);
        expect(confidence).toBeLessThanOrEqual(1);
      }
      expect(result).toMatchObject({ text: '', language: '', durationMs: Math.floor(TALK.length / 16), truncated: false, damagedPackets: 0 });
      expect(result.speechMs).toBe(segments.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0));
      for (const time of Object.values(result.timings)) expect(time).toBeGreaterThanOrEqual(0);
      expect(result.timings.totalMs).toBeGreaterThan(0);
    });

    it('is all of the signal where nobody looks for it, and none of silence', async () => {
      expect(await service.processAudio(TALK, { ...SPEECH, enableVAD: false })).toMatchObject({ segments: [], speechMs: Math.floor(TALK.length / 16) });
      expect(await service.processAudio(silence(3), SPEECH)).toMatchObject({ segments: [], speechMs: 0, durationMs: 3_000 });
    });

    it('is on one clock at every rate', async () => {
      const expected = (await service.detectSpeech(TALK)).segments;
      for (const rate of [8_000, 44_100, 48_000]) {
        const { segments, probabilities } = await service.detectSpeech(atRate(TALK, 16_000, rate), { sampleRate: rate });
        expect(segments, `${rate} Hz`).toHaveLength(2);
        segments.forEach(({ startMs, endMs }, at) => {
          expect(Math.abs(startMs - expected[at]!.startMs), `${rate} Hz`).toBeLessThanOrEqual(64);
          expect(Math.abs(endMs - expected[at]!.endMs), `${rate} Hz`).toBeLessThanOrEqual(64);
        });
        expect(Math.abs(probabilities.length - TALK.length / 512)).toBeLessThan(2);
      }
    });
  });

  describe('a recording', () => {
    it('that ends early gives what it holds, and says so', async () => {
      const whole = wav(TALK);
      const result = await service.processAudio(whole.subarray(0, whole.length / 2), SPEECH);
      expect(result).toMatchObject({ truncated: true, segments: [{ text: '' }] });
      expect(await service.processAudio(file('odd.raw', bytesOf(TALK).subarray(1)), { ...SPEECH, sampleRate: 16_000 })).toMatchObject({ truncated: true });
    });

    it('in another container is heard natively, and else refused with whom to ask', async () => {
      for (const name of ['click.flac', 'click.mp3', 'click.aac', 'click.m4a', 'click.ogg', 'click.opus', 'click.webm']) {
        const call = service.processAudio(fixture(name), SPEECH);
        if (support['VoiceProcessingService options']['flac, mp3, aac, mp4, ogg, matroska'][backend]) {
          expect((await call).durationMs, name).toBeGreaterThan(500);
        } else {
          expect(await errorOf(call), name).toMatchObject({ code: 'UAT_AUDIO_FORMAT', message: expect.stringContaining('native backend') as string });
        }
      }
    });

    it('is the caller\'s again as soon as the call was made', async () => {
      const expected = await service.detectSpeech(TALK);
      const lent = TALK.slice();
      const call = service.detectSpeech(lent);
      lent.fill(0);
      expect((await call).segments).toEqual(expected.segments);
      const bytes = Buffer.from(wav(TALK));
      const another = service.detectSpeech(bytes);
      bytes.fill(0);
      expect((await another).segments).toEqual(expected.segments);
      const shared = new Int16Array(new SharedArrayBuffer(TALK.byteLength));
      shared.set(TALK);
      expect((await service.detectSpeech(shared)).segments).toEqual(expected.segments);
    });

    it('is refused in the same words by both backends where it is none', async () => {
      const nan = floats(TALK);
      nan[7] = NaN;
      const loud = floats(TALK);
      loud[600] = 1_000;
      const refused: [string, unknown, ProcessAudioOptions | undefined, string, string][] = [
        ['null', null, undefined, 'UAT_INVALID_INPUT', 'audio: expected a Uint8Array (a file\'s bytes), an Int16Array or Float32Array (samples), or the path of a file, got null'],
        ['a number', 7, undefined, 'UAT_INVALID_INPUT', 'or the path of a file, got 7'],
        ['an array', [1, 2], undefined, 'UAT_INVALID_INPUT', 'got an array of 2'],
        ['an ArrayBuffer', new ArrayBuffer(8), undefined, 'UAT_INVALID_INPUT', 'got an object'],
        ['other samples', new Float64Array(8), undefined, 'UAT_INVALID_INPUT', 'got an object'],
        ['no path', '', undefined, 'UAT_INVALID_INPUT', 'got an empty string'],
        ['a path that no system takes', 'a\0b', undefined, 'UAT_INVALID_INPUT', 'or the path of a file'],
        ['a path to nothing', join(folder, 'none.wav'), undefined, 'UAT_NOT_FOUND', `audio: there is no file ${join(folder, 'none.wav')}`],
        ['a folder', folder, undefined, 'UAT_INVALID_INPUT', `audio: expected a file, got a folder: ${folder}`],
        ['a device', '/dev/zero', { sampleRate: 16_000 }, 'UAT_INVALID_INPUT', 'audio: expected a file, got a device or a pipe: /dev/zero'],
        ['no bytes', new Uint8Array(), undefined, 'UAT_AUDIO_FORMAT', 'the audio is empty: expected samples, found no bytes'],
        ['an empty file', file('empty.wav', new Uint8Array()), undefined, 'UAT_AUDIO_FORMAT', 'the audio is empty: expected samples, found no bytes'],
        ['no samples', new Int16Array(), undefined, 'UAT_AUDIO_FORMAT', 'the audio is empty: expected samples, found no samples'],
        ['a header alone', wav(new Int16Array()), undefined, 'UAT_AUDIO_FORMAT', 'the audio is empty: expected samples, found a header without samples'],
        ['unknown bytes', Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9), undefined, 'UAT_AUDIO_FORMAT', 'the audio begins with 01 02 03 04 05 06 07 08, which is no known container (wav, flac, mp3, aac, m4a/mp4, ogg, webm/mkv); say sample rate and channels if it is raw 16-bit PCM'],
        ['half a sample', new Uint8Array(3), { sampleRate: 16_000 }, 'UAT_INVALID_INPUT', 'audio: expected whole frames of 2 bytes, 16 bits of each channel, got "3 bytes"'],
        ['half a frame', new Uint8Array(6), { sampleRate: 16_000, channels: 2 }, 'UAT_INVALID_INPUT', 'audio: expected whole frames of 4 bytes, 16 bits of each channel, got "6 bytes"'],
        ['half a frame of samples', new Int16Array(3), { channels: 2 }, 'UAT_INVALID_INPUT', 'audio: expected whole frames of 2 samples, one of each channel, got "3 samples"'],
        ['NaN', nan, undefined, 'UAT_INVALID_INPUT', 'sample 7 of channel 0 is NaN: expected finite samples'],
        ['infinity', Float32Array.of(0, 0, 0, -Infinity), { channels: 2 }, 'UAT_INVALID_INPUT', 'sample 1 of channel 1 is -inf: expected finite samples'],
        ['samples that were not scaled', loud, undefined, 'UAT_INVALID_INPUT', 'sample 600 is 1000: expected finite samples of full scale -1 to 1'],
        ['a wav file of 0 Hz', wav(TALK, { sampleRate: 0 }), undefined, 'UAT_INVALID_INPUT', 'sample rate: expected 4000 to 384000 Hz, got 0'],
      ];
      for (const [what, audio, options, code, words] of refused) {
        const error = await errorOf(service.processAudio(audio as AudioInput, { ...SPEECH, ...options }));
        expect(error, what).toMatchObject({ code, message: expect.stringContaining(words) as string, retryable: false });
        const { code: alike, message } = await errorOf(service.detectSpeech(audio as AudioInput, options));
        expect([alike, message], what).toEqual([error.code, error.message]);
      }
    });

    it('with a damaged header is refused', async () => {
      const whole = wav(TALK);
      for (const [what, bytes] of Object.entries({
        'cut in its header': whole.subarray(0, 30),
        'of a codec that nobody reads': wav(TALK, { code: 17 }),
        'without samples': whole.subarray(0, 36),
      })) {
        expect((await errorOf(service.processAudio(bytes, SPEECH))).code, what).toBe('UAT_AUDIO_FORMAT');
      }
    });
  });

  describe('an option', () => {
    it.each<[ProcessAudioOptions, string]>([
      [null as never, 'options: expected an object, got null'],
      [{ enableVad: true } as never, 'options.enableVad: expected only enableVAD, '],
      [{ enableVAD: 1 as never }, 'options.enableVAD: expected true or false, got 1'],
      [{ sampleRate: 0 }, 'options.sampleRate: expected a whole number from 4000 to 384000, got 0'],
      [{ sampleRate: NaN }, 'options.sampleRate'],
      [{ sampleRate: -16_000 }, 'options.sampleRate'],
      [{ sampleRate: 1e12 }, 'options.sampleRate'],
      [{ sampleRate: '16000' as never }, 'options.sampleRate'],
      [{ channels: 0 }, 'options.channels: expected a whole number from 1 to 26, got 0'],
      [{ channels: 1.5 }, 'options.channels'],
      [{ channels: 65_537 }, 'options.channels'],
      [{ language: '' }, 'options.language'],
      [{ beamSize: 0 }, 'options.beamSize: expected a whole number from 1 to 32, got 0'],
      [{ wordTimestamps: 'yes' as never }, 'options.wordTimestamps'],
      [{ onProgress: true as never }, 'options.onProgress: expected a function, got true'],
      [{ signal: {} as never }, 'options.signal: expected an AbortSignal'],
    ])('that is wrong is named: %j', async (options, words) => {
      expect(await errorOf(service.processAudio(TALK, options))).toMatchObject({ code: 'UAT_INVALID_INPUT', message: expect.stringContaining(words) as string });
    });

    it.each([0, -1, 1.5, NaN, '0.5'])('threshold is refused: %s', async threshold => {
      expect(await errorOf(service.detectSpeech(TALK, { threshold: threshold as never }))).toMatchObject({ code: 'UAT_INVALID_INPUT', message: expect.stringContaining('options.threshold: expected a probability above 0') as string });
    });

    it.each<[VoiceOptions, string, string]>([
      [null as never, 'UAT_INVALID_INPUT', 'options: expected an object'],
      [{ models: 'x' } as never, 'UAT_INVALID_INPUT', 'options.models'],
      [{ threads: 0 }, 'UAT_INVALID_INPUT', 'options.threads: expected a whole number from 1 to 256, got 0'],
      [{ vadModel: 'silero' }, 'UAT_MODEL_NOT_FOUND', 'unknown model `silero`; did you mean `silero-vad-6`?'],
      [{ vadModel: '/nowhere/vad.onnx' }, 'UAT_MODEL_NOT_FOUND', 'there is no file at /nowhere/vad.onnx'],
      [{ vadModel: fixture('click.flac') }, 'UAT_CORRUPT_VALUE', 'the model is not a sound ONNX file'],
      [{ turnModel: 'smart-turn-3.2' }, 'UAT_UNSUPPORTED', 'options.turnModel'],
      [{ transcriber: { kind: 'azure' } as never }, 'UAT_INVALID_INPUT', 'options.transcriber.kind: expected one of local, openai'],
      [{ transcriber: { kind: 'openai', model: 'm' } as never }, 'UAT_INVALID_INPUT', 'options.transcriber.baseUrl'],
      [{ transcriber: { kind: 'openai', baseUrl: 'ftp://x', model: 'm' } }, 'UAT_INVALID_INPUT', 'options.transcriber.baseUrl: expected a URL of http or https'],
      [{ transcriber: { kind: 'openai', baseUrl: 'http://u:secret@x', model: 'm' } }, 'UAT_INVALID_INPUT', 'without a user'],
      [{ transcriber: { kind: 'openai', baseUrl: 'http://x', model: 'm', apiKey: 'a\nb' } }, 'UAT_INVALID_INPUT', 'options.transcriber.apiKey: expected printable ASCII'],
    ])('of initialize that is wrong is named: %j', async (options, code, words) => {
      const error = await errorOf(new VoiceProcessingService().initialize(options));
      expect(error).toMatchObject({ code, message: expect.stringContaining(words) as string });
      expect(error.message).not.toContain('secret');
    });

    it('that is not there yet is refused', async () => {
      expect(await errorOf(service.processAudio(TALK, { denoise: true }))).toMatchObject({ code: 'UAT_UNSUPPORTED', details: { option: 'denoise' } });
      await service.processAudio(TALK, { ...SPEECH, denoise: false });
    });
  });

  describe('a service', () => {
    it('is initialized before it hears, once', async () => {
      const made = new VoiceProcessingService();
      expect((await errorOf(made.processAudio(TALK))).code).toBe('UAT_NOT_INITIALIZED');
      expect((await errorOf(made.detectSpeech(TALK))).code).toBe('UAT_NOT_INITIALIZED');
      const opening = made.initialize();
      expect((await errorOf(made.initialize())).code).toBe('UAT_CONFLICT');
      await opening;
      expect((await errorOf(made.initialize())).code).toBe('UAT_CONFLICT');
      await made.close();
    });

    it('hears nothing after close(), and again after another initialize()', async () => {
      const one = await open();
      await one.close();
      await one.close();
      expect((await errorOf(one.processAudio(TALK))).code).toBe('UAT_CLOSED');
      expect((await errorOf(one.detectSpeech(TALK))).code).toBe('UAT_CLOSED');
      await one.initialize();
      expect((await one.detectSpeech(TALK)).segments).toHaveLength(2);
    });

    it('that is closed while it opens never opens', async () => {
      const made = new VoiceProcessingService();
      const [opening] = await Promise.all([errorOf(made.initialize()), made.close()]);
      expect(opening.code).toBe('UAT_CLOSED');
    });

    it('that is closed ends what is under way', async () => {
      const one = await open();
      const calls = [errorOf(one.detectSpeech(silence(3_600))), errorOf(one.processAudio(silence(3_600), SPEECH))];
      await one.close();
      expect((await Promise.all(calls)).map(({ code }) => code)).toEqual(['UAT_CLOSED', 'UAT_CLOSED']);
    });

    it('says which command pulls the model that is missing', async () => {
      vi.stubEnv('UAT_MODELS', join(folder, 'no-models'));
      for (const name of ['XDG_CACHE_HOME', 'HOME', 'LLAMA_CACHE', 'HF_HUB_CACHE', 'HF_HOME']) vi.stubEnv(name, '');
      const looked = join(folder, 'no-models');
      expect(await errorOf(new VoiceProcessingService().initialize())).toMatchObject({
        code: 'UAT_MODEL_NOT_FOUND', message: `model "silero-vad-6" is not on this machine (looked in ${looked}): run \`uat models pull silero-vad-6\``,
      });
    });
  });

  describe('a call', () => {
    it('ends when its signal says so, with the reason', async () => {
      const reason = new Error('enough');
      expect(await errorOf(service.processAudio(TALK, { ...SPEECH, signal: AbortSignal.abort(reason) }))).toMatchObject({ code: 'UAT_CANCELLED', cause: reason });
      const controller = new AbortController();
      const call = errorOf(service.processAudio(silence(3_600), { ...SPEECH, signal: controller.signal, onProgress: () => controller.abort(reason) }));
      expect(await call).toMatchObject({ code: 'UAT_CANCELLED', cause: reason });
    });

    it('tells how much was heard, more and more, until all is', async () => {
      const told: number[] = [];
      await service.processAudio(silence(40), { ...SPEECH, onProgress: fraction => void told.push(fraction) });
      expect(told.at(-1)).toBe(1);
      expect(told.length).toBeGreaterThan(1);
      expect(told).toEqual([...told].sort((a, b) => a - b));
      expect(new Set(told).size).toBe(told.length);
      const heard = told.length;
      await service.processAudio(TALK, SPEECH);
      expect(told.length).toBe(heard);
    });

    it('ends where the function that is told throws, with what it threw', async () => {
      const cause = new Error('no bar');
      const error = await errorOf(service.processAudio(silence(600), { ...SPEECH, onProgress: () => { throw cause; } }));
      expect(error).toMatchObject({ code: 'UAT_INVALID_INPUT', cause, message: 'options.onProgress: the function threw: no bar' });
    });

    it('lets others have the event loop', async () => {
      let [turns, isOver] = [0, false];
      const turn = (): void => {
        turns++;
        if (!isOver) setTimeout(turn, 1);
      };
      turn();
      const began = performance.now();
      await service.detectSpeech(silence(30));
      isOver = true;
      // Some milliseconds between turns are the machine's; all of it at once would be one turn.
      expect(turns).toBeGreaterThan((performance.now() - began) / 200);
    });

    it('is one of several that are heard at once', async () => {
      const results = await Promise.all(Array.from({ length: 6 }, () => service.detectSpeech(TALK)));
      expect(new Set(results.map(({ segments }) => JSON.stringify(segments))).size).toBe(1);
    });
  });

  describe('words', () => {
    it.runIf(support['VoiceProcessingService options']['transcriber: local'][backend])('are written down by a model of this machine', async () => {
      const result = await service.processAudio(sentence(), { sampleRate: 8_000, wordTimestamps: true });
      expect(result.text.toLowerCase()).toContain('disposed young man');
      expect(result).toMatchObject({ language: 'en', durationMs: Math.floor(sentence().length / 8), truncated: false });
      const words = result.segments.flatMap(segment => segment.words ?? []);
      expect(words.map(({ word }) => word).join('')).toBe(result.text.replaceAll(' ', ''));
      for (const { startMs, endMs, confidence } of words) {
        expect(startMs).toBeLessThanOrEqual(endMs);
        expect(endMs).toBeLessThanOrEqual(result.durationMs);
        expect(confidence).toBeGreaterThan(0);
      }
      const greedy = await service.processAudio(sentence(), { sampleRate: 8_000, beamSize: 1, language: 'en', enableVAD: false });
      expect(greedy.text.toLowerCase()).toContain('young man');
      expect(greedy.segments[0]!.words).toBeUndefined();
      expect(await errorOf(service.processAudio(sentence(), { sampleRate: 8_000, language: 'de' }))).toMatchObject({ code: 'UAT_INVALID_INPUT', message: expect.stringContaining('language') as string });
    }, 60_000);

    it.runIf(support['VoiceProcessingService options']['transcriber: local'][backend])('need a model that is there', async () => {
      expect(await errorOf(new VoiceProcessingService().initialize({ model: 'whisper-huge' }))).toMatchObject({ code: 'UAT_MODEL_NOT_FOUND', details: { nearest: ['whisper-tiny.en', 'whisper-base'] } });
    });

    it.runIf(!support['VoiceProcessingService options']['transcriber: local'][backend])('are another\'s to write down', async () => {
      expect(await errorOf(service.processAudio(TALK))).toMatchObject({ code: 'UAT_ENGINE_UNAVAILABLE', message: expect.stringContaining('transcriber') as string });
    });
  });
});
