import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { type VoiceEvent, VoiceProcessingService, type VoiceStream } from '../../src/index.js';
import { floats, joined, sentence, silence } from '../support/audio.js';
import { eachBackend } from '../support/backends.js';
import { errorOf, thrownBy } from '../support/errors.js';

/** Samples a second. */
const RATE = { sampleRate: 8_000 } as const;
/** What a microphone gives at a time: 20 ms. */
const FRAME = 160;
const SPOKEN = joined(silence(0.5, 8_000), sentence(), silence(1, 8_000));

vi.setConfig({ testTimeout: 60_000 });

async function heard(stream: VoiceStream): Promise<VoiceEvent[]> {
  const events: VoiceEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

async function speak(stream: VoiceStream, samples: Int16Array | Float32Array, frame = FRAME): Promise<void> {
  for (let at = 0; at < samples.length; at += frame) await stream.write(samples.subarray(at, at + frame));
  stream.end();
}

function text(events: VoiceEvent[]): string {
  return events.flatMap(event => event.type === 'final' ? [event.segment.text] : []).join(' ');
}

eachBackend(backend => {
  let service: VoiceProcessingService;
  beforeAll(async () => {
    service = new VoiceProcessingService();
    await service.initialize();
  });
  afterAll(() => service?.close());

  if (backend === 'typescript') {
    it('says that it hears recordings alone', () => {
      expect(thrownBy(() => service.stream())).toMatchObject({ code: 'UAT_UNSUPPORTED', message: expect.stringContaining('native') as string });
    });
    return;
  }

  describe('a live signal', () => {
    it('comes to what the recording comes to, with partial texts before whose settled part never changes', async () => {
      const whole = await service.processAudio(SPOKEN, { ...RATE, language: 'en' });
      const stream = service.stream({ ...RATE, language: 'en', partialEveryMs: 200 });
      const [events] = await Promise.all([heard(stream), speak(stream, SPOKEN)]);
      expect(text(events)).toBe(whole.text);
      expect(events[0]!.type).toBe('speech_started');
      const kinds = events.map(event => event.type);
      expect(kinds.indexOf('speech_stopped')).toBeGreaterThan(0);
      let settled = '';
      for (const event of events) {
        if (event.type !== 'partial') continue;
        expect(event.text.startsWith(settled), `${settled} | ${event.text}`).toBe(true);
        settled = event.text.slice(0, event.committed);
      }
      expect(stream.bufferedMs).toBe(0);
    });

    it('is heard whatever lies in a piece: floats, two channels, a second at a time, all of it', async () => {
      const expected = (await service.processAudio(SPOKEN, { ...RATE, language: 'en' })).text;
      const stereo = Float32Array.from({ length: 2 * SPOKEN.length }, (_, at) => SPOKEN[at >> 1]! / 32_768);
      const forms: [Parameters<VoiceProcessingService['stream']>[0], Int16Array | Float32Array, number][] = [
        [{}, floats(SPOKEN), FRAME],
        [{ channels: 2 }, stereo, 2 * FRAME],
        [{}, SPOKEN, 8_000],
        [{}, SPOKEN, SPOKEN.length],
      ];
      for (const [options, samples, frame] of forms) {
        const stream = service.stream({ ...RATE, language: 'en', ...options });
        const [events] = await Promise.all([heard(stream), speak(stream, samples, frame)]);
        expect(text(events)).toBe(expected);
      }
    });

    it('that says nothing comes to nothing, and one that never begins ends', async () => {
      const quiet = service.stream();
      const [events] = await Promise.all([heard(quiet), speak(quiet, silence(3))]);
      expect(events).toEqual([]);
      const none = service.stream();
      none.end();
      expect(await heard(none)).toEqual([]);
    });

    it('is held back where it comes faster than texts are written down, and loses nothing', async () => {
      const long = joined(...Array.from({ length: 12 }, () => joined(sentence(), silence(0.8, 8_000))));
      const stream = service.stream({ ...RATE, language: 'en' });
      let most = 0;
      const speaking = (async () => {
        for (let at = 0; at < long.length; at += FRAME) {
          await stream.write(long.subarray(at, at + FRAME));
          most = Math.max(most, stream.bufferedMs);
        }
        stream.end();
      })();
      const [events] = await Promise.all([heard(stream), speaking]);
      expect(events.filter(event => event.type === 'final').length).toBeGreaterThanOrEqual(12);
      expect(most).toBeLessThan(20_000);
    });

    it('may be left in the middle, and another goes on', async () => {
      const left = service.stream(RATE);
      const speaking = speak(left, joined(SPOKEN, SPOKEN, SPOKEN)).catch((error: unknown) => error);
      for await (const event of left) {
        expect(event.type).toBe('speech_started');
        break;
      }
      expect(await speaking).toMatchObject({ code: 'UAT_CLOSED' });
      expect(await heard(left)).toEqual([]);
      const other = service.stream({ ...RATE, language: 'en' });
      const [events] = await Promise.all([heard(other), speak(other, SPOKEN)]);
      expect(text(events)).not.toBe('');
    });

    it('ends by its signal, and where the service is closed', async () => {
      const abort = new AbortController();
      const stream = service.stream({ ...RATE, signal: abort.signal });
      const reading = errorOf(heard(stream));
      await stream.write(SPOKEN);
      abort.abort();
      expect(await reading).toMatchObject({ code: 'UAT_CANCELLED' });
      expect(await errorOf(stream.write(SPOKEN))).toMatchObject({ code: 'UAT_CANCELLED' });
      expect(thrownBy(() => service.stream({ signal: AbortSignal.abort() }))).toMatchObject({ code: 'UAT_CANCELLED' });
      const other = new VoiceProcessingService();
      await other.initialize();
      const [closed] = [errorOf(heard(other.stream()))];
      await other.close();
      expect(await closed).toMatchObject({ code: 'UAT_CLOSED' });
      expect(thrownBy(() => other.stream())).toMatchObject({ code: 'UAT_CLOSED' });
    });

    it('refuses what it cannot hear, and says why', async () => {
      const refused: [unknown, string][] = [
        [{ sampleRate: 0 }, 'options.sampleRate'], [{ channels: 27 }, 'options.channels'], [{ language: '' }, 'options.language'],
        [{ partialEveryMs: 1 }, 'options.partialEveryMs'], [{ endpointSilenceMs: NaN }, 'options.endpointSilenceMs'],
        [{ signal: 1 }, 'options.signal'], [{ rate: 1 }, 'options.rate'], [null, 'options'],
      ];
      for (const [options, field] of refused) {
        expect(thrownBy(() => service.stream(options as never)), field).toMatchObject({ code: 'UAT_INVALID_INPUT', message: expect.stringContaining(field) as string });
      }
      const stream = service.stream({ channels: 2 });
      for (const pcm of [undefined, null, new Uint8Array(4), [0, 0], 'pcm', new Int16Array(3)]) {
        expect(await errorOf(stream.write(pcm as never))).toMatchObject({ code: 'UAT_INVALID_INPUT', message: expect.stringContaining('pcm') as string });
      }
      expect(await errorOf(stream.write(Float32Array.of(NaN, 0)))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
      await stream.write(new Int16Array(0));
      stream.end();
      expect(thrownBy(() => stream.end())).toMatchObject({ code: 'UAT_CLOSED' });
      expect(await errorOf(stream.write(new Int16Array(2)))).toMatchObject({ code: 'UAT_CLOSED' });
      const unknown = service.stream({ language: 'xx' });
      expect(await errorOf(heard(unknown))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
      expect(await errorOf(unknown.write(silence(1)))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
    });

    it('whose writer does not wait is refused before memory is', async () => {
      const stream = service.stream();
      await stream.write(silence(0.1));
      const written = await Promise.allSettled(Array.from({ length: 500 }, () => stream.write(silence(1))));
      const refused = written.filter(one => one.status === 'rejected');
      expect(refused.length).toBeGreaterThan(0);
      for (const { reason } of refused) expect(reason).toMatchObject({ code: 'UAT_OVERLOADED', retryable: true });
      stream.end();
      expect(await heard(stream)).toEqual([]);
    });
  });
});
