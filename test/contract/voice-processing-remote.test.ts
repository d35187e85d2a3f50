import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { VoiceProcessingService } from '../../src/index.js';
import { joined, silence, speech } from '../support/audio.js';
import { eachBackend } from '../support/backends.js';
import { errorOf } from '../support/errors.js';
import { FakeTranscriber } from '../support/fake-transcriber.js';

/** Two utterances, because silence of more than two seconds ends one. */
const TALK = joined(silence(1), speech(), silence(4), speech(), silence(1));

function said(document: unknown): { status: number; body: string } {
  return { status: 200, body: JSON.stringify(document) };
}

const FIRST = {
  task: 'transcribe', language: 'english', duration: 2, text: ' Good morning. Bye.',
  segments: [{ id: 0, start: 0.1, end: 0.9, text: ' Good morning.', avg_logprob: Math.log(0.5) }, { id: 1, start: 0.9, end: 1.5, text: ' Bye.', avg_logprob: Math.log(0.25) }],
  words: [{ word: 'Good', start: 0.1, end: 0.4 }, { word: 'morning.', start: 0.4, end: 0.9 }, { word: 'Bye.', start: 0.9, end: 99 }],
};

// The TypeScript backend computes on the event loop, which a busy machine slows down.
vi.setConfig({ testTimeout: 60_000 });

let server: FakeTranscriber;
beforeAll(async () => { server = await FakeTranscriber.start(); });
afterAll(() => server?.stop());

