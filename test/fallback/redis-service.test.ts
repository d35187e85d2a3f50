import { describe, expect, it } from 'vitest';

import { EmbeddedRedisService } from '../../src/fallback/redis-service/embedded.js';
import { EventQueue } from '../../src/fallback/redis-service/event-queue.js';
import { escapeGlob, globToRegExp } from '../../src/fallback/redis-service/glob.js';
import { MemoryStore } from '../../src/fallback/redis-service/memory-store.js';
import { Overlay } from '../../src/fallback/redis-service/overlay.js';
import { parseRedisUrl } from '../../src/services/redis-service-url.js';

const BYTES = new Uint8Array(100);
const OPTIONS = { fallback: { maxBytes: 1_000_000, replayWrites: false, maxReplay: undefined } };

describe('the store in memory', () => {
  it('never holds more than its bytes, whatever is written', () => {
    const store = new MemoryStore(10_000);
    for (let index = 0; index < 1_000; index += 1) {
      store.set(`k${index % 97}`, new Uint8Array(index % 500), index % 3 === 0 ? index + 5 : Infinity, index % 5 === 0 ? ['t'] : [], index);
      expect(store.bytes).toBeLessThanOrEqual(10_000);
    }
    store.clear('', 1_000);
    expect(store.bytes).toBe(0);
  });

  it('drops what was not used for longest', () => {
    const store = new MemoryStore(1_000);
    store.set('a', BYTES, Infinity, [], 0);
    store.set('b', BYTES, Infinity, [], 0);
    store.set('c', BYTES, Infinity, [], 0);
    store.get('a', 0);
    store.set('d', BYTES, Infinity, [], 0);
    expect(['a', 'b', 'c', 'd'].filter(key => store.has(key, 0))).toEqual(['a', 'c', 'd']);
  });

  it('lets a value go in the millisecond in which it expires', () => {
    const store = new MemoryStore(1_000);
    store.set('k', BYTES, 50, ['t'], 0);
    expect([store.has('k', 49), store.has('k', 50)]).toEqual([true, false]);
    expect(store.invalidateTag('t', 50)).toBe(0);
    expect(store.bytes).toBe(0);
  });
});

describe('the embedded service, by its own clock', () => {
  it('expires values and sessions, and rolls those that roll', async () => {
    let now = 1_000_000;
    const one = new EmbeddedRedisService(OPTIONS, () => now);
    await one.set('k', 1, { ttlMs: 1_000, tags: [], onlyIf: undefined });
    const options = { userId: 'u', ttlMs: 1_000, absoluteTtlMs: 2_500 };
    const fixed = await one.sessions.create({}, { ...options, rolling: false });
    const rolling = await one.sessions.create({}, { ...options, rolling: true });
    const alive = async (): Promise<boolean[]> => [await one.has('k'), await one.sessions.get(fixed.id) !== null, await one.sessions.get(rolling.id) !== null];
    now += 999;
    expect(await alive()).toEqual([true, true, true]);
    now += 1;
    expect(await alive()).toEqual([false, false, true]);
    now += 999;
    expect(await alive()).toEqual([false, false, true]);
    now += 501;
    expect(await alive(), 'the absolute end').toEqual([false, false, false]);
    expect(await one.sessions.listForUser('u')).toEqual([]);
  });

  it('refuses sessions that do not fit instead of dropping live ones', async () => {
    const one = new EmbeddedRedisService({ fallback: { ...OPTIONS.fallback, maxBytes: 5_000 } }, () => 0);
    const options = { userId: undefined, ttlMs: 1_000, rolling: false, absoluteTtlMs: undefined };
    const first = await one.sessions.create({}, options);
    await expect((async () => { for (;;) await one.sessions.create({}, options); })()).rejects.toMatchObject({ code: 'UAT_STORAGE', retryable: true });
    expect(await one.sessions.get(first.id)).not.toBe(null);
    expect(await one.sessions.destroy(first.id)).toBe(true);
  });
});

