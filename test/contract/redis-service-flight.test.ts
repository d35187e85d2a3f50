import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { RedisService } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf } from '../support/errors.js';
import { RedisServer } from '../support/redis-server.js';
import { PATIENT, serviceAt, services } from '../support/redis-services.js';
import { until } from '../support/until.js';

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis?.stop());

/** Counts how often it was asked to compute. */
function counting<T>(compute: (count: number) => Promise<T> | T): (() => Promise<T>) & { count: number } {
  const counted = Object.assign(async () => await compute(++counted.count), { count: 0 });
  return counted;
}

eachBackend(() => {
  const service = services();

  describe.each(['embedded', 'redis'] as const)('%s', where => {
    const make = async (): Promise<RedisService> => await serviceAt(where, service, redis);

    it('computes once for any number of concurrent callers, then never while it is fresh', async () => {
      const one = await make();
      const compute = counting(async () => { await sleep(50); return { x: 1 }; });
      const values = await Promise.all(Array.from({ length: 1_000 }, () => one.getOrCompute('k', 60, compute)));
      expect(values.every(value => value.x === 1)).toBe(true);
      expect(await one.getOrCompute('k', 60, compute)).toEqual({ x: 1 });
      expect(compute.count).toBe(1);
      expect(await one.get('k')).toEqual({ x: 1 });
    });

    it('lets values expire up to 5 % early, never late', async () => {
      const one = await make();
      for (let index = 0; index < 20; index += 1) {
        await one.getOrCompute(`k${index}`, 1_000, () => index);
        const left = await one.ttl(`k${index}`);
        expect(left).toBeGreaterThan(949);
        expect(left).toBeLessThanOrEqual(1_000);
      }
    });

    it('keeps null like any other value', async () => {
      const one = await make();
      const compute = counting(() => null);
      expect([await one.getOrCompute('k', 60, compute), await one.getOrCompute('k', 60, compute)]).toEqual([null, null]);
      expect(compute.count).toBe(1);
    });

    it('gives an error to all that wait, keeps none, and tries again', async () => {
      const one = await make();
      const failure = new Error('no weather today');
      const compute = counting(async count => { await sleep(30); if (count === 1) throw failure; return 'sun'; });
      const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => one.getOrCompute('k', 60, compute)));
      for (const outcome of outcomes) expect(outcome).toEqual({ status: 'rejected', reason: failure });
      expect(compute.count).toBe(1);
      expect(await one.getOrCompute('k', 60, compute)).toBe('sun');
      expect(compute.count).toBe(2);
    });

    it('refuses what cannot be stored, and does not hold the key up', async () => {
      const one = await make();
      const start = Date.now();
      expect(await errorOf(one.getOrCompute('k', 60, () => undefined as never))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
      expect(await errorOf(one.getOrCompute('k', 60, () => ({ a: 1n })))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
      expect(await one.getOrCompute('k', 60, () => 1)).toBe(1);
      expect(Date.now() - start).toBeLessThan(2_000);
    });

    it('answers the old value at once while one caller refreshes it', async () => {
      const one = await make();
      let release = (): void => undefined;
      const compute = counting(async count => {
        if (count > 1) await new Promise<void>(resolve => { release = resolve; });
        return `value ${count}`;
      });
      const get = (): Promise<string> => one.getOrCompute('k', 0.2, compute, { staleFor: 60 });
      expect(await get()).toBe('value 1');
      expect(await get()).toBe('value 1');
      expect(compute.count).toBe(1);
      await sleep(220);
      expect(await Promise.all([get(), get(), get()])).toEqual(['value 1', 'value 1', 'value 1']);
      expect(await get()).toBe('value 1');
      await until(() => compute.count === 2);
      release();
      await until(async () => await one.get('k') === 'value 2');
    });

    it('a refresh that fails is nobody’s error; the next caller tries again', async () => {
      const one = await make();
      const compute = counting(count => { if (count === 2) throw new Error('not now'); return count; });
      const get = (): Promise<number> => one.getOrCompute('k', 0.1, compute, { staleFor: 60 });
      expect(await get()).toBe(1);
      await sleep(120);
      expect(await get()).toBe(1);
      await until(() => compute.count === 2);
      await until(async () => { await get(); return compute.count === 3; });
      await until(async () => await one.get('k') === 3);
      expect(one.stats().failedRefreshes).toBe(1);
    });
  });

  describe('across processes', () => {
    beforeEach(() => redis.cli('FLUSHALL'));
    const two = (): Promise<RedisService[]> => Promise.all([service({ ...PATIENT, url: redis.url }), service({ ...PATIENT, url: redis.url })]);

    it('one computes and the others wait for its value', async () => {
      const all = await Promise.all(Array.from({ length: 5 }, () => service({ ...PATIENT, url: redis.url })));
      const compute = counting(async () => { await sleep(150); return 'once'; });
      const values = await Promise.all(all.flatMap(one => Array.from({ length: 20 }, () => one.getOrCompute('k', 60, compute))));
      expect(new Set(values)).toEqual(new Set(['once']));
      expect(compute.count).toBe(1);
      expect(await redis.cli('EXISTS', '~uat:lock:k')).toBe('0');
    });

    it('the others go on with their own computation where the leader’s fails', async () => {
      const [one, other] = await two();
      const failing = one!.getOrCompute('k', 60, async () => { await sleep(100); throw new Error('leader'); }).catch((error: Error) => error.message);
      await until(async () => await redis.cli('EXISTS', '~uat:lock:k') === '1');
      expect(await other!.getOrCompute('k', 60, () => 'follower')).toBe('follower');
      expect(await failing).toBe('leader');
    });

    it('a leader that died is missed for as long as its lock lives', async () => {
      const one = await service({ ...PATIENT, url: redis.url });
      await redis.cli('SET', '~uat:lock:k', 'somebody', 'PX', '400');
      const start = Date.now();
      expect(await one.getOrCompute('k', 60, () => 'after')).toBe('after');
      expect(Date.now() - start).toBeGreaterThanOrEqual(300);
      expect(Date.now() - start).toBeLessThan(2_000);
    });

    it('a leader keeps its lock while it computes for longer than the lock lives', async () => {
      const [one, other] = await two();
      const slow = counting(async () => { await sleep(6_000); return 'slow'; });
      const leading = one!.getOrCompute('k', 60, slow);
      await until(async () => await redis.cli('EXISTS', '~uat:lock:k') === '1');
      const quick = counting(() => 'quick');
      expect(await other!.getOrCompute('k', 60, quick)).toBe('slow');
      expect(await leading).toBe('slow');
      expect([slow.count, quick.count]).toEqual([1, 0]);
    });

    it('a leader that lost its lock leaves the lock of the next one', async () => {
      const one = await service({ ...PATIENT, url: redis.url });
      let release = (): void => undefined;
      const leading = one.getOrCompute('k', 60, async () => { await new Promise<void>(resolve => { release = resolve; }); return 1; });
      await until(async () => await redis.cli('EXISTS', '~uat:lock:k') === '1');
      await redis.cli('SET', '~uat:lock:k', 'another', 'PX', '60000');
      release();
      expect(await leading).toBe(1);
      expect(await redis.cli('GET', '~uat:lock:k')).toBe('another');
    });

    it('a stale value is refreshed by one of them', async () => {
      const [one, other] = await two();
      let count = 0;
      const get = (by: RedisService): Promise<number> => by.getOrCompute('k', 0.2, async () => { count += 1; const mine = count; if (mine > 1) await sleep(200); return mine; }, { staleFor: 60 });
      expect(await get(one!)).toBe(1);
      await sleep(220);
      expect(await Promise.all([get(one!), get(other!), get(one!), get(other!)])).toEqual([1, 1, 1, 1]);
      await until(async () => await one!.get('k') === 2);
      expect(count).toBe(2);
    });

    it('without Redis everybody computes, and nobody waits', async () => {
      const server = await RedisServer.start();
      try {
        const one = await service({ url: server.url });
        await server.freeze();
        const compute = counting(async () => { await sleep(20); return 'alone'; });
        const values = await Promise.all(Array.from({ length: 10 }, () => one.getOrCompute('k', 60, compute)));
        expect(new Set(values)).toEqual(new Set(['alone']));
        expect(compute.count).toBe(1);
        expect(await one.getOrCompute('k', 60, compute), 'kept in this process meanwhile').toBe('alone');
        expect(compute.count).toBe(1);
        const leading = one.getOrCompute('other', 60, async () => { await sleep(50); return 1; });
        expect(await leading).toBe(1);
      } finally {
        await server.stop();
      }
    });

    it('a Redis that goes away while the leader computes costs nobody the value', async () => {
      const server = await RedisServer.start();
      try {
        const one = await service({ url: server.url });
        const value = one.getOrCompute('k', 60, async () => { await server.kill(); return 'computed'; });
        expect(await value).toBe('computed');
      } finally {
        await server.stop();
      }
    });
  });
});
