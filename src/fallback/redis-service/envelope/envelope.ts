/**
 * How a value lies in Redis (docs/redis-format.md): the same bytes as the Rust core writes and reads, checked on the
 * vectors that both share. Nothing here knows Redis.
 */

import { crc32 } from 'node:zlib';

import { invalidInput } from '../../../errors.js';
import { LLM_JSON_DICTIONARY } from './llm-json-dictionary.js';
import { BadBlockError, lz4Compress, lz4Decompress } from './lz4.js';
import { KIND, plainValue, textOf, valueBytes, type CacheValue } from './values.js';
import { zstdCompress, zstdDecompress } from './zstd.js';

export { loadZstd } from './zstd.js';
export type { CacheValue } from './values.js';

/** How values are compressed. */
export interface Compression {
  /** Default `'zstd'`, which needs {@link loadZstd} first. */
  codec?: 'zstd' | 'lz4';
  /** Shorter values are stored as they are. Default 256 bytes. */
  minBytes?: number;
  /** Of zstd: 1 (the default) to 19. Values that take the dictionary are compressed at level 3 at least. */
  level?: number;
  /** Of zstd, for values up to 16 KiB. Default: the one that ships; `null` for none. */
  dictionary?: Dictionary | null;
}

/** A dictionary of the caller's, by {@link dictionary}. */
export interface Dictionary { readonly id: number; readonly bytes: Uint8Array }

/**
 * What stored bytes are. `unknown`: an envelope of a version, type, codec or dictionary that this program does not
 * know; a miss, and the value stays. `corrupt`: one with a wrong checksum or lengths; a miss, and it is deleted.
 */
export type Decoded = { kind: 'value'; value: CacheValue } | { kind: 'unknown' } | { kind: 'corrupt' };

/** `F5` occurs nowhere in UTF-8, so that no text is taken for an envelope. */
const MAGIC = [0xF5, 0x55, 0x41] as const;
const VERSION = 1;
const CODEC = { none: 0, lz4: 1, zstd: 2 } as const;
/** As in the Rust core, where the reason is. */
const MAX_VALUE_BYTES = 256 * 2 ** 20;
const DICTIONARY_MAX_BYTES = 16 * 2 ** 10;
const DICTIONARY_MIN_LEVEL = 3;
const FOREIGN_DICTIONARY = 0x8000_0000;

const UNKNOWN: Decoded = { kind: 'unknown' };
const CORRUPT: Decoded = { kind: 'corrupt' };

/** The dictionary that ships; decoded when it is first used. */
let shipped: Dictionary | undefined;
function shippedDictionary(): Dictionary {
  return shipped ??= { id: 1, bytes: Buffer.from(LLM_JSON_DICTIONARY, 'base64') };
}

/** A dictionary of your own, that `zstd --train` made. It is needed to read what was written with it. */
export function dictionary(bytes: Uint8Array): Dictionary {
  return { id: (crc32(bytes) | FOREIGN_DICTIONARY) >>> 0, bytes };
}

/**
 * What to store for a value; compressed only if told, and where that spares at least a tenth.
 *
 * @throws `UAT_INVALID_INPUT` for what cannot be stored, see `valueBytes`, and for more than 256 MiB.
 */
export function encodeValue(value: CacheValue, compression?: Compression): Uint8Array {
  const { kind, bytes, plain, integer } = valueBytes(value);
  if (integer) return bytes;
  if (bytes.length > MAX_VALUE_BYTES) throw invalidInput('value', 'at most 256 MiB', `${bytes.length} bytes`);
  const compressed = compression === undefined ? undefined : compress(kind, bytes, compression);
  if (compressed !== undefined) return compressed;
  return plain ? bytes : seal(kind, CODEC.none, 0, bytes.length, bytes);
}

function compress(kind: number, value: Uint8Array, options: Compression): Uint8Array | undefined {
  if (value.length === 0 || value.length < (options.minBytes ?? 256)) return undefined;
  const wanted = options.dictionary === undefined ? shippedDictionary() : options.dictionary;
  const isLz4 = options.codec === 'lz4';
  const dictionary = isLz4 || wanted === null || value.length > DICTIONARY_MAX_BYTES ? undefined : wanted;
  const level = options.level ?? 1;
  if (!Number.isInteger(level) || level < 1 || level > 19) throw invalidInput('compression.level', 'an integer from 1 to 19', level);
  const stored = isLz4 ? lz4Compress(value)
    : zstdCompress(value, dictionary === undefined ? level : Math.max(level, DICTIONARY_MIN_LEVEL), dictionary?.bytes);
  if (stored.length > Math.floor(value.length / 10) * 9) return undefined;
  return seal(kind, isLz4 ? CODEC.lz4 : CODEC.zstd, dictionary?.id ?? 0, value.length, stored);
}

