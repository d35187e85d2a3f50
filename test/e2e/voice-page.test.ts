// The demo page in a real Chromium: a spoken sentence is its microphone, and the words stand on the page.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { joined, sentence, silence, wav } from '../support/audio.js';
import { ROOT } from '../support/built.js';
import { findChromium, speakingBrowser } from '../support/chromium.js';
import { Machine } from '../support/uat.js';

const chromium = findChromium();
/** With `UPDATE_IMAGES=1` what the page looks like is kept. */
const KEEPS_IMAGES = process.env['UPDATE_IMAGES'] === '1';
/** Of the sentence's own rate, in Hz. */
const SECOND = 8_000;

/** "He was not an ill disposed young man" with silence around: it is heard again and again, because nobody knows when a browser begins. */
function microphone(): Uint8Array {
  return wav(joined(silence(1, SECOND), sentence(), silence(3, SECOND)), { sampleRate: SECOND });
}

describe.skipIf(chromium === undefined)('the demo page', () => {
  let machine: Machine;
  let server: string;
  let browser: Browser;
  beforeAll(async () => {
    machine = new Machine();
    for (const model of ['whisper-tiny.en', 'silero-vad-6']) await machine.pull(model);
    server = await machine.serve('--demo-page');
    const wav = join(machine.folder, 'microphone.wav');
    writeFileSync(wav, microphone());
    browser = await speakingBrowser(chromium!, wav);
  });
  afterAll(async () => {
    await browser?.close();
    await machine?.stop();
  });

  async function open(options: Parameters<Browser['newPage']>[0] = {}): Promise<Page> {
    const page = await browser.newPage({ viewport: { width: 820, height: 620 }, ...options });
    page.on('pageerror', error => { throw error; });
    await page.goto(`${server}/demo`);
    return page;
  }

  async function picture(page: Page, name: string): Promise<void> {
    if (!KEEPS_IMAGES) return;
    mkdirSync(join(ROOT, 'docs', 'images'), { recursive: true });
    await page.screenshot({ path: join(ROOT, 'docs', 'images', name) });
  }

  async function sessions(): Promise<number> {
    const metrics = await (await fetch(`${server}/metrics`)).text();
    return Number(/^uat_webrtc_sessions (\d+)$/m.exec(metrics)?.[1]);
  }

  it('shows what was said, while it is said and for good', async () => {
    const page = await open();
    // By keyboard alone.
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText('Listening: say something').waitFor();
    expect(await sessions()).toBe(1);
    await page.locator('#state.speech').waitFor();
    await page.locator('#words .open').first().waitFor({ state: 'attached' });
    await expect.poll(async () => Number(await page.getByRole('meter').getAttribute('aria-valuenow'))).toBeGreaterThan(0);
    // The first time it may have begun before the browser was heard. One word sounds otherwise after an 8 kHz recording was sent: "old-sposed".
    const whole = async (): Promise<string[]> => (await page.locator('#words p[data-final]').allInnerTexts()).map(line => line.toLowerCase().replaceAll(/[^a-z ]/g, ''));
    await expect.poll(async () => (await whole()).find(line => /^he was not an .*young man$/.test(line)), { timeout: 60_000 }).toBeDefined();
    await expect.poll(() => page.locator('#first').innerText()).toMatch(/^\d+ ms$/);
    expect(await page.locator('#last').innerText()).toMatch(/^\d+ ms$/);
    expect(await page.locator('#connection').innerText()).toBe('connected');
    await picture(page, 'voice-page.png');
    await page.emulateMedia({ colorScheme: 'dark' });
    await picture(page, 'voice-page-dark.png');
    await page.keyboard.press('Enter');
    await page.getByText('Not listening').waitFor();
    await expect.poll(sessions, { timeout: 20_000 }).toBe(0);
    await page.close();
  });

  it('says in words what is wrong', async () => {
    const page = await open();
    // As text: it runs in the page, and not here.
    await page.evaluate("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))");
    await page.getByRole('button', { name: 'Start' }).click();
    expect(await page.getByRole('alert').innerText()).toContain('allow it for this page');
    await page.close();
    const other = await open();
    await other.route('**/whip', route => route.fulfill({ status: 404, contentType: 'application/json', body: JSON.stringify({ error: { message: 'the model was not pulled' } }) }));
    await other.getByRole('button', { name: 'Start' }).click();
    await expect.poll(() => other.getByRole('alert').innerText()).toBe('the model was not pulled');
    expect(await other.getByRole('button').getAttribute('aria-pressed')).toBe('false');
    await other.close();
  });

  it('is left, and the session ends', async () => {
    const page = await open();
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByText('Listening: say something').waitFor();
    expect(await sessions()).toBe(1);
    await page.close();
    await expect.poll(sessions, { timeout: 20_000 }).toBe(0);
  });
});
