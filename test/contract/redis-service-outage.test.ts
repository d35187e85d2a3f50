import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { RedisService } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf } from '../support/errors.js';
import { freePort, RedisServer } from '../support/redis-server.js';
import { PATIENT, services } from '../support/redis-services.js';
import { until } from '../support/until.js';

/** The read budget of 50 ms, and what a loaded machine adds to it. */
const FIRST_READ_MS = 50 + 60;
/** A read that does not ask Redis at all. */
const LATER_READ_MS = 20;

let redis: RedisServer;
beforeEach(async () => {
  redis = await RedisServer.start();
});
afterEach(() => redis?.stop());

async function timed<T>(call: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const start = performance.now();
  const value = await call();
  return { value, ms: performance.now() - start };
}

eachBackend(() => {
  const service = services();
  const make = (options = {}): Promise<RedisService> => service({ url: redis.url, ...options });
  const inMode = (one: RedisService, mode: string): Promise<void> => until(() => one.status().mode === mode);

  describe('a Redis that is not there at the start', () => {
    it('is no error: the service answers from this process and goes over when it comes', async () => {
      await redis.kill();
      const one = new RedisService();
      const modes: string[] = [];
      one.on('mode', ({ mode }) => modes.push(mode));
      await one.initialize({ url: redis.url });
      expect(one.status()).toMatchObject({ mode: 'fallback', lastError: expect.any(String) });
      await one.set('k', 1);
      expect(await one.get('k')).toBe(1);
      await redis.restart();
      await inMode(one, 'redis');
      await until(() => modes.length === 2);
      expect(modes).toEqual(['fallback', 'redis']);
      await one.set('k', 2);
      expect(await redis.cli('GET', 'k')).toBe('2');
      await one.close();
    });

    it('nor is one that takes the connection and says nothing, for longer than connectTimeoutMs', async () => {
      await redis.freeze();
      const { value: one, ms } = await timed(() => make({ connectTimeoutMs: 200 }));
      expect(one.status().mode).toBe('fallback');
      expect(ms).toBeLessThan(1_000);
      await redis.thaw();
      await inMode(one, 'redis');
    });
  });

  describe('a frozen Redis', () => {
    it('makes reads misses within the budget, and later ones at once', async () => {
      const one = await make();
      await one.set('old', 1);
      await redis.freeze();
      const first = await Promise.all(Array.from({ length: 50 }, (_, index) => timed(() => one.get(`k${index}`))));
      for (const { value, ms } of first) {
        expect(value).toBe(null);
        expect(ms).toBeLessThan(FIRST_READ_MS);
      }
      expect(one.status()).toMatchObject({ mode: 'fallback', lastError: expect.any(String) });
      const later = await Promise.all(Array.from({ length: 50 }, (_, index) => timed(() => one.get(`new${index}`))));
      for (const { value, ms } of later) {
        expect(value).toBe(null);
        expect(ms).toBeLessThan(LATER_READ_MS);
      }
      expect(await one.mget(['a', 'b'])).toEqual([null, null]);
      expect(await one.has('x')).toBe(false);
      expect(await one.ttl('x')).toBe(null);
      expect(one.stats().fallbackOps).toBeGreaterThan(50);
      await redis.thaw();
      await inMode(one, 'redis');
      expect(await one.get('old')).toBe(1);
    });

    it('keeps what is written meanwhile here, and forgets the key on return', async () => {
      const one = await make();
      await one.mset({ changed: 'old', deleted: 'old', untouched: 'old', shortened: 'old' });
      await redis.freeze();
      await one.get('untouched');
      expect(await one.set('changed', 'new', 60)).toBe(true);
      expect(await one.get('changed')).toBe('new');
      expect(await one.ttl('changed')).toBeGreaterThan(58);
      expect(await one.has('changed')).toBe(true);
      await one.delete('deleted');
      expect(await one.get('deleted')).toBe(null);
      await one.expire('shortened', 1);
      await one.mset({ several: 1 });
      expect(await one.mget(['several', 'changed'])).toEqual([1, 'new']);
      expect(one.status().pendingReplays).toBe(4);
      await redis.thaw();
      await inMode(one, 'redis');
      expect(await one.mget(['changed', 'deleted', 'untouched', 'shortened'])).toEqual([null, null, 'old', null]);
      expect(one.status().pendingReplays).toBe(0);
      expect(await redis.cli('EXISTS', 'changed', 'deleted', 'shortened')).toBe('0');
    });

    it('an overwrite that was under way does not bring the old value back', async () => {
      const one = await make();
      await one.set('k', 'old');
      await redis.freeze();
      const written = one.set('k', 'under way');
      expect(await one.get('other')).toBe(null);
      expect(await written).toBe(true);
      expect(await one.get('k')).toBe('under way');
      await one.set('k', 'later');
      await redis.thaw();
      await inMode(one, 'redis');
      expect(await one.get('k')).toBe(null);
    });

    it('has what must not be guessed rejected, to be tried again', async () => {
      const one = await make({ commandTimeoutMs: 200 });
      const { id } = await one.sessions.create({});
      await one.set('n', 1, undefined, { tags: ['t'] });
      await redis.freeze();
      await one.get('n');
      const calls: Record<string, () => Promise<unknown>> = {
        'increment': () => one.increment('n'), 'onlyIf': () => one.set('k', 1, 1, { onlyIf: 'absent' }), 'publish': () => one.publish('c', 1), 'command': () => one.command('PING'),
        'blocking command': () => one.command('BLPOP', 'l', 1), 'invalidateTag': () => one.invalidateTag('t'), 'clear': () => one.clear(), 'sessions.create': () => one.sessions.create({}),
        'sessions.get': () => one.sessions.get(id), 'sessions.update': () => one.sessions.update(id, {}), 'sessions.destroy': () => one.sessions.destroy(id), 'sessions.regenerate': () => one.sessions.regenerate(id),
        'sessions.listForUser': () => one.sessions.listForUser('u'), 'sessions.revokeAll': () => one.sessions.revokeAll('u'), 'sessions.put': () => one.sessions.put('x', {}), 'sessions.touch': () => one.sessions.touch(id),
      };
      for (const [name, call] of Object.entries(calls)) {
        expect(await errorOf(call()), name).toMatchObject({ code: 'UAT_STORAGE', retryable: true });
      }
      await redis.thaw();
      await inMode(one, 'redis');
      expect(await one.increment('n')).toBe(2);
      expect(await one.sessions.get(id)).not.toBe(null);
    });

    it('a write that it does not answer rejects or is kept within commandTimeoutMs', async () => {
      const one = await make({ commandTimeoutMs: 100 });
      await redis.freeze();
      const { value: error, ms } = await timed(() => errorOf(one.increment('n')));
      expect(error).toMatchObject({ code: 'UAT_STORAGE', retryable: true });
      expect(ms).toBeLessThan(1_000);
      expect(await one.set('k', 1)).toBe(true);
      expect(await one.get('k')).toBe(1);
    });

    it('does not hold close() up, and ends what was waiting', async () => {
      const one = await make({ readBudgetMs: 5_000, commandTimeoutMs: 5_000 });
      await redis.freeze();
      const waiting = [errorOf(one.get('k')), errorOf(one.increment('n')), errorOf(one.sessions.get('s'))];
      await sleep(20);
      const { ms } = await timed(() => one.close());
      expect(ms).toBeLessThan(1_000);
      for (const error of await Promise.all(waiting)) expect(error.code).toBe('UAT_CLOSED');
    });
  });

  it('a process that is busy for longer than the budget does not take Redis for away', async () => {
    const one = await make();
    await one.set('k', 1);
    for (let round = 0; round < 3; round += 1) {
      const read = one.get('k');
      const end = performance.now() + 200;
      while (performance.now() < end);
      expect(await read).toBe(1);
    }
    expect(one.status().mode).toBe('redis');
    expect(one.stats().fallbackOps).toBe(0);
  });

  it('kill -9 under load, and a restart with nothing in it', async () => {
    const one = await make();
    const port = redis.port;
    let stop = false;
    let calls = 0;
    const load = Promise.all(Array.from({ length: 20 }, async (_, worker) => {
      for (let index = 0; !stop; index += 1) {
        const key = `k${worker}:${index % 10}`;
        expect(await one.set(key, index)).toBe(true);
        const read = await one.get(key);
        // A miss is allowed; another value is not.
        expect([null, index]).toContain(read);
        calls += 1;
        await sleep(1);
      }
    }));
    await until(() => calls > 200);
    await redis.kill();
    await inMode(one, 'fallback');
    const before = calls;
    await until(() => calls > before + 200);
    await redis.restart();
    await inMode(one, 'redis');
    const after = calls;
    await until(() => calls > after + 200);
    stop = true;
    await load;
    expect(redis.port).toBe(port);
    expect(one.status().pendingReplays).toBe(0);
    expect(one.stats().reconnects).toBeGreaterThanOrEqual(1);
  });

  it('every connection killed, again and again, under load: no read fails and none is wrong', async () => {
    const one = await make();
    await one.set('constant', 'x');
    let stop = false;
    const load = (async () => {
      for (let index = 0; !stop; index += 1) {
        await one.set('counting', index);
        expect([null, index]).toContain(await one.get('counting'));
        expect([null, 'x']).toContain(await one.get('constant'));
      }
    })();
    for (let round = 0; round < 30; round += 1) {
      await redis.cli('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await sleep(20);
    }
    stop = true;
    await load;
    await inMode(one, 'redis');
    expect(await one.get('constant')).toBe('x');
  });

  describe('a Redis that answers and refuses', () => {
    it('out of memory: writes reject, reads go on', async () => {
      const one = await make(PATIENT);
      await one.set('k', 1);
      await redis.cli('CONFIG', 'SET', 'maxmemory', '1');
      expect(await errorOf(one.set('k', 2))).toMatchObject({ code: 'UAT_STORAGE', retryable: true });
      expect(await one.get('k')).toBe(1);
      expect(one.status().mode).toBe('redis');
      let computed = 0;
      expect(await one.getOrCompute('c', 60, () => ++computed), 'the computed value is answered though it cannot be kept').toBe(1);
    });

    it('a replica that takes no writes', async () => {
      const one = await make(PATIENT);
      await one.set('k', 1);
      await redis.cli('REPLICAOF', '127.0.0.1', String(await freePort()));
      expect(await errorOf(one.set('k', 2))).toMatchObject({ code: 'UAT_STORAGE', retryable: true });
      expect(await errorOf(one.increment('k'))).toMatchObject({ code: 'UAT_STORAGE', retryable: true });
    });

    it('a key of another type', async () => {
      const one = await make(PATIENT);
      await redis.cli('RPUSH', 'a-list', 'x');
      for (const call of [() => one.get('a-list'), () => one.increment('a-list')]) {
        const error = await errorOf(call());
        expect(error.code).toBe('UAT_CONFLICT');
        expect(error.message).toContain('a-list');
      }
    });

    it('a user without the right', async () => {
      await redis.cli('ACL', 'SETUSER', 'reader', 'on', '>pw', '~*', '+@all', '-set', '-incrby', '-evalsha', '-eval');
      const one = await service({ ...PATIENT, url: redis.url.replace('//', '//reader:pw@') });
      expect((await errorOf(one.set('k', 1))).code).toBe('UAT_UNAUTHORIZED');
      expect(await one.get('k')).toBe(null);
    });

    it('a password that is changed under it: misses, and back when it is right again', async () => {
      const one = await make();
      await one.set('k', 1);
      await redis.cli('CONFIG', 'SET', 'requirepass', 'geheim');
      await redis.cli('-a', 'geheim', '--no-auth-warning', 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await until(async () => await one.get('k') === null);
      await inMode(one, 'fallback');
      expect(one.status().lastError).not.toContain('geheim');
      await redis.cli('-a', 'geheim', '--no-auth-warning', 'CONFIG', 'SET', 'requirepass', '');
      await inMode(one, 'redis');
      expect(await one.get('k')).toBe(1);
    });
  });

  describe('values of others', () => {
    it('are read as they are and never changed', async () => {
      const one = await make(PATIENT);
      await redis.cli('SET', 'text', '{"a":1}');
      await redis.cli('SET', 'number', '42');
      await redis.cli('SET', 'padded', '007');
      await redis.cli('SET', 'bytes', 'placeholder');
      await one.command('SET', 'bytes', new Uint8Array([0xff, 0xfe, 0x00]));
      expect(await one.mget(['text', 'number', 'padded', 'bytes'])).toEqual(['{"a":1}', 42, '007', new Uint8Array([0xff, 0xfe, 0x00])]);
      expect(await redis.cli('GET', 'text')).toBe('{"a":1}');
    });

    it('an envelope of a newer version is a miss that stays', async () => {
      const one = await make(PATIENT);
      await one.command('SET', 'newer', new Uint8Array([0xf5, 0x55, 0x41, 2, 1, 0, 0, 0]));
      expect(await one.get('newer')).toBe(null);
      expect(await redis.cli('EXISTS', 'newer')).toBe('1');
    });

    it('an envelope with a wrong checksum is a miss and deleted', async () => {
      const one = await make(PATIENT);
      await one.set('k', { a: 1 });
      const stored = await one.command('GET', 'k') as Uint8Array;
      stored[stored.length - 1]! ^= 1;
      await one.command('SET', 'k', stored);
      await until(async () => await one.get('k') === null);
      await until(async () => await redis.cli('EXISTS', 'k') === '0');
    });

    it('text is stored as itself, integers as their digits, under the prefix', async () => {
      const one = await make({ ...PATIENT, keyPrefix: 'app:' });
      await one.mset({ text: 'hello', number: 5 });
      expect(await redis.cli('GET', 'app:text')).toBe('hello');
      expect(await redis.cli('INCR', 'app:number')).toBe('6');
      await redis.cli('SET', 'foreign', 'x');
      expect(await one.clear()).toBe(2);
      expect(await redis.cli('GET', 'foreign')).toBe('x');
    });
  });

  describe('command', () => {
    it('gives replies as JavaScript values', async () => {
      const one = await make(PATIENT);
      expect(await one.command('ping')).toBe('PONG');
      expect(await one.command('HSET', 'h', 'a', 1, 'ü', 'ß')).toBe(2);
      expect(await one.command('HGET', 'h', 'ü')).toBe('ß');
      expect(await one.command('HMGET', 'h', 'a', 'none')).toEqual(['1', null]);
      await one.command('SET', 'b', new Uint8Array([255, 0]));
      expect(await one.command('GET', 'b')).toEqual(new Uint8Array([255, 0]));
      expect(await one.command('EVAL', 'return {1, "two", {3}}', 0)).toEqual([1, 'two', [3]]);
      expect(await one.command('HGETALL', 'h')).toEqual({ 'a': '1', 'ü': 'ß' });
    });

    it('says what Redis refused', async () => {
      const one = await make(PATIENT);
      const error = await errorOf(one.command('NOSUCHCOMMAND'));
      expect(error).toMatchObject({ code: 'UAT_UPSTREAM', details: { reply: expect.stringContaining('unknown command') } });
    });

    it.each([['SUBSCRIBE', 'c'], ['MONITOR'], ['SELECT', '1'], ['AUTH', 'x'], ['client', 'reply', 'off'], ['MULTI'], ['QUIT'], ['HELLO', '2']])('refuses %s by name', async (name, ...args) => {
      const one = await make(PATIENT);
      const error = await errorOf(one.command(name, ...args));
      expect(error.code).toBe('UAT_INVALID_INPUT');
      expect(error.message).toContain(name.toUpperCase());
      expect(error.message).not.toContain('undefined');
      expect(await one.command('PING')).toBe('PONG');
    });

    it('runs what blocks beside everything else, without a time limit', async () => {
      const one = await make({ ...PATIENT, commandTimeoutMs: 300 });
      const popped = one.command('BLPOP', 'list', 0);
      await sleep(500);
      expect(await one.get('k')).toBe(null);
      expect(one.status().mode).toBe('redis');
      await redis.cli('RPUSH', 'list', 'x');
      expect(await popped).toEqual(['list', 'x']);
      const waiting = errorOf(one.command('XREAD', 'BLOCK', 0, 'STREAMS', 's', '$'));
      await sleep(50);
      await one.close();
      expect((await waiting).code).toBe('UAT_CLOSED');
    });
  });
});