/** The envelope: header, then the stored bytes. */
function seal(kind: number, codec: number, dictionary: number, length: number, stored: Uint8Array): Uint8Array {
  const header = [...MAGIC, VERSION, kind | (codec << 4), ...leb128(dictionary), ...leb128(length), ...leb128(stored.length)];
  const out = new Uint8Array(header.length + 4 + stored.length);
  out.set(header);
  out.set(stored, header.length + 4);
  new DataView(out.buffer).setUint32(header.length, crc32(stored, crc32(out.subarray(0, header.length))), true);
  return out;
}

/** Whether {@link decodeValue} needs {@link loadZstd} for these bytes. */
export function needsZstd(stored: Uint8Array): boolean {
  return isEnvelope(stored) && stored[3] === VERSION && stored[4]! >> 4 === CODEC.zstd;
}

/**
 * What the bytes of a key are, whoever wrote them. Never throws for what they hold, and takes no more memory than the
 * announced length, at most 256 MiB. A `Uint8Array` that was not compressed is a view of `stored`.
 *
 * @param dictionaries those of the caller; the one that ships is known.
 * @throws `UAT_NOT_INITIALIZED` if {@link needsZstd} and it is not loaded.
 */
export function decodeValue(stored: Uint8Array, dictionaries: readonly Dictionary[] = []): Decoded {
  if (!isEnvelope(stored)) return { kind: 'value', value: plainValue(stored) };
  if (stored.length > 3 && stored[3] !== VERSION) return UNKNOWN;
  const reader = { bytes: stored, at: 5 };
  const id = takeLeb128(reader), length = takeLeb128(reader), storedLength = takeLeb128(reader);
  const header = stored.subarray(0, reader.at);
  const rest = stored.subarray(reader.at + 4);
  if (id === undefined || length === undefined || length > MAX_VALUE_BYTES || storedLength !== rest.length || stored.length < reader.at + 4) return CORRUPT;
  const said = new DataView(stored.buffer, stored.byteOffset).getUint32(reader.at, true);
  if (said !== crc32(rest, crc32(header))) return CORRUPT;
  const kind = stored[4]! & 15, codec = stored[4]! >> 4;
  const known = id === 0 ? undefined : id === 1 ? shippedDictionary() : dictionaries.find(one => one.id === id);
  // Only zstd has dictionaries in this version.
  if (kind < KIND.bytes || kind > KIND.json || codec > CODEC.zstd || (id !== 0 && (codec !== CODEC.zstd || known === undefined))) return UNKNOWN;
  const value = open(codec, rest, length, known);
  return value === undefined ? CORRUPT : typed(kind, value);
}

function open(codec: number, stored: Uint8Array, length: number, known: Dictionary | undefined): Uint8Array | undefined {
  if (codec === CODEC.none) return stored.length === length ? stored : undefined;
  if (codec === CODEC.zstd) return zstdDecompress(stored, length, known?.bytes);
  try {
    return lz4Decompress(stored, length);
  } catch (error) {
    if (error instanceof BadBlockError) return undefined;
    throw error;
  }
}

function typed(kind: number, bytes: Uint8Array): Decoded {
  if (kind === KIND.bytes) return { kind: 'value', value: bytes };
  const text = textOf(bytes);
  if (text === undefined) return CORRUPT;
  if (kind === KIND.text) return { kind: 'value', value: text };
  try {
    return { kind: 'value', value: JSON.parse(text) as CacheValue };
  } catch (error) {
    // Its way to say that the text is no JSON.
    if (error instanceof SyntaxError) return CORRUPT;
    throw error;
  }
}

function isEnvelope(stored: Uint8Array): boolean {
  return MAGIC.every((byte, at) => stored[at] === byte);
}

function leb128(number: number): number[] {
  const out = [];
  for (; number >= 0x80; number = Math.floor(number / 0x80)) out.push(number % 0x80 | 0x80);
  out.push(number);
  return out;
}

/** A number as {@link leb128} writes it. There is one way to: padding and more than 32 bits are refused. */
function takeLeb128(reader: { bytes: Uint8Array; at: number }): number | undefined {
  let number = 0;
  for (let digit = 0; digit < 5; digit++) {
    const byte = reader.bytes[reader.at];
    if (byte === undefined) return undefined;
    reader.at++;
    number += (byte & 0x7F) * 2 ** (7 * digit);
    if (byte < 0x80) return (byte === 0 && digit > 0) || number >= 2 ** 32 ? undefined : number;
  }
  return undefined;
}