describe('what is noted down while Redis is away', () => {
  it('is refused once the list of keys is full, except for keys on it', () => {
    const overlay = new Overlay(1_000_000);
    for (let index = 0; index < 100_000; index += 1) overlay.touch(`k${index}`);
    expect(() => overlay.set('one more', BYTES, undefined)).toThrow(expect.objectContaining({ code: 'UAT_STORAGE', retryable: true }));
    overlay.set('k7', BYTES, undefined);
    expect(overlay.get('k7')).toEqual(BYTES);
    expect(overlay.get('one more')).toBe(undefined);
    overlay.take(overlay.toForget(1));
    overlay.set('one more', BYTES, undefined);
  });

  it('names a key to forget also where its value did not fit', () => {
    const overlay = new Overlay(10);
    overlay.set('k', BYTES, undefined);
    expect(overlay.get('k')).toBe(undefined);
    expect(overlay.toForget(10)).toEqual(['k']);
  });
});

describe('the queue of a subscription', () => {
  it('reports one gap, from the oldest message that it dropped', async () => {
    let now = 0;
    const queue = new EventQueue(() => undefined, () => undefined, () => now);
    const first = queue.next();
    queue.push({ type: 'message', channel: 'c', message: 'x' });
    await first;
    for (let index = 0; index < 1_030; index += 1) {
      now = index;
      queue.push({ type: 'message', channel: 'c', message: index });
    }
    now = 2_000;
    const events = await queue.next();
    expect(events).toHaveLength(1_025);
    expect(events![0]).toEqual({ type: 'gap', sinceMs: 2_000 });
    expect(events![1]).toEqual({ type: 'message', channel: 'c', message: 6 });
  });
});

describe('globs are read as Redis reads them', () => {
  it.each<[string, string, boolean]>([
    ['h?llo', 'hello', true], ['h?llo', 'hllo', false], ['h*llo', 'hllo', true], ['h*o', 'h/e\no', true], ['h[ae]llo', 'hallo', true], ['h[ae]llo', 'hillo', false], ['h[^e]llo', 'hallo', true], ['h[^e]llo', 'hello', false],
    ['h[a-c]llo', 'hbllo', true], ['h\\*llo', 'h*llo', true], ['h\\*llo', 'hxllo', false], ['a.c', 'abc', false], ['a+(b)|{c}$', 'a+(b)|{c}$', true], ['[', '[', true], ['\\', '\\', true],
  ])('%s on %s: %s', (glob, text, matches) => {
    expect(globToRegExp(glob).test(text)).toBe(matches);
  });

  it('escaped text matches only itself', () => {
    const text = 'a*b?c[d-e]^f\\g';
    expect(globToRegExp(escapeGlob(text)).test(text)).toBe(true);
    expect(globToRegExp(escapeGlob('a*')).test('ab')).toBe(false);
  });
});

describe('urls', () => {
  const address = (differs: object): object => ({ kind: 'single', tls: false, hosts: [{ host: 'h', port: 6379 }], path: undefined, master: undefined, username: undefined, password: undefined, db: 0, ca: undefined, ...differs });
  it.each<[string, object]>([
    ['redis://h', {}], ['redis://h/', {}], ['REDIS://h:1/2', { hosts: [{ host: 'h', port: 1 }], db: 2 }],
    ['redis://:p%40ss@h', { password: 'p@ss' }], ['redis://u:p@ss:w@h', { username: 'u', password: 'p@ss:w' }], ['redis://u@h', { username: 'u' }],
    ['redis://[::1]:7', { hosts: [{ host: '::1', port: 7 }] }], ['rediss://h?ca=/a%20b.pem', { tls: true, ca: '/a b.pem' }],
    ['redis+sentinel://a:1,b/main/3', { kind: 'sentinel', hosts: [{ host: 'a', port: 1 }, { host: 'b', port: 26379 }], master: 'main', db: 3 }],
    ['rediss+cluster://u:p@a,b:9', { kind: 'cluster', tls: true, hosts: [{ host: 'a', port: 6379 }, { host: 'b', port: 9 }], username: 'u', password: 'p' }],
    ['unix:/run/r.sock?db=1&pass=p', { kind: 'unix', hosts: [], path: '/run/r.sock', db: 1, password: 'p' }], ['unix:///run/r.sock', { kind: 'unix', hosts: [], path: '/run/r.sock' }],
  ])('%s', (url, differs) => {
    expect(parseRedisUrl(url)).toEqual(address(differs));
  });
});
