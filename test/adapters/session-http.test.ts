import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { RedisService, RedisServiceOptions } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { RedisServer } from '../support/redis-server.js';
import { PATIENT, services } from '../support/redis-services.js';
import { until } from '../support/until.js';
import { type App, Browser, expressApp, fastifyApp } from './session-apps.js';

/** A Redis that is away is noticed within `commandTimeoutMs`, 1 s by default; twice that for a busy machine. */
const NO_HANG_MS = 2_500;

/** A route that waits until it is told to go on. */
class Gate {
  readonly entered: Promise<void>;
  readonly #released: Promise<void>;
  #enter = (): void => undefined;
  release = (): void => undefined;

  constructor() {
    this.entered = new Promise(resolve => { this.#enter = resolve; });
    this.#released = new Promise(resolve => { this.release = resolve; });
  }

  readonly pass = async (): Promise<void> => {
    this.#enter();
    await this.#released;
  };
}

eachBackend(() => {
  const service = services();
  let redis: RedisServer;
  let over: RedisService;
  let app: App;
  let gate: Gate;
  // Kept on disk, so that the sessions are there again after a kill.
  beforeEach(async () => {
    redis = await RedisServer.start(['--appendonly', 'yes', '--appendfsync', 'always']);
    gate = new Gate();
  });
  afterEach(async () => {
    gate?.release();
    await app?.close();
    await redis?.stop();
  });

  describe.each([['express-session', expressApp], ['@fastify/session', fastifyApp]] as const)('%s', (_, start) => {
    const serve = async (options: RedisServiceOptions = PATIENT): Promise<Browser> => {
      over = await service({ ...options, url: redis.url });
      await until(() => over.status().mode === 'redis');
      app = await start(over, gate.pass);
      return new Browser(app);
    };

    it('logs in, remembers, and logs out', async () => {
      const ann = await serve();
      expect((await ann.ask('GET', '/me')).body).toEqual({ user: null, visits: 0 });
      expect((await ann.ask('POST', '/login/ann')).body).toEqual({ user: 'ann' });
      gate.release();
      await ann.ask('GET', '/slow');
      expect((await ann.ask('GET', '/me')).body).toEqual({ user: 'ann', visits: 1 });
      expect((await new Browser(app).ask('GET', '/me')).body).toEqual({ user: null, visits: 0 });
      expect((await ann.ask('POST', '/logout')).status).toBe(200);
      expect((await ann.ask('GET', '/me')).body).toEqual({ user: null, visits: 0 });
      expect(app.errors).toEqual([]);
    });

    it('does not log in again whoever logs out while a request of theirs is under way', async () => {
      const ann = await serve();
      await ann.ask('POST', '/login/ann');
      const slow = ann.ask('GET', '/slow');
      await gate.entered;
      await ann.ask('POST', '/logout');
      gate.release();
      expect(await slow).toEqual({ status: 200, body: { done: true } });
      expect((await ann.ask('GET', '/me')).body).toEqual({ user: null, visits: 0 });
      expect(app.errors).toEqual([]);
    });

    it('logs a user out everywhere', async () => {
      const [one, two, bob] = [await serve(), new Browser(app), new Browser(app)];
      for (const ann of [one, two]) await ann.ask('POST', '/login/ann');
      await bob.ask('POST', '/login/bob');
      expect(await over.sessions.revokeAll('ann')).toBe(2);
      for (const ann of [one, two]) expect((await ann.ask('GET', '/me')).body).toMatchObject({ user: null });
      expect((await bob.ask('GET', '/me')).body).toMatchObject({ user: 'bob' });
    });

    it.each([
      ['killed', () => redis.kill(), () => redis.restart()],
      ['frozen', () => redis.freeze(), () => redis.thaw()],
    ])('answers 503 while Redis is %s, and nobody is logged out', async (_name, leave, comeBack) => {
      const ann = await serve({ connectTimeoutMs: 1_000 });
      await ann.ask('POST', '/login/ann');
      await leave();
      for (let request = 0; request < 3; request += 1) {
        const before = Date.now();
        expect(await ann.ask('GET', '/me')).toEqual({ status: 503, body: { code: 'UAT_STORAGE' } });
        expect(Date.now() - before).toBeLessThan(NO_HANG_MS);
      }
      expect(await ann.ask('POST', '/logout'), 'a logout that did not happen is not said to have').toMatchObject({ status: 503 });
      await comeBack();
      await until(() => over.status().mode === 'redis', 10_000);
      expect((await ann.ask('GET', '/me')).body).toMatchObject({ user: 'ann' });
      expect(new Set(app.errors)).toEqual(new Set(['UAT_STORAGE']));
    });

    it('says so if Redis is killed between the read and the save', async () => {
      const ann = await serve({ connectTimeoutMs: 1_000 });
      await ann.ask('POST', '/login/ann');
      const before = Date.now();
      const slow = ann.ask('GET', '/slow');
      await gate.entered;
      await redis.kill();
      gate.release();
      // express-session sends the answer before it knows and tells the error handler; @fastify/session answers 503.
      await slow.catch(() => undefined);
      expect(Date.now() - before).toBeLessThan(NO_HANG_MS);
      await until(() => app.errors.length > 0);
      expect(app.errors).toEqual(['UAT_STORAGE']);
    });
  });
});
