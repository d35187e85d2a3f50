import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { VERSION } from '../../src/version.js';
import { eachBackend } from '../support/backends.js';
import { ROOT } from '../support/built.js';
import { FakeProvider } from '../support/fake-provider.js';
import { RedisServer } from '../support/redis-server.js';

const INDEX = pathToFileURL(join(ROOT, 'dist', 'index.js')).href;

let provider: FakeProvider;
beforeAll(async () => {
  provider = await FakeProvider.start();
  // These tests are about whole processes, which load what is built.
  await promisify(execFile)('npx', ['tsc', '-p', 'tsconfig.build.json'], { cwd: ROOT });
}, 60_000);
afterAll(() => provider?.stop());

describe('versions', () => {
  it('are one and the same in every part', () => {
    const json = (path: string): { version: string; optionalDependencies?: Record<string, string> } => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
    const root = json('package.json');
    expect([root.version, json('npm/linux-x64-gnu/package.json').version, ...Object.values(root.optionalDependencies!)]).toEqual([VERSION, VERSION, VERSION]);
    expect(readFileSync(join(ROOT, 'Cargo.toml'), 'utf8')).toContain(`\nversion = "${VERSION}"\n`);
  });
});

eachBackend(backend => {
  /** Runs a script with a coordinator for the fake provider; what it prints. A process that does not end fails. */
  async function script(code: string): Promise<string> {
    const text = `
      import { FastLLMCoordinator } from ${JSON.stringify(INDEX)};
      const config = { endpoints: [{ name: 'a', protocol: 'openai', base_url: '${provider.baseUrl}' }], models: [{ name: 'm', endpoints: [{ endpoint: 'a' }] }] };
      const request = { model: 'm', messages: [{ role: 'user', content: 'x' }] };
      const coordinator = new FastLLMCoordinator(config);
      ${code}`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', text], { env: { ...process.env, UAT_BACKEND: backend }, timeout: 10_000 });
    return stdout;
  }

  describe('a process ends by itself without close()', () => {
    it('when it only made a coordinator', async () => {
      await provider.reset();
      expect(await script(`console.log('made');`)).toBe('made\n');
    });

    it('after an answer, whose connection is kept for the next', async () => {
      await provider.reset();
      expect(await script(`console.log((await coordinator.route(request)).content.length > 0);`)).toBe('true\n');
    });

    it('after the response cache was asked, in the process or in Redis', async () => {
      await provider.reset();
      const redis = await RedisServer.start();
      try {
        const code = `for (const made of [coordinator, new FastLLMCoordinator({ ...config, redis: { url: '${redis.url}' } })]) console.log((await made.route({ ...request, temperature: 0 })).routing.cache);`;
        expect(await script(code)).toBe('miss\nmiss\n');
      } finally {
        await redis.stop();
      }
    });

    it('after it left a stream', async () => {
      await provider.reset({ behaviour: 'stall_after', chunks: 3 });
      expect(await script(`for await (const _ of coordinator.stream(request)) break; console.log('left');`)).toBe('left\n');
      await provider.disconnects(1, 1_000);
    });

    it('after a failure', async () => {
      await provider.reset({ behaviour: 'status', code: 500 });
      expect(await script(`console.log((await coordinator.route(request).catch(error => error)).code);`)).toBe('UAT_UPSTREAM\n');
    });

    it('but not while a call is under way', async () => {
      await provider.reset({ behaviour: 'answer', first_token_delay_ms: 200 });
      expect(await script(`coordinator.route(request).then(answer => console.log(answer.content.length > 0));`)).toBe('true\n');
    });
  });

  it('a worker that is ended under a stream takes its connection with it', async () => {
    await provider.reset({ behaviour: 'stall_after', chunks: 3 });
    await script(`
      const { Worker } = await import('node:worker_threads');
      const worker = new Worker(\`
        const { parentPort } = require('node:worker_threads');
        import(${JSON.stringify(INDEX)}).then(async ({ FastLLMCoordinator }) => {
          const coordinator = new FastLLMCoordinator(\${JSON.stringify(config)});
          for await (const _ of coordinator.stream(\${JSON.stringify(request)})) parentPort.postMessage('content');
        });\`, { eval: true, execArgv: [] });
      await new Promise(resolve => worker.once('message', resolve));
      await worker.terminate();
      // The process lives on until the provider has seen the worker's connection go.
      const seen = await fetch('${provider.baseUrl}/__disconnects?count=1&timeout_ms=3000');
      if (!seen.ok) throw new Error(await seen.text());
    `);
  });

  it('several coordinators work side by side and are closed one by one', async () => {
    await provider.reset();
    expect(await script(`
      const others = Array.from({ length: 20 }, () => new FastLLMCoordinator(config));
      const answers = await Promise.all(others.map(other => other.route(request)));
      await Promise.all(others.slice(1).map(other => other.close()));
      const last = await others[0].route(request);
      console.log(new Set([...answers, last].map(answer => answer.content)).size);
    `)).toBe('1\n');
  });
});
