import { crc32 } from 'node:zlib';

import { invalidInput } from '../../../errors.js';
import type { CacheValue } from '../../../services/redis-service-types.js';

/** Values as docs/redis-format.md says, without compression: a stand-in until the codecs are there. */

const MAGIC = [0xf5, 0x55, 0x41];
const VERSION = 1;
const MOST_BYTES = 256 * 1024 * 1024;
const INTEGER = /^(?:0|-?[1-9]\d{0,15})$/;

export interface Compression {
  codec?: 'zstd' | 'lz4';
  minBytes?: number;
  level?: number;
  dictionary?: Dictionary | null;
}

export interface Dictionary { readonly id: number; readonly bytes: Uint8Array }

export type Decoded = { kind: 'value'; value: CacheValue } | { kind: 'unknown' } | { kind: 'corrupt' };

export async function loadZstd(): Promise<void> {}

export function encodeValue(value: CacheValue, _compression?: Compression): Uint8Array {
  if (typeof value === 'number' && Number.isSafeInteger(value) && !Object.is(value, -0)) return Buffer.from(String(value));
  if (typeof value === 'string') {
    if (/\p{Surrogate}/u.test(value)) return envelope(3, Buffer.from(JSON.stringify(value)));
    const bytes = Buffer.from(value);
    return isInteger(value) ? envelope(2, bytes) : limited(bytes);
  }
  if (value instanceof Uint8Array) return envelope(1, value);
  return envelope(3, Buffer.from(json(value)));
}

export function dictionary(bytes: Uint8Array): Dictionary {
  return { id: (crc32(bytes) | 0x8000_0000) >>> 0, bytes };
}

export function decodeValue(stored: Uint8Array, _dictionaries: readonly Dictionary[] = []): Decoded {
  if (!MAGIC.every((byte, at) => stored[at] === byte)) return { kind: 'value', value: raw(stored) };
  if (stored[3] !== VERSION) return { kind: 'unknown' };
  const kind = stored[4];
  if (kind === undefined) return { kind: 'corrupt' };
  if (kind < 1 || kind > 3) return { kind: 'unknown' };
  const numbers: number[] = [];
  let at = 5;
  while (numbers.length < 3) {
    let number = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = stored[at++];
      if (byte === undefined || shift > 28) return { kind: 'corrupt' };
      number += (byte & 127) * 2 ** shift;
      if (byte < 128) break;
    }
    numbers.push(number);
  }
  if (numbers[0] !== 0) return { kind: 'unknown' };
  const body = stored.subarray(at + 4);
  if (body.length !== numbers[2] || numbers[1] !== numbers[2]) return { kind: 'corrupt' };
  const sum = Buffer.from(stored.buffer, stored.byteOffset, stored.length).readUInt32LE(at);
  if (crc32(body, crc32(stored.subarray(0, at))) !== sum) return { kind: 'corrupt' };
  if (kind === 1) return { kind: 'value', value: Uint8Array.from(body) };
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8');
  try {
    return { kind: 'value', value: kind === 2 ? text : JSON.parse(text) as CacheValue };
  } catch {
    return { kind: 'corrupt' };
  }
}

function json(value: CacheValue): string {
  try {
    const text = JSON.stringify(value) as string | undefined;
    if (text !== undefined) return text;
  } catch (cause) {
    throw Object.assign(invalidInput('value', 'what JSON can hold', value), { cause });
  }
  throw invalidInput('value', 'what JSON can hold', value);
}

function raw(stored: Uint8Array): CacheValue {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(stored);
    return isInteger(text) ? Number(text) : text;
  } catch {
    return Uint8Array.from(stored);
  }
}

function isInteger(text: string): boolean {
  return INTEGER.test(text) && Number.isSafeInteger(Number(text));
}

function envelope(type: number, body: Uint8Array): Uint8Array {
  limited(body);
  const head = Buffer.from([...MAGIC, VERSION, type, 0, ...leb128(body.length), ...leb128(body.length)]);
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(crc32(body, crc32(head)));
  return Buffer.concat([head, sum, body]);
}

function limited(bytes: Uint8Array): Uint8Array {
  if (bytes.length > MOST_BYTES) throw invalidInput('value', 'at most 256 MiB', `${bytes.length} bytes`);
  return bytes;
}

function leb128(number: number): number[] {
  const bytes: number[] = [];
  for (let left = number; ; left >>>= 7) {
    if (left < 128) return [...bytes, left];
    bytes.push((left & 127) | 128);
  }
}
