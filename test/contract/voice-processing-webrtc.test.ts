// What an offer is answered with; test/e2e/accept-webrtc.test.ts has a real browser speak.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { VoiceProcessingService } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { ROOT } from '../support/built.js';
import { errorOf } from '../support/errors.js';

/** As Chromium makes it, with a data channel. */
const OFFER = readFileSync(join(ROOT, 'crates/webrtc-audio/tests/peers/chromium.sdp'), 'utf8');

vi.setConfig({ testTimeout: 60_000 });

eachBackend(backend => {
  let service: VoiceProcessingService;
  beforeAll(async () => {
    service = new VoiceProcessingService();
    await service.initialize();
  });
  afterEach(() => vi.unstubAllEnvs());
  afterAll(() => service?.close());

  describe('an offer', () => {
    it('that is none is refused with what it lacks', async () => {
      for (const offer of [undefined, null, 5, {}, Buffer.from(OFFER)]) expect(await errorOf(service.acceptWebRtc(offer as string))).toMatchObject({ code: 'UAT_INVALID_INPUT', message: expect.stringContaining('offerSdp') as string });
      for (const options of [null, 'en', { language: '' }, { language: 5 }, { lang: 'en' }]) expect(await errorOf(service.acceptWebRtc(OFFER, options as { language?: string }))).toMatchObject({ code: 'UAT_INVALID_INPUT', message: expect.stringContaining('options') as string });
      if (backend === 'typescript') {
        expect(await errorOf(service.acceptWebRtc(OFFER))).toMatchObject({ code: 'UAT_UNSUPPORTED', message: expect.stringContaining('native') as string });
        return;
      }
      for (const [offer, word] of [['', 'v=0'], ['{}', 'v=0'], ['v=0\r\n', 'audio'], [OFFER.replaceAll('opus', 'pcmx'), 'Opus'], [OFFER.replace('a=sendonly', 'a=recvonly'), 'sendonly'], [OFFER.padEnd(70_000), '65536'], [OFFER.replaceAll('fingerprint', 'nothing'), 'fingerprint']] as const) {
        const error = await errorOf(service.acceptWebRtc(offer));
        expect(error, word).toMatchObject({ code: 'UAT_INVALID_INPUT', retryable: false });
        expect(error.message.toLowerCase()).toContain(word.toLowerCase());
      }
    });

    it('belongs to an open service', async () => {
      const other = new VoiceProcessingService();
      expect((await errorOf(other.acceptWebRtc(OFFER))).code).toBe('UAT_NOT_INITIALIZED');
      await other.initialize();
      await other.close();
      expect((await errorOf(other.acceptWebRtc(OFFER))).code).toBe('UAT_CLOSED');
    });

    if (backend === 'typescript') return;

    it('is answered, and its session ends where it is closed', async () => {
      const session = await service.acceptWebRtc(OFFER, { language: 'en' });
      expect(session.answerSdp).toMatch(/^v=0\r\n[^]*a=candidate:.* 127\.0\.0\.1 \d+ typ host/);
      const other = await service.acceptWebRtc(OFFER);
      expect(other.sessionId).not.toBe(session.sessionId);
      const reading = (async () => {
        for await (const event of session.events) throw new Error(`${event.type} of somebody who never came`);
      })();
      await session.close();
      await reading;
      await session.close();
      await other.close();
    });

    it('ends with its service', async () => {
      const other = new VoiceProcessingService();
      await other.initialize();
      const { events } = await other.acceptWebRtc(OFFER);
      const next = errorOf(events[Symbol.asyncIterator]().next());
      await other.close();
      expect((await next).code).toBe('UAT_CLOSED');
    });

    it('is refused where as many are heard as may be, until one has ended', async () => {
      vi.stubEnv('UAT__VOICE__WEBRTC__SESSIONS', '1');
      const other = new VoiceProcessingService();
      await other.initialize();
      const first = await other.acceptWebRtc(OFFER);
      expect(await errorOf(other.acceptWebRtc(OFFER))).toMatchObject({ code: 'UAT_OVERLOADED', retryable: true });
      await first.close();
      await other.acceptWebRtc(OFFER);
      await other.close();
    });

    it('is answered at the address that the environment names, where that can be', async () => {
      const opened = async (udp: string, ips?: string) => {
        vi.stubEnv('UAT__VOICE__WEBRTC__UDP', udp);
        if (ips !== undefined) vi.stubEnv('UAT__VOICE__WEBRTC__PUBLIC_IPS', ips);
        const other = new VoiceProcessingService();
        await other.initialize();
        return other.acceptWebRtc(OFFER).finally(() => other.close());
      };
      expect((await opened('0.0.0.0:0', '["203.0.113.7"]')).answerSdp).toMatch(/ 203\.0\.113\.7 \d+ typ host/);
      for (const udp of ['127.0.0.1', '203.0.113.7:9']) expect(await errorOf(opened(udp)), udp).toMatchObject({ code: 'UAT_CONFIG', message: expect.stringMatching(/webrtc.udp/i) as string });
    });
  });
});
