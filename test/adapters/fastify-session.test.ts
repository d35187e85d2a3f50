import { createHash } from 'node:crypto';

import cookiePlugin from '@fastify/cookie';
import sessionPlugin, { type SessionStore } from '@fastify/session';
import fastify, { type FastifyInstance, type Session } from 'fastify';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { FastifySessionStore, type FastifySessionStoreOptions } from '../../src/adapters/fastify-session.js';
import type { RedisService } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf, thrownBy } from '../support/errors.js';
import { RedisServer } from '../support/redis-server.js';
import { PATIENT, services } from '../support/redis-services.js';

/**
 * @fastify/session publishes no suite for stores; its own `test/store.test.js` says how a store's errors must end, and
 * the tests below ask the same of ours, over HTTP, in our words.
 */

declare module 'fastify' {
  interface Session {
    user?: string;
    n?: number;
  }
}

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis?.stop());

const SECRET = 'a secret of more than thirty-two characters';
const keyOf = (id: string): string => `~uat:session:${createHash('sha256').update(id).digest('hex')}`;
const data = (more: object = {}): Session => ({ cookie: { originalMaxAge: null }, ...more });

eachBackend(() => {
  const service = services();
  let over: RedisService;
  let app: FastifyInstance | undefined;
  beforeEach(async () => {
    await redis.cli('FLUSHALL');
    over = await service({ ...PATIENT, url: redis.url });
  });
  afterEach(async () => {
    await app?.close();
    app = undefined;
  });
  const store = (options?: FastifySessionStoreOptions): FastifySessionStore => new FastifySessionStore(over, options);
  const leftMs = async (id: string): Promise<number> => Number(await redis.cli('PTTL', keyOf(id)));

  /** An application whose one route counts the visits of a session and answers with the id. */
  const serve = async (options: object = {}, used = store()): Promise<FastifyInstance> => {
    app = fastify();
    await app.register(cookiePlugin);
    await app.register(sessionPlugin, { store: used, secret: SECRET, cookie: { secure: false, maxAge: 60_000 }, ...options });
    app.get('/', async request => {
      request.session.n = (request.session.n ?? 0) + 1;
      return { id: request.session.sessionId, n: request.session.n };
    });
    return app;
  };
  const visit = async (one: FastifyInstance, cookie = ''): Promise<{ status: number; body: { id: string; n: number }; cookie: string }> => {
    const answer = await one.inject({ method: 'GET', url: '/', headers: cookie === '' ? {} : { cookie } });
    const [set] = answer.cookies;
    return { status: answer.statusCode, body: answer.json(), cookie: set === undefined ? '' : `${set.name}=${encodeURIComponent(set.value)}` };
  };

  it('is a store by the types of @fastify/session', () => {
    const one: SessionStore = store();
    expect(one).toBeDefined();
  });

  it('gives back what was saved, null for what was not, and takes callbacks', async () => {
    await store().set('my own id', data({ n: 1, list: [{ two: 'ü' }] }));
    expect(await store().get('my own id')).toEqual(data({ n: 1, list: [{ two: 'ü' }] }));
    expect(await store().get('other')).toBe(null);
    const read = await new Promise<unknown[]>(resolve => void store().get('my own id', (...args) => resolve(args)));
    expect(read).toMatchObject([null, { n: 1 }]);
  });

  it('is not brought back by a late save once it was destroyed', async () => {
    await store().set('id', data({ user: 'ann' }));
    await store().destroy('id');
    await store().set('id', data({ user: 'ann' }));
    expect(await store().get('id')).toBe(null);
    expect((await errorOf(store({ lateSave: 'error' }).set('id', data()))).code).toBe('UAT_CONFLICT');
  });

  it('refuses a bad option by name', () => {
    expect(thrownBy(() => store({ ttl: -1 })).details['field']).toBe('options.ttl');
  });

  describe('in an application', () => {
    it('keeps a session from one request to the next, for as long as its cookie', async () => {
      const one = await serve();
      const first = await visit(one);
      const second = await visit(one, first.cookie);
      expect(second.body).toEqual({ id: first.body.id, n: 2 });
      expect(await leftMs(first.body.id)).toBeGreaterThan(50_000);
      expect(await leftMs(first.body.id)).toBeLessThanOrEqual(60_000);
    });

    it('keeps a session whose cookie ends with the browser for the time of the option', async () => {
      const { body } = await visit(await serve({ cookie: { secure: false } }, store({ ttl: 100 })));
      expect(await leftMs(body.id)).toBeGreaterThan(90_000);
      expect(await leftMs(body.id)).toBeLessThanOrEqual(100_000);
    });

    it('takes the ids of the application', async () => {
      const { body } = await visit(await serve({ idGenerator: () => 'id-of-the-application' }));
      expect(body.id).toBe('id-of-the-application');
      expect((await over.sessions.get('id-of-the-application'))?.data).toMatchObject({ n: 1 });
    });

    it('begins a new session where the old one is gone', async () => {
      const one = await serve();
      const first = await visit(one);
      await over.sessions.destroy(first.body.id);
      const second = await visit(one, first.cookie);
      expect(second.status).toBe(200);
      expect(second.body.n).toBe(1);
      expect(second.body.id).not.toBe(first.body.id);
    });

    it('answers an error, and neither a new session nor a page, when the store fails', async () => {
      const one = await serve();
      const first = await visit(one);
      await over.close();
      expect(await visit(one, first.cookie), 'of a read').toMatchObject({ status: 500, body: { code: 'UAT_CLOSED' } });
      expect(await visit(one), 'of a save').toMatchObject({ status: 500, body: { code: 'UAT_CLOSED' }, cookie: '' });
    });
  });
});