eachBackend(backend => {
  let service: VoiceProcessingService;
  const open = async (baseUrl: string, apiKey?: string): Promise<VoiceProcessingService> => {
    service = new VoiceProcessingService();
    await service.initialize({ transcriber: { kind: 'openai', baseUrl, model: 'whisper-x', ...(apiKey === undefined ? {} : { apiKey }) } });
    return service;
  };
  beforeEach(() => server.answer());
  afterEach(() => service?.close());

  it('each utterance is written down by the server, on the recording\'s clock', async () => {
    server.answer(said(FIRST), said({ text: 'Hello?' }));
    const one = await open(server.url, 'sk-1');
    const result = await one.processAudio(TALK, { wordTimestamps: true });
    expect(one.backend.kind).toBe(backend);
    expect(result).toMatchObject({ text: 'Good morning. Bye. Hello?', language: 'en' });
    const { segments } = await one.detectSpeech(TALK);
    const [first, second, third] = result.segments;
    expect(first).toMatchObject({ startMs: segments[0]!.startMs + 100, endMs: segments[0]!.startMs + 900, text: 'Good morning.', confidence: expect.closeTo(0.5, 5) as number });
    expect(first!.words).toEqual([
      { word: 'Good', startMs: first!.startMs, endMs: first!.startMs + 300, confidence: NaN },
      { word: 'morning.', startMs: first!.startMs + 300, endMs: first!.endMs, confidence: NaN },
    ]);
    // A time beyond the utterance ends with it.
    expect(second!.words!.at(-1)!.endMs).toBeLessThanOrEqual(segments[0]!.endMs);
    expect(third).toEqual({ startMs: segments[1]!.startMs, endMs: segments[1]!.endMs, text: 'Hello?', confidence: NaN });
    expect(result.timings.transcribeMs).toBeGreaterThan(0);

    expect(server.asked.map(({ path, authorization }) => [path, authorization])).toEqual(Array(2).fill(['/v1/audio/transcriptions', 'Bearer sk-1']));
    const [asked, again] = server.asked;
    expect(asked!.fields).toEqual({ model: ['whisper-x'], response_format: ['verbose_json'], 'timestamp_granularities[]': ['segment', 'word'] });
    // What the first utterance was in, the others are taken to be in.
    expect(again!.fields['language']).toEqual(['en']);
    const { startMs, endMs } = segments[0]!;
    expect(asked!.file.toString('latin1', 0, 4)).toBe('RIFF');
    expect([asked!.file.readUInt32LE(24), asked!.file.readUInt16LE(34), asked!.file.length]).toEqual([16_000, 16, 44 + 32 * (endMs - startMs)]);
    const samples = new Int16Array(new Uint8Array(asked!.file.subarray(44)).buffer);
    expect(samples).toEqual(TALK.slice(startMs * 16, endMs * 16));
  });

  it('is told the language, and asked below a path that the URL has', async () => {
    server.answer(said({ text: 'Guten Tag.', language: 'de', segments: [], words: null }));
    const one = await open(`${server.url}/openai/`);
    expect(await one.processAudio(TALK, { language: 'de', enableVAD: false })).toMatchObject({ text: 'Guten Tag.', language: 'de' });
    expect(server.asked).toMatchObject([{ path: '/openai/audio/transcriptions', authorization: undefined, fields: { language: ['de'], 'timestamp_granularities[]': ['segment'] } }]);
  });

  it('nobody is asked about silence, nor where no words are wanted', async () => {
    const one = await open(server.url);
    expect(await one.processAudio(silence(5))).toMatchObject({ text: '', segments: [], language: '' });
    expect((await one.processAudio(TALK, { transcribe: false })).segments).toHaveLength(2);
    expect(await errorOf(one.processAudio(TALK, { beamSize: 3 }))).toMatchObject({ code: 'UAT_UNSUPPORTED', message: expect.stringContaining('options.beamSize') as string });
    expect(server.asked).toEqual([]);
  });

  describe('what goes wrong there is told', () => {
    it.each<[number, string, string, boolean, string]>([
      [400, '{"error":{"message":"verbose_json is not supported"}}', 'UAT_UPSTREAM', false, 'status 400: verbose_json is not supported'],
      [401, '{"error":{"message":"Incorrect API key: sk-2"}}', 'UAT_UNAUTHORIZED', false, 'status 401: Incorrect API key: the key'],
      [404, '{"error":{"message":"no such model"}}', 'UAT_MODEL_NOT_FOUND', false, 'status 404: no such model'],
      [429, '{"error":"slower"}', 'UAT_RATE_LIMITED', true, 'status 429: slower'],
      [502, 'Bad Gateway', 'UAT_UPSTREAM', true, 'status 502: Bad Gateway'],
      [500, '', 'UAT_UPSTREAM', true, 'status 500: no reason was given'],
      [302, '', 'UAT_UPSTREAM', false, 'status 302: no reason was given'],
      [200, '<html>', 'UAT_UPSTREAM', false, 'expected a transcription as verbose_json, got'],
      [200, '{"words":[]}', 'UAT_UPSTREAM', false, 'expected a transcription as verbose_json, got'],
    ])('%i %s', async (status, body, code, retryable, words) => {
      server.answer({ status, body, headers: { location: '/elsewhere' } });
      const error = await errorOf((await open(server.url, 'sk-2')).processAudio(TALK));
      expect(error).toMatchObject({ code, retryable, message: expect.stringContaining(words) as string });
      expect(error.message).toContain(`transcriber ${new URL(server.url).host}: `);
      expect(error.message).not.toContain('sk-2');
      expect(server.asked).toHaveLength(1);
    });

    it('nobody listens', async () => {
      const closed = createServer().listen(0, '127.0.0.1');
      await new Promise(resolve => { closed.once('listening', resolve); });
      const { port } = closed.address() as AddressInfo;
      await new Promise(resolve => { closed.close(resolve); });
      expect(await errorOf((await open(`http://127.0.0.1:${port}`)).processAudio(TALK))).toMatchObject({ code: 'UAT_UPSTREAM', retryable: true });
    });
  });

  it('a question is taken back when its signal says so, or the service is closed', async () => {
    const one = await open(server.url);
    for (const end of ['signal', 'close'] as const) {
      server.answer('never');
      const controller = new AbortController();
      const reason = new Error('enough');
      const gone = new Promise<void>(resolve => { server.left = resolve; });
      server.heard = () => void (end === 'signal' ? controller.abort(reason) : one.close());
      const error = await errorOf(one.processAudio(TALK, { signal: controller.signal }));
      expect(error).toMatchObject(end === 'signal' ? { code: 'UAT_CANCELLED', cause: reason } : { code: 'UAT_CLOSED' });
      await gone;
    }
  });
});
