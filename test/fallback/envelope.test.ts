import { readFileSync } from 'node:fs';

import { beforeAll, describe, expect, it } from 'vitest';

import { UniversalAiError } from '../../src/errors.js';
import { decodeValue, dictionary, encodeValue, loadZstd, needsZstd, type CacheValue, type Compression } from '../../src/fallback/redis-service/envelope/envelope.js';
import { LLM_JSON_DICTIONARY } from '../../src/fallback/redis-service/envelope/llm-json-dictionary.js';

interface Vector { name: string; stored: string; expect: 'value' | 'unknown' | 'corrupt'; type?: 'text' | 'json' | 'integer' | 'bytes'; value?: string | number; write?: keyof typeof COMPRESSIONS }

const COMPRESSIONS = {
  'none': undefined,
  'lz4': { codec: 'lz4' },
  'zstd': {},
  'zstd without a dictionary': { dictionary: null },
} satisfies Record<string, Compression | undefined>;

const file = (path: string): Buffer => readFileSync(new URL(`../../${path}`, import.meta.url));
const vectors = JSON.parse(file('test/contract/vectors/envelopes.json').toString()) as Vector[];
const plain = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
/** For comparisons: a value that differs from another one exactly if they differ. */
const comparable = (value: unknown): unknown => value instanceof Uint8Array ? ['bytes', Buffer.from(value).toString('hex')] : value;

function valueOf(vector: Vector): CacheValue {
  if (vector.type === 'json') return JSON.parse(vector.value as string) as CacheValue;
  return vector.type === 'bytes' ? plain(vector.value as string) : vector.value!;
}

describe('an envelope', () => {
  it('with zstd says that zstd is needed before it is loaded', () => {
    const stored = plain(vectors.find(vector => vector.write === 'zstd')!.stored);
    expect(needsZstd(stored)).toBe(true);
    expect(() => decodeValue(stored)).toThrow(expect.objectContaining({ code: 'UAT_NOT_INITIALIZED' }));
  });

  it('of the core carries the dictionary that ships here', () => {
    expect(LLM_JSON_DICTIONARY).toBe(file('crates/redis-service/src/envelope/llm-json.dict').toString('base64'));
  });
});

describe('the recorded envelopes', () => {
  beforeAll(loadZstd);

  it.each(vectors)('are read as the core reads them: $name', vector => {
    const read = decodeValue(plain(vector.stored));
    if (read.kind !== 'value') return expect(read.kind).toBe(vector.expect);
    expect(vector.expect).toBe('value');
    expect(comparable(read.value)).toEqual(comparable(valueOf(vector)));
  });

  it.each(vectors.filter(vector => vector.write !== undefined))('are written as the core writes them: $name', vector => {
    const written = encodeValue(valueOf(vector), COMPRESSIONS[vector.write!]);
    const stored = plain(vector.stored);
    if (vector.write === 'none') expect(Buffer.from(written)).toEqual(Buffer.from(stored));
    // Magic, version, type, codec, and the dictionary's id.
    else expect(written.subarray(0, 6)).toEqual(stored.subarray(0, 6));
    const read = decodeValue(written);
    expect(read.kind === 'value' && comparable(read.value)).toEqual(comparable(valueOf(vector)));
  });
});

describe('values', () => {
  beforeAll(loadZstd);

  function check(value: CacheValue, expected: unknown = value): void {
    for (const compression of Object.values(COMPRESSIONS)) {
      const read = decodeValue(encodeValue(value, compression));
      expect(read).toEqual({ kind: 'value', value: expected });
    }
  }

  it('come back, whatever JSON can say', () => {
    for (const value of [null, true, 0, -1, 0.1, 2 ** 53, -(2 ** 53), 1e300, '', '0', 'a', '\uD800', 'x'.repeat(5000), [], {}, [1, 'a', null], { a: { b: [1.5] } }]) check(value);
  });
  it('come back from every length around those that the codecs treat specially', () => {
    for (let length = 0; length < 600; length++) check('abcdefg '.repeat(100).slice(0, length) + 'é');
  });
  it('of megabytes come back', () => check(Array.from({ length: 200_000 }, (_, at) => at * 7919 % 10_007)));
  it('lose what JSON.stringify loses', () => {
    check({ a: undefined, b: NaN, c: new Date(0) }, { b: null, c: '1970-01-01T00:00:00.000Z' });
    check(-0, 0);
  });
  it('that would be lost as a whole are refused', () => {
    const cycle: { self?: object } = {};
    cycle.self = cycle;
    for (const value of [undefined, NaN, Infinity, -Infinity, 1n, { a: 1n }, () => 1, Symbol('a'), cycle, new Map(), new Set(), new Float32Array(1), new ArrayBuffer(1), Promise.resolve(), { toJSON: () => undefined }]) {
      expect(() => encodeValue(value as CacheValue)).toThrow(expect.objectContaining({ constructor: UniversalAiError, code: 'UAT_INVALID_INPUT' }));
    }
  });
  it('need the dictionary of their writer', () => {
    const own = dictionary(new TextEncoder().encode('The quick brown fox jumps over the lazy dog. '.repeat(3)));
    const value = 'The lazy dog jumps over the quick brown fox, and over the lazy dog. '.repeat(6);
    const stored = encodeValue(value, { dictionary: own });
    expect(decodeValue(stored)).toEqual({ kind: 'unknown' });
    expect(decodeValue(stored, [own])).toEqual({ kind: 'value', value });
  });
});

describe('broken envelopes', () => {
  beforeAll(loadZstd);

  it('never throw, and none that one bit changed is taken for a value', () => {
    for (const vector of vectors) {
      const stored = plain(vector.stored);
      if (stored.length > 300 || stored[0] !== 0xF5 || vector.expect !== 'value') continue;
      for (let bit = 0; bit < stored.length * 8; bit++) {
        const changed = stored.slice();
        changed[bit >> 3]! ^= 1 << (bit & 7);
        const read = decodeValue(changed);
        // Without the magic they are somebody's bytes.
        expect(read.kind === 'value').toBe(bit < 24);
      }
    }
  });
  it('whose JSON is none are corrupt', () => {
    const stored = encodeValue({}, undefined);
    expect(stored.subarray(-2)).toEqual(new TextEncoder().encode('{}'));
    // The CRC-32 of the same header with `{]`.
    const broken = Buffer.concat([stored.subarray(0, 8), Buffer.alloc(4), Buffer.from('{]')]);
    broken.writeUInt32LE(crc(Buffer.concat([stored.subarray(0, 8), Buffer.from('{]')])), 8);
    expect(decodeValue(broken)).toEqual({ kind: 'corrupt' });
  });
});

function crc(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xEDB88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}
