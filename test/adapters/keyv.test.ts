import keyvTestSuite from '@keyv/test-suite';
import { Keyv, type KeyvStoreAdapter } from 'keyv';
import * as vitest from 'vitest';

import { KeyvRedisService } from '../../src/adapters/keyv.js';
import { RedisService } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { RedisServer } from '../support/redis-server.js';
import { PATIENT, services } from '../support/redis-services.js';
import { until } from '../support/until.js';

const { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } = vitest;

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis?.stop());

eachBackend(() => {
  describe.each(['embedded', 'redis'] as const)('@keyv/test-suite, %s', where => {
    let shared: RedisService;
    beforeAll(async () => {
      shared = new RedisService();
      await shared.initialize(where === 'embedded' ? undefined : { ...PATIENT, url: redis.url });
    });
    afterAll(() => shared?.close());

    let published = 0;
    beforeEach(({ task }) => {
      if (task.name !== 'has run whole') published += 1;
    });
    keyvTestSuite(vitest as never, Keyv as never, () => new KeyvRedisService(shared) as never);
    // It would be no proof if a new version of the suite ran nothing.
    it('has run whole', () => expect(published).toBe(38));
  });

  describe('a Keyv over Redis', () => {
    const service = services();
    let over: RedisService;
    beforeEach(async () => {
      await redis.cli('FLUSHALL');
      over = await service({ ...PATIENT, url: redis.url });
    });

    const keyv = (namespace?: string, options: object = {}): Keyv => new Keyv({ store: new KeyvRedisService(over), ...namespace === undefined ? {} : { namespace }, ...options });

    it('is taken by the types of Keyv', () => {
      const store: KeyvStoreAdapter = new KeyvRedisService(over);
      expect(new Keyv(store).store).toBe(store);
    });

    it('lets Redis end what has a time to live', async () => {
      await keyv('n').set('short', 'x', 60_000);
      await keyv('n').set('long', 'x');
      const left = Number(await redis.cli('PTTL', 'keyv:n:n:short'));
      expect(left).toBeGreaterThan(50_000);
      expect(left).toBeLessThanOrEqual(60_000);
      expect(await redis.cli('PTTL', 'keyv:n:n:long')).toBe('-1');
    });

    it.each([['ttl 0', 0], ['an infinite ttl', Infinity]])('takes %s for no expiry', async (_, ttl) => {
      const store = new KeyvRedisService(over);
      expect(await store.set('a', 'x', ttl)).toBe(true);
      expect(await over.ttl('keyv::a')).toBe(null);
      expect(await store.get('a')).toBe('x');
    });

    it('replaces a value by one that is over already with nothing', async () => {
      const store = new KeyvRedisService(over);
      await store.set('a', 'x');
      expect(await store.set('a', 'y', -1)).toBe(true);
      expect(await store.get('a')).toBe(undefined);
    });

    it('clears nothing but its own namespace, whatever that looks like', async () => {
      const others = ['a:b', 'a%3Ab', 'ab', undefined].map(name => keyv(name));
      for (const other of others) await other.set('k', 'kept');
      await over.set('keyv', 'kept');
      await over.set('a:k', 'kept');
      const mine = keyv('a');
      await mine.set('k', 'gone');
      await mine.clear();
      expect(await mine.get('k')).toBe(undefined);
      for (const other of others) expect(await other.get('k'), String(other.namespace)).toBe('kept');
      expect(await over.mget(['keyv', 'a:k'])).toEqual(['kept', 'kept']);
      await keyv().clear();
      expect(await others[0]!.get('k'), 'a Keyv without a namespace clears only what has none').toBe('kept');
      expect(await over.get('keyv')).toBe('kept');
    });

    it('is separated by its namespace when Keyv puts none before the keys', async () => {
      const [one, two] = [keyv('one', { useKeyPrefix: false }), keyv('two', { useKeyPrefix: false })];
      await one.set('k', 1);
      await two.set('k', 2);
      expect([await one.get('k'), await two.get('k')]).toEqual([1, 2]);
      await one.clear();
      expect([await one.get('k'), await two.get('k')]).toEqual([undefined, 2]);
    });

    it('keeps objects as they are when Keyv does not serialise', async () => {
      const store = keyv('raw', { serialize: undefined, deserialize: undefined });
      await store.set('k', { list: [1, { two: 'ü' }] });
      expect(await store.get('k')).toEqual({ list: [1, { two: 'ü' }] });
    });

    it('tells of a closed service, which Keyv would pass off as a miss', async () => {
      const store = keyv('n');
      const errors: unknown[] = [];
      store.on('error', (error: unknown) => errors.push(error));
      await over.close();
      expect(await store.get('k')).toBe(undefined);
      expect(await store.set('k', 'x')).toBe(false);
      expect(errors).toMatchObject([{ code: 'UAT_CLOSED' }, { code: 'UAT_CLOSED' }]);
    });
  });

  describe('a Keyv whose Redis is killed', () => {
    const service = services();
    let mortal: RedisServer;
    beforeEach(async () => {
      mortal = await RedisServer.start();
    });
    afterEach(() => mortal?.stop());

    it('neither hangs nor fails, and has its values from Redis again when that is back', async () => {
      const over = await service({ url: mortal.url });
      await until(() => over.status().mode === 'redis');
      const errors: unknown[] = [];
      const keyv = new Keyv({ store: new KeyvRedisService(over), namespace: 'n' });
      keyv.on('error', (error: unknown) => errors.push(error));
      await mortal.kill();
      const before = Date.now();
      expect(await keyv.get('unknown')).toBe(undefined);
      expect(await keyv.set('k', 'meanwhile')).toBe(true);
      expect(await keyv.get('k')).toBe('meanwhile');
      expect(Date.now() - before).toBeLessThan(2_500);
      await mortal.restart();
      await until(() => over.status().mode === 'redis', 10_000);
      expect(await keyv.set('k', 'after')).toBe(true);
      expect(await mortal.cli('GET', 'keyv:n:n:k')).toContain('after');
      expect(errors).toEqual([]);
    });
  });
});
