import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type CacheValue, RedisService, type RedisServiceOptions } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf, thrownBy } from '../support/errors.js';
import { RedisServer } from '../support/redis-server.js';
import { PATIENT, serviceAt, services } from '../support/redis-services.js';
import { until } from '../support/until.js';
import support from './support.json' with { type: 'json' };

/** One of each kind, and those that are easily mistaken for another. */
const VALUES: Record<string, CacheValue> = {
  'text': 'hello', 'empty text': '', 'text beyond ASCII': 'Grüße, 世界 🌍', 'text that reads like an integer': '42', 'text that nearly does': '007',
  'text with a byte order mark': '\ufeffx', 'text with a lone surrogate': 'a\ud800b', 'text with a zero': 'a\0b',
  'zero': 0, 'an integer': -17, 'the largest integer': Number.MAX_SAFE_INTEGER, 'a fraction': 1.5, 'a large number': 1e300,
  'true': true, 'false': false, 'an object': { a: [1, { b: null }], ü: 'x' }, 'an array': [1, 'two', null, [3]], 'an empty object': {},
  'bytes': new Uint8Array([0, 255, 0xf5, 0x55, 0x41]), 'no bytes': new Uint8Array(0), 'bytes that are text': new Uint8Array([52, 50]),
};

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis?.stop());

