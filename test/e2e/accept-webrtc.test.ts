// A real Chromium speaks to a Node program: its offer comes over HTTP, its sound over WebRTC, and both sides read the words.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type VoiceEvent, VoiceProcessingService, type WebRtcSession } from '../../src/index.js';
import { joined, sentence, silence, wav } from '../support/audio.js';
import { findChromium, speakingBrowser } from '../support/chromium.js';

const chromium = findChromium();
/** Of the sentence's own rate, in Hz. */
const SECOND = 8_000;

/** As docs/voice.md has it. */
const PAGE = `<!doctype html><title>Speak</title><script>
  window.said = [];
  async function speak() {
    window.peer = new RTCPeerConnection();
    const channel = peer.createDataChannel('events');
    channel.onmessage = ({ data }) => said.push(JSON.parse(data));
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    peer.addTransceiver(microphone.getAudioTracks()[0], { direction: 'sendonly' });
    await peer.setLocalDescription();
    const answer = await fetch('/whip', { method: 'POST', body: peer.localDescription.sdp });
    await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  }
</script>`;

describe.skipIf(chromium === undefined)('a browser that speaks to a Node program', () => {
  const folder = mkdtempSync(join(tmpdir(), 'uat-webrtc-'));
  let service: VoiceProcessingService;
  let server: Server;
  let browser: Browser;
  let accepted: (session: WebRtcSession) => void;

  beforeAll(async () => {
    service = new VoiceProcessingService();
    await service.initialize();
    server = createServer((request, response) => {
      if (request.method !== 'POST') return void response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
      void text(request).then(offer => service.acceptWebRtc(offer, { language: 'en' })).then(session => {
        accepted(session);
        response.writeHead(201, { 'content-type': 'application/sdp' }).end(session.answerSdp);
      });
    });
    await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve); });
    const recording = join(folder, 'microphone.wav');
    writeFileSync(recording, wav(joined(silence(1, SECOND), sentence(), silence(3, SECOND)), { sampleRate: SECOND }));
    browser = await speakingBrowser(chromium!, recording);
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
    await service?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function speaking(): Promise<{ page: Page; session: WebRtcSession }> {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const session = new Promise<WebRtcSession>(resolve => { accepted = resolve; });
    await page.evaluate('speak()');
    return { page, session: await session };
  }

  it('is understood, and reads the same words; when it leaves, its events end', async () => {
    const { page, session } = await speaking();
    const events: VoiceEvent[] = [];
    for await (const event of session.events) {
      events.push(event);
      const said = event.type === 'final' ? event.segment.text.toLowerCase() : '';
      if (/not an .*young man/.test(said)) await page.evaluate('peer.close()');
    }
    expect(events[0]).toMatchObject({ type: 'speech_started' });
    expect(events.some(event => event.type === 'partial')).toBe(true);
    expect(events.filter(event => event.type === 'error')).toEqual([]);
    const told = await page.evaluate('said') as VoiceEvent[];
    const finals = (of: VoiceEvent[]) => of.flatMap(event => event.type === 'final' ? [event.segment] : []);
    expect(finals(told).length).toBeGreaterThan(0);
    expect(finals(events).slice(0, finals(told).length)).toEqual(finals(told));
    await page.close();
  });

  it('is not heard any more once its session is closed', async () => {
    const { page, session } = await speaking();
    for await (const event of session.events) if (event.type === 'speech_started') break;
    await session.close();
    await expect.poll(() => page.evaluate('peer.connectionState'), { timeout: 20_000 }).not.toBe('connected');
    await page.close();
  });
});
