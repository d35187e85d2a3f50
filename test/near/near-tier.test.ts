// The near tier beside a plain Map: it may forget, and what it gives is what was put last.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { describe, expect, test } from 'vitest';

import type { CacheValue, Payload, PayloadKind } from '../../src/native/redis-service/near/cache-value.js';
import { NearTier } from '../../src/native/redis-service/near/near-tier.js';
import { type Random, seeded } from '../support/random.js';

const texts = ['', 'a', 'x'.repeat(255), 'x'.repeat(256), 'y'.repeat(3000), 'é'.repeat(300), '日本'.repeat(40), '日本'.repeat(400), '\ud800', `a\udc00${'b'.repeat(300)}`, '\0\uffff'];

function draw(random: Random): { kind: PayloadKind; payload: Payload; value: CacheValue } {
  const text = texts[Math.floor(random() * texts.length)]! + String(Math.floor(random() * 1000));
  switch (Math.floor(random() * 4)) {
    case 0:
      return { kind: 'string', payload: text, value: text };
    case 1: {
      const value = random() < 0.2 ? null : { text, list: [1, 2.5, { deep: true }] };
      return { kind: 'json', payload: JSON.stringify(value), value };
    }
    case 2: {
      const value = [0, -1.5, 2 ** 53 - 1, -Infinity, random()][Math.floor(random() * 5)]!;
      return { kind: 'number', payload: value, value };
    }
    default: {
      const value = Uint8Array.from({ length: Math.floor(random() * (random() < 0.1 ? 9000 : 400)) }, () => random() * 256);
      return { kind: 'bytes', payload: value, value: value.slice() };
    }
  }
}

/** Does random things to a tier and to a Map, and compares after each. Returns how many reads hit. */
function check({ seed, maxBytes, keys, steps, share = false }: { seed: number; maxBytes: number; keys: number; steps: number; share?: boolean }): number {
  const random = seeded(seed);
  let now = 0;
  const tier = new NearTier({ maxBytes, share, now: () => now });
  const model = new Map<string, { value: CacheValue; expiresAt: number }>();
  let hits = 0;
  for (let step = 0; step < steps; step += 1) {
    const number = Math.floor(random() ** 2 * keys);
    const key = ['', 'key:', 'ключ:', '\udfff', 'long'.repeat(number % 400)][number % 5]! + (number < 5 ? '' : String(number));
    const known = model.get(key);
    const live = known !== undefined && known.expiresAt > now;
    const act = random();
    if (act < 0.55) {
      const got = tier.get(key);
      if (got !== undefined) {
        hits += 1;
        expect(live, `step ${step}: a value that is gone`).toBe(true);
        // Vitest compares bytes one by one, which takes most of this test's time.
        if (got instanceof Uint8Array && known!.value instanceof Uint8Array) expect(Buffer.compare(got, known!.value)).toBe(0);
        else expect(got).toStrictEqual(known!.value);
        if (!share && got instanceof Uint8Array) got.fill(1);
        if (!share && typeof got === 'object' && got !== null && 'text' in got) got['text'] = 'changed by a caller';
      }
    } else if (act < 0.9) {
      const { kind, payload, value } = draw(random);
      const expiresAt = random() < 0.5 ? Infinity : now + Math.floor(random() * 200);
      tier.put(key, kind, payload, expiresAt);
      model.set(key, { value, expiresAt });
      if (payload instanceof Uint8Array) payload.fill(2);
    } else if (act < 0.96) {
      const had = tier.get(key) !== undefined;
      expect(tier.delete(key)).toBe(had);
      expect(tier.get(key)).toBeUndefined();
      model.delete(key);
    } else if (act < 0.9995) {
      now += Math.floor(random() * 20);
    } else {
      tier.clear();
      model.clear();
      expect([tier.size, tier.bytes]).toEqual([0, 0]);
    }
    if (tier.bytes > maxBytes || tier.size > model.size) expect.fail(`step ${step}: ${tier.size} of ${model.size} entries in ${tier.bytes} of ${maxBytes} bytes`);
  }
  return hits;
}

describe('random acts agree with a Map, within maxBytes', () => {
  for (const maxBytes of [0, 100, 2000, 5000, 20_000, 100_000, 1_000_000, 64 * 2 ** 20]) {
    for (const keys of [20, 3000]) {
      for (const share of [false, true]) {
        test(`${keys} keys in ${maxBytes} bytes${share ? ', shared' : ''}`, () => {
          const hits = check({ seed: maxBytes + keys, maxBytes, keys, steps: 10_000, share });
          if (maxBytes >= 100_000) expect(hits).toBeGreaterThan(400);
        });
      }
    }
  }
});

const day = 24 * 3600 * 1000;

