import { existsSync } from 'node:fs';
import process from 'node:process';

import { type Browser, chromium } from 'playwright-core';

/** Debian's browsers, with a window or without; `UAT_TEST_CHROMIUM` names another. */
const PLACES = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium', '/usr/bin/chromium-browser'];

/** Where a Chromium is; `undefined`, and a line that nobody overlooks, where there is none. */
export function findChromium(): string | undefined {
  const found = [process.env['UAT_TEST_CHROMIUM'] ?? '', ...PLACES].find(path => path !== '' && existsSync(path));
  if (found === undefined) process.stderr.write('SKIPPED, NOT PASSED: there is no Chromium; `apt-get install chromium-headless-shell`, or name one in UAT_TEST_CHROMIUM\n');
  return found;
}

/** A browser whose microphone hears a WAV file again and again. */
export async function speakingBrowser(executablePath: string, wav: string): Promise<Browser> {
  // Its sandbox needs what containers and root do not have.
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const microphone = ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', `--use-file-for-fake-audio-capture=${wav}`];
  return await chromium.launch({ executablePath, args: [...sandbox, ...microphone] });
}
