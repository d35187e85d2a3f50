import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { RedisService, type RedisServiceOptions } from '../../src/services/redis-service-rust.js';
import { RedisServer } from '../support/redis-server.js';
import { until } from '../support/until.js';

/** The near tier of the native backend on a real Redis; the tier by itself is tested in `test/near`. */
describe('the near tier', () => {
  let redis: RedisServer;
  const open: RedisService[] = [];

  beforeAll(async () => {
    process.env['UAT_BACKEND'] = 'native';
    redis = await RedisServer.start();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map(async one => await one.close()));
  });
  afterAll(async () => {
    await redis.stop();
    delete process.env['UAT_BACKEND'];
  });

  const make = async (options: RedisServiceOptions = {}): Promise<RedisService> => {
    const one = new RedisService();
    await one.initialize({ url: redis.url, readBudgetMs: 2_000, ...options });
    open.push(one);
    return one;
  };

  it('answers the second read', async () => {
    const one = await make();
    await one.set('n:a', 'v', 60);
    for (let read = 0; read < 5; read += 1) expect(await one.get('n:a')).toBe('v');
    expect(one.stats()).toMatchObject({ hits: 5, nearHits: 4, misses: 0 });
  });

  it('sees an own write at once, also one that nobody has waited for yet', async () => {
    const one = await make();
    for (let round = 0; round < 200; round += 1) {
      const before = one.get('n:own');
      const written = one.set('n:own', round);
      expect(await one.get('n:own')).toBe(round);
      await Promise.all([before, written]);
      expect(await one.get('n:own')).toBe(round);
    }
  });

  it.each([
    ['SET', 'n:others', 'theirs'], ['DEL', 'n:others'], ['APPEND', 'n:others', '!'], ['FLUSHALL'], ['PEXPIRE', 'n:others', '1'],
  ])('hears of another client\'s %s', async (...command) => {
    const one = await make();
    await one.set('n:others', 'ours');
    expect(await one.get('n:others')).toBe('ours');
    expect(await one.get('n:others')).toBe('ours');
    await redis.cli(...command);
    await until(async () => await one.get('n:others') !== 'ours');
  });

  it('hears of what other services, scripts and tags change', async () => {
    const [one, other] = [await make({ keyPrefix: 'p:' }), await make({ keyPrefix: 'p:' })];
    await one.set('n:t', 'v', 60, { tags: ['group'] });
    expect(await other.get('n:t')).toBe('v');
    expect(await other.get('n:t')).toBe('v');
    await one.invalidateTag('group');
    await until(async () => await other.get('n:t') === null);
    await one.set('n:n', 1);
    expect(await other.get('n:n')).toBe(1);
    await one.command('EVAL', "return redis.call('INCR', KEYS[1])", 1, 'p:n:n');
    await until(async () => await other.get('n:n') === 2);
  });

  it('is empty after a disconnect', async () => {
    const one = await make();
    await one.set('n:cut', 'v');
    await one.get('n:cut');
    await redis.cli('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await until(() => one.stats().reconnects === 1);
    const { nearHits } = one.stats();
    // On a busy machine a read may be too late, which is a miss.
    await until(async () => await one.get('n:cut') === 'v');
    expect(one.stats().nearHits).toBe(nearHits);
  });

  it('keeps no value for longer than Redis does', async () => {
    const one = await make();
    await one.set('n:short', 'v', 0.1);
    const end = performance.now() + 100;
    expect(await one.get('n:short')).toBe('v');
    while (performance.now() < end + 5) await one.get('n:short');
    expect(await one.get('n:short')).toBe(null);
  });

  it('gives each reader an object of his own, or one frozen object to all', async () => {
    const value = { list: [1, { deep: true }] };
    const one = await make();
    await one.set('n:o', value);
    for (let read = 0; read < 3; read += 1) {
      const got = await one.get<{ list: unknown[] }>('n:o');
      expect(got).toEqual(value);
      got!.list.push('changed');
    }
    const shared = await make({ nearCache: { share: true } });
    await shared.get('n:o');
    const got = await shared.get<{ list: unknown[] }>('n:o');
    expect(Object.isFrozen(got!.list)).toBe(true);
    expect(await shared.get('n:o')).toBe(got);
  });

  it('keeps what a read brought that came too late for its caller', async () => {
    const one = await make({ readBudgetMs: 30 });
    await redis.cli('SET', 'n:late', 'v');
    await redis.freeze();
    expect(await one.get('n:late')).toBe(null);
    await redis.thaw();
    // Answers come in order: where this one is there, the late one is.
    await redis.cli('SET', 'n:after', 'w');
    await until(async () => await one.get('n:after') === 'w');
    const before = one.stats().nearHits;
    expect(await one.get('n:late')).toBe('v');
    expect(one.stats().nearHits).toBe(before + 1);
  });
});