eachBackend(backend => {
  const service = services();

  it('says which backend answers and why, also before it is initialized', () => {
    expect(new RedisService().backend).toEqual({ kind: backend, reason: expect.stringContaining('UAT_BACKEND') });
  });

  it('has the methods that support.json lists', async () => {
    const one = await service();
    const isMethod = ([, { value }]: [string, PropertyDescriptor]): boolean => typeof value === 'function';
    const methodsOf = (object: object): string[] => Object.entries(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(object))).filter(isMethod).map(([name]) => name).filter(name => name !== 'constructor');
    expect([...methodsOf(one), ...methodsOf(one.sessions).map(name => `sessions.${name}`)].sort()).toEqual(Object.keys(support.RedisService).sort());
  });

  it('refuses what support.json says that it lacks', async () => {
    const lacks = support['RedisService options'];
    const one = await service();
    const attempts: Record<keyof typeof lacks, () => Promise<unknown>> = {
      'getOrCompute: beta': () => one.getOrCompute('k', 1, () => 1, { beta: 1 }),
      'initialize: nearCache with a url': () => service({ ...PATIENT, url: redis.url, nearCache: true }),
      'initialize: fallback.replayWrites': () => service({ ...PATIENT, url: redis.url, fallback: { replayWrites: true } }),
    };
    for (const [what, has] of Object.entries(lacks) as [keyof typeof lacks, { native: boolean; typescript: boolean }][]) {
      if (has[backend]) await attempts[what]();
      else expect((await errorOf(attempts[what]())).code, what).toBe('UAT_UNSUPPORTED');
    }
  });

  describe('before initialize and after close', () => {
    it('every method says what to do', async () => {
      const one = new RedisService();
      expect((await errorOf(one.get('k'))).code).toBe('UAT_NOT_INITIALIZED');
      expect((await errorOf(one.set('k', 1))).message).toContain('initialize()');
      expect((await errorOf(one.sessions.get('k'))).code).toBe('UAT_NOT_INITIALIZED');
      expect(thrownBy(() => one.status()).code).toBe('UAT_NOT_INITIALIZED');
      expect(thrownBy(() => one.subscribe('c')).code).toBe('UAT_NOT_INITIALIZED');
      await one.initialize();
      expect((await errorOf(one.initialize())).code).toBe('UAT_CONFLICT');
      await one.close();
      await one.close();
      expect((await errorOf(one.get('k'))).code).toBe('UAT_CLOSED');
      expect((await errorOf(one.sessions.create({}))).code).toBe('UAT_CLOSED');
      expect(thrownBy(() => one.stats()).code).toBe('UAT_CLOSED');
    });

    it('closing while it opens closes what was opened', async () => {
      const one = new RedisService();
      const opening = one.initialize({ url: redis.url });
      await one.close();
      await opening;
      expect((await errorOf(one.get('k'))).code).toBe('UAT_CLOSED');
    });
  });

  describe('bad options are refused by name', () => {
    it.each([
      [{ urll: 'redis://x' }, 'options.urll'], [{ maxConnections: 0 }, 'options.maxConnections'], [{ readBudgetMs: '50' }, 'options.readBudgetMs'],
      [{ keyPrefix: 7 }, 'options.keyPrefix'], [{ nearCache: 'yes' }, 'options.nearCache'], [{ nearCache: { max: 1 } }, 'options.nearCache.max'],
      [{ fallback: { maxBytes: -1 } }, 'options.fallback.maxBytes'], [{ compression: { codec: 'gzip' } }, 'options.compression.codec'], [{ enableCompression: 1 }, 'options.enableCompression'],
    ])('%j', async (options, field) => {
      const error = await errorOf(new RedisService().initialize(options as never));
      expect(error).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field } });
    });

    it.each([
      'localhost:6379', 'http://user:geheim@localhost', 'redis:/localhost', 'redis://', 'redis://:geheim@', 'redis://:geheim@h:99999', 'redis://:geheim@h:port', 'redis://:geheim@h/db',
      'redis://:geheim@a,b', 'redis://:geheim@h?geheim=1', 'redis+sentinel://:geheim@h:1', 'redis+cluster://:geheim@h/3', 'unix:relative.sock', 'redis://:ge%zzheim@h', '', 'geheim', ':geheim@h',
      'redis://:ge#heim@h',
    ])('url %s', async url => {
      const error = await errorOf(new RedisService().initialize({ url }));
      expect(error).toMatchObject({ code: 'UAT_CONFIG', details: { field: 'url' } });
      expect(error.message).toMatch(/^url: /);
      expect(error.message).not.toContain('heim');
    });
  });

  it('an unknown host and a wrong password are errors, never a silent fallback', async () => {
    const unknown = await errorOf(service({ url: 'redis://:geheim@no-such-host.invalid' }));
    expect(unknown).toMatchObject({ code: 'UAT_CONFIG', details: { field: 'url' } });
    const locked = await RedisServer.start(['--requirepass', 'right']);
    try {
      const port = new URL(locked.url).port;
      for (const login of [':wrong-geheim@', 'nobody:wrong-geheim@', '']) {
        const error = await errorOf(service({ url: `redis://${login}127.0.0.1:${port}` }));
        expect(error.code).toBe('UAT_UNAUTHORIZED');
        expect(error.message).not.toContain('geheim');
      }
      expect((await service({ url: `redis://:right@127.0.0.1:${port}` })).status().mode).toBe('redis');
    } finally {
      await locked.stop();
    }
  });

  // Each behaves alike in this process alone and with a Redis.
  describe.each(['embedded', 'redis'] as const)('%s', where => {
    const make = async (options: { keyPrefix?: string; fallback?: { maxBytes?: number } } = {}): Promise<RedisService> =>
      await serviceAt(where, service, redis, options);

    it('says its mode', async () => {
      const one = new RedisService();
      const modes: string[] = [];
      expect(one.on('mode', ({ mode }) => modes.push(mode))).toBe(one);
      const before = Date.now();
      await one.initialize(where === 'redis' ? { url: redis.url } : {});
      const status = one.status();
      expect(status).toMatchObject({ mode: where, pendingReplays: 0 });
      expect(status.since).toBeGreaterThanOrEqual(before);
      expect(status.since).toBeLessThanOrEqual(Date.now());
      await until(() => modes.length > 0);
      expect(modes).toEqual([where]);
      await one.close();
    });

    it.each(Object.entries(VALUES))('keeps %s', async (_, value) => {
      const one = await make();
      expect(await one.set('k', value)).toBe(true);
      expect(await one.get('k')).toEqual(value);
      expect(await one.mget(['k', 'none', 'k'])).toEqual([value, null, value]);
    });

    it('tells a stored null from a miss with has', async () => {
      const one = await make();
      await one.set('null', null);
      expect([await one.get('null'), await one.has('null'), await one.get('none'), await one.has('none')]).toEqual([null, true, null, false]);
    });

    it('stores what the value was at the call, and gives each reader its own', async () => {
      const one = await make();
      const value = { list: [1] };
      const written = one.set('k', value);
      value.list.push(2);
      await written;
      const read = await one.get<{ list: number[] }>('k');
      read!.list.push(3);
      expect(await one.get('k')).toEqual({ list: [1] });
    });

    it('writes and reads several at once, in order', async () => {
      const one = await make();
      await one.mset({ a: 1, b: 'two', c: { three: 3 } }, 60);
      expect(await one.mget(['c', 'x', 'a', 'b'])).toEqual([{ three: 3 }, null, 1, 'two']);
      expect(await one.ttl('b')).toBeGreaterThan(58);
      await one.mset({});
      expect(await one.mget([])).toEqual([]);
    });

    it('deletes what there is, and counts it', async () => {
      const one = await make();
      await one.mset({ a: 1, b: 2 });
      expect([await one.delete('a', 'b', 'c'), await one.delete('a'), await one.delete(), await one.get('b')]).toEqual([2, 0, 0, null]);
    });

    it('writes only if absent, or only if present', async () => {
      const one = await make();
      expect(await one.set('k', 1, undefined, { onlyIf: 'present' })).toBe(false);
      expect(await one.get('k')).toBe(null);
      expect(await one.set('k', 2, undefined, { onlyIf: 'absent' })).toBe(true);
      expect(await one.set('k', 3, undefined, { onlyIf: 'absent' })).toBe(false);
      expect(await one.set('k', 4, undefined, { onlyIf: 'present' })).toBe(true);
      expect(await one.get('k')).toBe(4);
    });

    it('lets values expire after fractions of a second', async () => {
      const one = await make();
      await one.set('k', 1, 0.05);
      expect(await one.ttl('k')).toBeGreaterThan(0);
      await until(async () => !await one.has('k'), 1_000);
      expect(await one.get('k')).toBe(null);
    });

    it('knows and changes what is left of a value', async () => {
      const one = await make();
      await one.set('k', 1);
      expect(await one.ttl('k')).toBe(null);
      expect(await one.ttl('none')).toBe(null);
      expect(await one.expire('k', 100)).toBe(true);
      expect(await one.expire('none', 100)).toBe(false);
      const left = await one.ttl('k');
      expect(left).toBeGreaterThan(98);
      expect(left).toBeLessThanOrEqual(100);
      await one.set('k', 2);
      expect(await one.ttl('k'), 'a new value does not inherit the time to live').toBe(null);
    });

    describe('increment', () => {
      it('counts from zero, up and down', async () => {
        const one = await make();
        expect([await one.increment('n'), await one.increment('n', 5), await one.increment('n', -7)]).toEqual([1, 6, -1]);
        expect(await one.get('n')).toBe(-1);
        await one.set('n', 40);
        expect(await one.increment('n', 2)).toBe(42);
      });

      it('gives a time to live at creation only', async () => {
        const one = await make();
        await one.increment('n', 1, 100);
        await one.increment('n', 1, 9_000);
        expect(await one.ttl('n')).toBeLessThanOrEqual(100);
        expect(await one.ttl('n')).toBeGreaterThan(98);
      });

      it('loses none of many at once', async () => {
        const one = await make();
        await Promise.all(Array.from({ length: 200 }, () => one.increment('n', 1, 60)));
        expect(await one.get('n')).toBe(200);
      });

      it.each([['text', 'abc'], ['an object', { a: 1 }], ['a fraction', 1.5], ['text that reads like an integer', '42'], ['null', null]])('refuses %s and leaves it', async (_, value) => {
        const one = await make();
        await one.set('my-key', value);
        const error = await errorOf(one.increment('my-key'));
        expect(error.code).toBe('UAT_CONFLICT');
        expect(error.message).toContain('my-key');
        expect(await one.get('my-key')).toEqual(value);
      });

      it('never leaves the safe integers', async () => {
        const one = await make();
        await one.set('n', Number.MAX_SAFE_INTEGER);
        expect((await errorOf(one.increment('n'))).code).toBe('UAT_CONFLICT');
        expect(await one.get('n')).toBe(Number.MAX_SAFE_INTEGER);
        expect((await errorOf(one.increment('n', 2 ** 60))).details['field']).toBe('by');
      });
    });

    describe('clear', () => {
      it('deletes what begins with the prefix, taken literally, and counts it', async () => {
        const one = await make();
        await one.mset({ 'a*1': 1, 'a*2': 2, 'ab': 3, 'b': 4 });
        expect(await one.clear('a*')).toBe(2);
        expect(await one.mget(['a*1', 'ab', 'b'])).toEqual([null, 3, 4]);
        expect(await one.clear()).toBe(2);
        expect(await one.clear()).toBe(0);
      });

      it('leaves sessions alone', async () => {
        const one = await make();
        const { id } = await one.sessions.create({ a: 1 }, { userId: 'u' });
        await one.set('k', 1);
        expect(await one.clear()).toBe(1);
        expect((await one.sessions.get(id))?.data).toEqual({ a: 1 });
        expect(await one.sessions.listForUser('u')).toHaveLength(1);
      });

      it('deletes thousands', async () => {
        const one = await make();
        await one.mset(Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`many:${index}`, index])));
        await one.set('other', 1);
        expect(await one.clear('many:')).toBe(5_000);
        expect(await one.has('other')).toBe(true);
      });
    });

    it('invalidates what carries a tag, and nothing else', async () => {
      const one = await make();
      await one.set('a', 1, undefined, { tags: ['red', 'round'] });
      await one.set('b', 2, 60, { tags: ['red'] });
      await one.set('c', 3, 60, { tags: ['round'] });
      await one.set('d', 4);
      expect(await one.invalidateTag('red')).toBe(2);
      expect(await one.mget(['a', 'b', 'c', 'd'])).toEqual([null, null, 3, 4]);
      expect(await one.invalidateTag('red')).toBe(0);
      expect(await one.invalidateTag('never')).toBe(0);
      await one.set('b', 5, undefined, { tags: ['red'] });
      expect(await one.invalidateTag('red')).toBe(1);
    });

    it('counts what it did', async () => {
      const one = await make();
      await one.set('k', 'value');
      await one.get('k');
      await one.get('none');
      await one.mget(['k', 'none']);
      expect(one.stats()).toMatchObject({ misses: 2, sets: 1, bytesStored: 5, bytesBeforeCompression: 5, fallbackOps: 0 });
      const { hits, nearHits } = one.stats();
      expect(hits + nearHits).toBeGreaterThanOrEqual(2);
    });

    describe('bad arguments are refused by name', () => {
      const circular: Record<string, unknown> = {};
      circular['self'] = circular;
      it.each<[string, (one: RedisService) => Promise<unknown>, string]>([
        ['an empty key', one => one.get(''), 'key'],
        ['a key that is no string', one => one.get(7 as never), 'key'],
        ['a key that is too long', one => one.set('k'.repeat(65_537), 1), 'key'],
        ['a key that is too long in UTF-8', one => one.set('ü'.repeat(32_769), 1), 'key'],
        ['a reserved key', one => one.delete('~uat:session:x'), 'keys[0]'],
        ['a reserved prefix', one => one.clear('~uat:'), 'prefix'],
        ['a bad key among others', one => one.mget(['a', '']), 'keys[1]'],
        ['ttl 0', one => one.set('k', 1, 0), 'ttl'],
        ['ttl below 0', one => one.set('k', 1, -1), 'ttl'],
        ['ttl NaN', one => one.set('k', 1, Number.NaN), 'ttl'],
        ['ttl Infinity', one => one.expire('k', Infinity), 'ttl'],
        ['ttl as text', one => one.mset({ k: 1 }, '60' as never), 'ttl'],
        ['no value', one => one.set('k', undefined as never), 'value'],
        ['a function', one => one.set('k', (() => 1) as never), 'value'],
        ['a bigint', one => one.set('k', 1n as never), 'value'],
        ['a symbol', one => one.set('k', Symbol('x') as never), 'value'],
        ['NaN', one => one.set('k', Number.NaN), 'value'],
        ['a circle', one => one.set('k', circular), 'value'],
        ['a bigint inside', one => one.set('k', { a: 1n }), 'value'],
        ['what JSON has nothing for', one => one.set('k', { toJSON: () => undefined }), 'value'],
        ['an unknown option', one => one.set('k', 1, 1, { tag: 'x' } as never), 'options.tag'],
        ['a bad onlyIf', one => one.set('k', 1, 1, { onlyIf: 'maybe' as never }), 'options.onlyIf'],
        ['an empty tag', one => one.set('k', 1, 1, { tags: [''] }), 'options.tags[0]'],
        ['by a fraction', one => one.increment('k', 0.5), 'by'],
        ['no function to compute with', one => one.getOrCompute('k', 1, 7 as never), 'compute'],
        ['a bad staleFor', one => one.getOrCompute('k', 1, () => 1, { staleFor: -1 }), 'options.staleFor'],
        ['a command that is no name', one => one.command('GET k'), 'name'],
        ['an empty channel', one => one.publish('', 1), 'channel'],
        ['a message that is a function', one => one.publish('c', (() => 1) as never), 'message'],
      ])('%s', async (_, call, field) => {
        const error = await errorOf(call(await make()));
        expect(error).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field } });
      });
    });
  });

  describe.each<RedisServiceOptions['compression'] & object>([{}, { codec: 'lz4', minBytes: 0 }, { level: 3, minBytes: 64 }])('with compression %j', compression => {
    const TEXT = JSON.stringify({ messages: Array.from({ length: 20 }, (_, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', content: 'Why is the sky blue?' })) });

    it('gives back what was written, to services without compression, too', async () => {
      await redis.cli('FLUSHALL');
      const one = await service({ ...PATIENT, url: redis.url, enableCompression: true, compression });
      const other = await service({ ...PATIENT, url: redis.url });
      const values = { ...VALUES, 'long text': TEXT, 'long object': JSON.parse(TEXT) as CacheValue, 'long bytes': new Uint8Array(100_000).fill(7) };
      await one.mset(values);
      expect(await one.mget(Object.keys(values))).toEqual(Object.values(values));
      expect(await other.mget(Object.keys(values))).toEqual(Object.values(values));
      expect(await redis.cli('GET', 'an integer')).toBe('-17');
      const { id } = await one.sessions.create({ TEXT });
      expect((await other.sessions.get(id))?.data).toEqual({ TEXT });
      expect(await other.increment('an integer')).toBe(-16);
    });
  });

  it('the embedded store stays within its bytes and drops what was not used for longest', async () => {
    const one = await service({ fallback: { maxBytes: 100_000 } });
    await one.set('first', 'x'.repeat(1_000));
    for (let index = 0; index < 500; index += 1) {
      await one.set(`k${index}`, 'y'.repeat(1_000));
      await one.get('first');
    }
    expect(await one.has('first')).toBe(true);
    // Which of the others stay is up to the store; that they take no more than was allowed is not.
    const kept = await Promise.all(Array.from({ length: 500 }, async (_, index) => await one.has(`k${index}`)));
    expect(kept.filter(Boolean).length).toBeGreaterThan(20);
    expect(kept.filter(Boolean).length).toBeLessThan(100);
    expect((await errorOf(one.set('large', 'z'.repeat(200_000)))).code).toBe('UAT_STORAGE');
  });
});
