import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { GatewayConfig } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { collect, completion, coordinators, providers, REQUEST, sendJson, sendStream, served, textOf } from '../support/chat.js';
import { errorOf } from '../support/errors.js';
import { until } from '../support/until.js';

eachBackend(() => {
  const coordinator = coordinators();
  const provider = providers();
  const saying = async (content: string): ReturnType<typeof provider> => await provider((_asked, response) => sendJson(response, completion(content)));

  describe('reload', () => {
    it('takes over another configuration', async () => {
      const [a, b] = [await saying('a'), await saying('b')];
      const one = coordinator(served('peak-ewma', a.url));
      expect((await one.route(REQUEST)).content).toBe('a');
      await one.reload(served('peak-ewma', b.url));
      expect((await one.route(REQUEST)).content).toBe('b');
      expect(one.stats()).toMatchObject({ requests: 2 });
    });

    it.each<[string, unknown, RegExp]>([
      ['an unknown key', { endpoints: [{ name: 'a', protocol: 'openai', base_ulr: 'x' }] }, /base_url/], ['no configuration', 5, /expected/], ['a file that does not exist', '/nowhere/uat.toml', /\/nowhere\/uat\.toml/],
    ])('refuses %s and keeps the old one', async (_, config, message) => {
      const one = coordinator(served('peak-ewma', (await saying('a')).url));
      const error = await errorOf(one.reload(config as GatewayConfig));
      expect(error).toMatchObject({ code: 'UAT_CONFIG', retryable: false });
      expect(error.message).toMatch(message);
      expect((await one.route(REQUEST)).content).toBe('a');
    });

    it('reads a path, or what UAT_CONFIG names', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'uat-test-'));
      const file = join(folder, 'uat.toml');
      const write = (url: string): void => writeFileSync(file, `[[endpoints]]\nname = "a"\nprotocol = "openai"\nbase_url = "${url}"\n[[models]]\nname = "m"\nendpoints = [{ endpoint = "a" }]\n`);
      try {
        write((await saying('a')).url);
        const one = coordinator(served('peak-ewma', (await saying('old')).url));
        await one.reload(file);
        expect((await one.route(REQUEST)).content).toBe('a');
        write((await saying('b')).url);
        process.env['UAT_CONFIG'] = file;
        await one.reload();
        expect((await one.route(REQUEST)).content).toBe('b');
      } finally {
        delete process.env['UAT_CONFIG'];
        rmSync(folder, { recursive: true });
      }
    });

    it('lets calls under way end where they began', async () => {
      let release = (): void => undefined;
      const gate = new Promise<void>(resolve => { release = resolve; });
      const a = await provider(async ({ body }, response) => {
        if (body['stream'] === true) return await sendStream(response, ['one', ' two', ' three']);
        await gate;
        sendJson(response, completion('a'));
      });
      const one = coordinator(served('peak-ewma', a.url));
      const whole = one.route(REQUEST);
      const stream = one.stream(REQUEST);
      const first = await stream.next();
      await until(() => a.asked.length === 2);
      await one.reload(served('peak-ewma', (await saying('b')).url));
      expect((await one.route(REQUEST)).content).toBe('b');
      release();
      expect((await whole).content).toBe('a');
      expect(textOf([first.value!, ...await collect(stream)])).toBe('one two three');
    });

    it('keeps what was learnt of endpoints whose configuration is the same, and forgets the others', async () => {
      const failing = await provider((_asked, response) => sendJson(response, { error: { message: 'x' } }, 401));
      const b = await saying('b');
      const one = coordinator(served('priority', failing.url, { url: b.url, max_in_flight: 3 }));
      await one.route(REQUEST);
      expect(one.health()).toMatchObject([{ endpoint: 'a', state: 'quarantined' }, { endpoint: 'b', state: 'healthy' }]);
      const known = one.health();
      await one.reload(served('round-robin', failing.url, { url: b.url, max_in_flight: 4 }));
      expect(one.health()).toMatchObject([{ endpoint: 'a', state: 'quarantined', history: known[0]!.history }, { endpoint: 'b', ewmaFirstTokenMs: 0 }]);
    });

    it('keeps the answers of the cache', async () => {
      const a = await saying('a');
      const one = coordinator(served('peak-ewma', a.url));
      const request = { ...REQUEST, temperature: 0 };
      await one.route(request);
      await one.reload(served('round-robin', a.url));
      expect((await one.route(request)).routing.cache).toBe('hit');
    });

    it('is refused after close()', async () => {
      const one = coordinator(served('peak-ewma', (await saying('a')).url));
      await one.close();
      expect(await errorOf(one.reload({}))).toMatchObject({ code: 'UAT_CLOSED' });
    });
  });
});
