import { createHash } from 'node:crypto';

import session, { Cookie, type SessionData } from 'express-session';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { ExpressSessionStore, type ExpressSessionStoreOptions } from '../../src/adapters/express-session.js';
import type { RedisService } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf, thrownBy } from '../support/errors.js';
import { RedisServer } from '../support/redis-server.js';
import { PATIENT, services } from '../support/redis-services.js';
import { publishedLifecycleTest, rawClient } from './connect-redis-lifecycle.js';

declare module 'express-session' {
  interface SessionData {
    user?: string;
    n?: number;
  }
}

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis?.stop());

const keyOf = (id: string): string => `~uat:session:${createHash('sha256').update(id).digest('hex')}`;
const data = (more: object = {}): SessionData => ({ cookie: { originalMaxAge: null }, ...more }) as SessionData;
const ending = (inMs: number): SessionData => data({ cookie: { originalMaxAge: inMs, expires: new Date(Date.now() + inMs) } });

eachBackend(() => {
  const service = services();
  let over: RedisService;
  beforeEach(async () => {
    await redis.cli('FLUSHALL');
    over = await service({ ...PATIENT, url: redis.url });
  });
  const store = (options?: ExpressSessionStoreOptions): ExpressSessionStore => new ExpressSessionStore(over, options);
  const leftMs = async (id: string): Promise<number> => Number(await redis.cli('PTTL', keyOf(id)));

  it.each<[string, () => Promise<RedisService>, (id: string) => Promise<number>]>([
    ['Redis', async () => over, async id => Number(await redis.cli('TTL', keyOf(id)))],
    ['this process', async () => over = await service(), async id => ((await over.sessions.get(id))!.expiresAt - Date.now()) / 1000],
  ])('passes the lifecycle test of connect-redis in %s', { timeout: 30_000 }, async (_, open, ttl) => {
    await publishedLifecycleTest()(new ExpressSessionStore(await open(), { listAs: 'express' }), rawClient(ttl));
  });

  it('is a store of express-session', () => {
    expect(store()).toBeInstanceOf(session.Store);
    session({ store: store(), secret: 'x', resave: false, saveUninitialized: false });
  });

  describe('the time of a session', () => {
    it.each<[string, () => SessionData, ExpressSessionStoreOptions, number]>([
      ['the end of its cookie', () => ending(60_000), { ttl: 10 }, 60_000],
      ['the end of its cookie as JSON has it', () => data({ cookie: { originalMaxAge: null, expires: new Date(Date.now() + 60_000).toISOString() } }), {}, 60_000],
      ['maxAge, where there is no end', () => data({ cookie: { originalMaxAge: 60_000, maxAge: 60_000 } }), {}, 60_000],
      ['a day, where the cookie says nothing', () => data(), {}, 86_400_000],
      ['a day, where the cookie ends with the browser', () => data({ cookie: { originalMaxAge: null, expires: null } }), {}, 86_400_000],
      ['the option, where the cookie says nothing', () => data(), { ttl: 10 }, 10_000],
      ['what a function says, whatever the cookie says', () => ({ ...ending(60_000), n: 20 }), { ttl: one => one.n! }, 20_000],
    ])('is %s', async (_, made, options, expected) => {
      await store(options).set('id', made());
      const left = await leftMs('id');
      expect(left).toBeLessThanOrEqual(expected);
      expect(left).toBeGreaterThan(expected - 5_000);
    });

    it('begins anew with touch, which leaves the data', async () => {
      await store().set('id', { ...ending(10_000), n: 1 });
      await store().touch('id', { ...ending(60_000), n: 2 });
      expect(await leftMs('id')).toBeGreaterThan(50_000);
      expect((await store().get('id'))?.n).toBe(1);
    });

    it('stays as it is with disableTouch', async () => {
      await store().set('id', ending(10_000));
      await store({ disableTouch: true }).touch('id', ending(60_000));
      expect(await leftMs('id')).toBeLessThanOrEqual(10_000);
    });

    it.each<[string, (one: ExpressSessionStore) => Promise<void>]>([
      ['a save', one => one.set('id', ending(-1))],
      ['a touch', one => one.touch('id', ending(-1))],
    ])('is over with %s of a cookie that has ended', async (_, end) => {
      await store().set('id', ending(10_000));
      await end(store());
      expect(await store().get('id')).toBe(null);
    });

    it('must be a time', async () => {
      const { details } = await errorOf(store({ ttl: () => Number.NaN }).set('id', data()));
      expect(details['field']).toBe('options.ttl');
    });
  });

  it('gives back what was saved, and null for what was not', async () => {
    const cookie = new Cookie();
    cookie.maxAge = 60_000;
    const one = { cookie, user: 'ann', list: [1, { two: 'ü' }] } as unknown as SessionData;
    await store().set('id', one);
    expect(await store().get('id')).toEqual(JSON.parse(JSON.stringify(one)));
    expect(await store().get('other')).toBe(null);
  });

  it('calls back as Node does, and not before the call has returned', async () => {
    const calls: unknown[] = [];
    const called = (name: string, start: (callback: (...args: unknown[]) => void) => void): Promise<void> => new Promise(resolve => {
      start((...args) => {
        calls.push([name, ...args]);
        resolve();
      });
      calls.push(`${name} returned`);
    });
    const one = store();
    await called('set', callback => void one.set('id', data({ n: 1 }), callback));
    await called('get', callback => void one.get('id', callback));
    await called('destroy', callback => void one.destroy('id', callback));
    expect(calls).toEqual(['set returned', ['set', null, undefined], 'get returned', ['get', null, data({ n: 1 })], 'destroy returned', ['destroy', null, undefined]]);
  });

  it('does not end the process when it fails and nobody looks, as with req.session.destroy()', async () => {
    const one = store();
    await over.close();
    const seen: unknown[] = [];
    const see = (reason: unknown): number => seen.push(reason);
    process.on('unhandledRejection', see);
    void one.destroy('id');
    await new Promise(resolve => setTimeout(resolve, 20));
    process.off('unhandledRejection', see);
    expect(seen).toEqual([]);
  });

  describe('a session that was destroyed', () => {
    it('is not brought back by a late save or touch, which are no errors', async () => {
      await store().set('id', data({ user: 'ann' }));
      await store().destroy('id');
      await store().set('id', data({ user: 'ann' }));
      await store().touch('id', data());
      expect(await store().get('id')).toBe(null);
      expect(await redis.cli('HGETALL', keyOf('id'))).toBe('x\n1');
    });

    it('is a conflict for those who want to know', async () => {
      await store().destroy('id');
      expect((await errorOf(store({ lateSave: 'error' }).set('id', data()))).code).toBe('UAT_CONFLICT');
    });

    it('stays so while many saves run against the logout', async () => {
      await store().set('id', data());
      const saves = Array.from({ length: 50 }, (_, n) => store().set('id', data({ n })));
      await store().destroy('id');
      await Promise.all([...saves, store().set('id', data())]);
      expect(await store().get('id')).toBe(null);
    });
  });

  it('takes an id of the caller’s own', async () => {
    await store().set('my own id', data({ n: 1 }));
    expect((await store().get('my own id'))?.n).toBe(1);
  });

  it('ends all sessions of a user through revokeAll, if it knows whose they are', async () => {
    const one = store({ userId: ({ user }) => user });
    await one.set('a', data({ user: 'ann' }));
    await one.set('b', data({ user: 'ann' }));
    await one.set('c', data());
    expect(await over.sessions.revokeAll('ann')).toBe(2);
    await one.set('a', data({ user: 'ann' }));
    expect(await Promise.all(['a', 'b', 'c'].map(async id => await one.get(id) !== null))).toEqual([false, false, true]);
  });

  it('stores neither the id nor anything to guess it from', async () => {
    await store({ listAs: 'express' }).set('a-secret-id', data({ n: 1 }));
    const keys = (await redis.cli('KEYS', '*')).split('\n').sort();
    expect(keys).toEqual([keyOf('a-secret-id'), '~uat:user:express']);
    expect(await redis.cli('HGETALL', keyOf('a-secret-id'))).not.toContain('a-secret-id');
  });

  it.each(['all', 'length', 'clear'] as const)('says of %s that it needs a list', async method => {
    expect((await errorOf(store()[method]())).code).toBe('UAT_UNSUPPORTED');
  });

  it.each<[object, string]>([
    [{ ttl: 0 }, 'options.ttl'],
    [{ ttl: '60' }, 'options.ttl'],
    [{ lateSave: 'no' }, 'options.lateSave'],
    [{ userId: 'ann' }, 'options.userId'],
    [{ listAs: '' }, 'options.listAs'],
    [{ listAs: 'x', userId: () => 'y' }, 'options.listAs'],
  ])('refuses %o by name', (options, field) => {
    expect(thrownBy(() => store(options as ExpressSessionStoreOptions))).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field } });
  });
});
