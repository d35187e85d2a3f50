import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

import { describe, expect, it } from 'vitest';

import { eachBackend } from '../support/backends.js';
import { ROOT } from '../support/built.js';

/** These tests are about whole processes, which load what is built. */
const INDEX = pathToFileURL(join(ROOT, 'dist', 'index.js')).href;

eachBackend(backend => {
  async function script(code: string): Promise<string> {
    const text = `
      import { VoiceProcessingService } from ${JSON.stringify(INDEX)};
      const service = new VoiceProcessingService();
      const silence = new Int16Array(16_000 * 30);
      ${code}`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', text], { env: { ...process.env, UAT_BACKEND: backend }, timeout: 50_000 });
    return stdout;
  }

  describe('a process', () => {
    it('ends by itself without close()', async () => {
      expect(await script(`await service.initialize(); console.log((await service.detectSpeech(silence)).segments.length);`)).toBe('0\n');
    }, 60_000);

    it('does not end while a recording is heard', async () => {
      expect(await script(`
        await service.initialize();
        service.processAudio(silence, { transcribe: false, onProgress: done => { if (done === 1) console.log('all'); } }).then(({ durationMs }) => console.log(durationMs));
      `)).toBe('all\n30000\n');
    }, 60_000);

    it('ends at once where it says so, whatever is heard', async () => {
      expect(await script(`
        await service.initialize();
        service.detectSpeech(new Int16Array(16_000 * 7_200)).catch(() => undefined);
        service.processAudio(silence, { transcribe: false, onProgress: () => { console.log('under way'); process.exit(0); } });
      `)).toBe('under way\n');
    }, 60_000);
  });

  it('a worker that is ended under a recording takes it with it', async () => {
    expect(await script(`
      const { Worker } = await import('node:worker_threads');
      const worker = new Worker(\`
        const { parentPort } = require('node:worker_threads');
        import(${JSON.stringify(INDEX)}).then(async ({ VoiceProcessingService }) => {
          const service = new VoiceProcessingService();
          await service.initialize();
          await service.processAudio(new Int16Array(16_000 * 7_200), { transcribe: false, onProgress: done => parentPort.postMessage(done) });
        });\`, { eval: true, execArgv: [] });
      await new Promise(resolve => worker.once('message', resolve));
      await worker.terminate();
      await service.initialize();
      console.log((await service.detectSpeech(silence)).segments.length);
    `)).toBe('0\n');
  }, 60_000);
});