describe('what is admitted', () => {
  test('a value that is not admitted still replaces the old one', () => {
    const tier = new NearTier({ maxBytes: 1_000_000 });
    tier.put('key', 'string', 'old', Infinity);
    tier.put('key', 'string', 'x'.repeat(200_000), Infinity);
    expect(tier.get('key')).toBeUndefined();
    expect(tier.size).toBe(0);
  });

  test('so does one that has expired before it came', () => {
    const tier = new NearTier({ maxBytes: 1_000_000, now: () => 100 });
    tier.put('key', 'string', 'old', Infinity);
    tier.put('key', 'string', 'new', 100);
    expect(tier.get('key')).toBeUndefined();
  });

  test('an entry may take an eighth of the tier, and its key 2047 bytes', () => {
    const tier = new NearTier({ maxBytes: 8_000_000 });
    tier.put('large', 'bytes', new Uint8Array(999_000), Infinity);
    tier.put('too large', 'bytes', new Uint8Array(1_000_000), Infinity);
    tier.put('k'.repeat(2047), 'number', 1, Infinity);
    tier.put('k'.repeat(2048), 'number', 2, Infinity);
    tier.put('ж'.repeat(1023), 'number', 3, Infinity);
    tier.put('ж'.repeat(1024), 'number', 4, Infinity);
    const got = ['too large', 'k'.repeat(2047), 'k'.repeat(2048), 'ж'.repeat(1023), 'ж'.repeat(1024)].map(key => tier.get(key));
    expect(got).toEqual([undefined, 1, undefined, 3, undefined]);
    expect((tier.get('large') as Uint8Array).byteLength).toBe(999_000);
  });

  test('maxBytes that is no size is refused', () => {
    for (const maxBytes of [-1, NaN, Infinity, 2 ** 40]) expect(() => new NearTier({ maxBytes })).toThrow(expect.objectContaining({ code: 'UAT_INVALID_INPUT', details: { field: 'maxBytes' } }));
  });
});

describe('expiry', () => {
  /** Puts one entry at `from`, and reads it, often enough that it is hot, at each of the times. */
  function checkExpiry(from: number, expiresAt: number, expected: [number, boolean][]): void {
    let now = from;
    const tier = new NearTier({ maxBytes: 1_000_000, now: () => now });
    tier.put('key', 'string', 'value', expiresAt);
    for (const [time, there] of expected) {
      now = time;
      for (let read = 0; read < 4; read += 1) expect(tier.get('key'), `at ${time}`).toBe(there ? 'value' : undefined);
    }
    expect(tier.size).toBe(expected.at(-1)![1] ? 1 : 0);
  }

  test('an entry is there until its time, and not at it', () => checkExpiry(0, 50, [[0, true], [49.9, true], [50, false]]));
  test('parts of a millisecond are rounded down', () => checkExpiry(0.5, 50.7, [[49.9, true], [50.1, false]]));
  test('Infinity is never', () => checkExpiry(10, Infinity, [[400 * day, true]]));
  test('a clock may be far from zero', () => checkExpiry(1e13, 1e13 + 5000, [[1e13 + 4999, true], [1e13 + 5000, false]]));
  test('49 days are the longest', () => checkExpiry(0, 100 * day, [[49 * day, true], [50 * day, false]]));

  test('an entry that moves on in memory keeps its time', () => {
    let now = 0;
    const tier = new NearTier({ maxBytes: 100_000, now: () => now });
    tier.put('kept', 'string', 'value', 50_000);
    for (; now < 49_999; now += 1) {
      tier.put(`other ${now}`, 'string', 'x'.repeat(100), Infinity);
      tier.get('kept');
    }
    expect(tier.get('kept')).toBe('value');
    now = 50_000;
    expect(tier.get('kept')).toBeUndefined();
  });
});

describe('sharing', () => {
  test('without it, each hit on JSON and bytes is the caller\'s own', () => {
    const tier = new NearTier({ maxBytes: 1_000_000 });
    tier.put('json', 'json', '{"list":[1]}', Infinity);
    tier.put('bytes', 'bytes', new Uint8Array([1, 2]), Infinity);
    for (let read = 0; read < 5; read += 1) {
      const json = tier.get('json') as { list: number[] };
      const bytes = tier.get('bytes') as Uint8Array;
      expect([json.list, ...bytes]).toEqual([[1], 1, 2]);
      json.list.push(2);
      bytes[0] = 9;
    }
  });

  test('with it, all get one object, which is frozen', () => {
    const tier = new NearTier({ maxBytes: 1_000_000, share: true });
    tier.put('json', 'json', '{"list":[1]}', Infinity);
    tier.put('bytes', 'bytes', new Uint8Array([1, 2]), Infinity);
    const json = tier.get('json') as { list: number[] };
    expect(tier.get('json')).toBe(json);
    expect(tier.get('bytes')).toBe(tier.get('bytes'));
    expect(() => json.list.push(2)).toThrow(TypeError);
    tier.put('json', 'json', '{"list":[2]}', Infinity);
    expect(tier.get('json')).toEqual({ list: [2] });
  });
});

test('memory grows with use', () => {
  const tier = new NearTier({ maxBytes: 2 ** 30 });
  expect(tier.bytes).toBe(0);
  tier.put('key', 'string', 'value', Infinity);
  expect(tier.bytes).toBeLessThan(300_000);
});

test('a hot key that was cut out of a large text does not keep that text', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const tier = new NearTier({ maxBytes: 2 ** 20 });
  const used = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = used();
  for (let text = 0; text < 50; text += 1) {
    const key = Buffer.alloc(1_000_000, `text ${text};`).toString('latin1').slice(text, text + 40);
    tier.put(key, 'string', 'value', Infinity);
    for (let read = 0; read < 4; read += 1) expect(tier.get(key)).toBe('value');
  }
  expect(used() - before).toBeLessThan(10_000_000);
});
