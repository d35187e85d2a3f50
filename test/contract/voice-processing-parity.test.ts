import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { VoiceProcessingService } from '../../src/index.js';
import { atRate, joined, silence, speech } from '../support/audio.js';
import { seeded } from '../support/random.js';

/** Probabilities of the two backends differ by less: sums in another order. */
const CLOSE = 1e-4;

// The TypeScript backend computes on the event loop, which a busy machine slows down.
vi.setConfig({ testTimeout: 60_000 });

const both = (process.env['UAT_TEST_BACKENDS'] ?? 'native,typescript').split(',').length === 2;

describe.runIf(both)('the two backends', () => {
  const services: VoiceProcessingService[] = [];
  beforeAll(async () => {
    const before = process.env['UAT_BACKEND'];
    for (const kind of ['native', 'typescript']) {
      process.env['UAT_BACKEND'] = kind;
      const service = new VoiceProcessingService();
      await service.initialize();
      expect(service.backend.kind).toBe(kind);
      services.push(service);
    }
    if (before === undefined) delete process.env['UAT_BACKEND'];
    else process.env['UAT_BACKEND'] = before;
  });
  afterAll(() => Promise.all(services.map(service => service.close())));

  it.each([4_000, 8_000, 11_025, 16_000, 22_050, 44_100, 44_101, 48_000, 96_000, 192_000, 384_000])('hear the same at %i Hz', async sampleRate => {
    const random = seeded(7);
    const noise = Int16Array.from({ length: 24_000 }, () => (random() - 0.5) * 6_000);
    const talk = joined(silence(0.7), speech(), noise, speech(), silence(0.33));
    const audio = atRate(talk, 16_000, sampleRate);
    const [native, typescript] = await Promise.all(services.map(service => service.detectSpeech(audio, { sampleRate })));
    expect(typescript!.probabilities.length).toBe(native!.probabilities.length);
    const apart = native!.probabilities.map((probability, at) => Math.abs(probability - typescript!.probabilities[at]!));
    expect(Math.max(...apart)).toBeLessThan(CLOSE);
    expect(typescript!.segments).toEqual(native!.segments);
  });

  it('tell the same of speech', async () => {
    const audio = joined(silence(0.7), speech(), silence(2), speech());
    const [one, other] = await Promise.all(services.map(service => service.processAudio(audio, { transcribe: false })));
    expect(other!.segments).toHaveLength(one!.segments.length);
    for (const [at, segment] of one!.segments.entries()) expect(other!.segments[at]!.confidence).toBeCloseTo(segment.confidence, 4);
    expect([other!.durationMs, other!.speechMs]).toEqual([one!.durationMs, one!.speechMs]);
  });
});
