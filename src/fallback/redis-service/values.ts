import { invalidInput, UniversalAiError } from '../../errors.js';
import type { CacheValue, CompressionOptions } from '../../services/redis-service-types.js';
import { type Compression, type Decoded, decodeValue, dictionary, type Dictionary, encodeValue } from './envelope/envelope.js';

/** How values cross the border of a store: as the bytes of docs/redis-format.md, also where the store is this process. */
export class Values {
  readonly #compression: Compression | undefined;
  readonly #dictionaries: Dictionary[];

  /**
   * @param compression `undefined`: what is written is not compressed.
   * @param own A dictionary that the caller brings; what was written with it is read also without `compression`.
   */
  constructor(compression?: CompressionOptions, own?: Uint8Array) {
    this.#dictionaries = own === undefined ? [] : [dictionary(own)];
    if (compression === undefined) return;
    const { dictionary: _, ...options } = compression;
    this.#compression = { ...options, ...(this.#dictionaries[0] === undefined ? {} : { dictionary: this.#dictionaries[0] }) };
  }

  /** @param field Names the value where it cannot be stored. */
  encode(value: CacheValue, field: string): Uint8Array {
    return encode(value, field, this.#compression);
  }

  decode(stored: Uint8Array): Read {
    return ownBytes(decodeValue(stored, this.#dictionaries));
  }
}

export type Read = { kind: 'value'; value: CacheValue } | { kind: 'unknown' } | { kind: 'corrupt' };

/** A value without compression: messages, sessions, what stays in this process. */
export function encode(value: CacheValue, field: string, compression?: Compression): Uint8Array {
  try {
    return encodeValue(value, compression);
  } catch (error) {
    // The envelope calls whatever it gets a value.
    if (field === 'value' || !(error instanceof UniversalAiError) || error.details['field'] !== 'value') throw error;
    throw Object.assign(invalidInput(field, String(error.details['expected']), value), { cause: error.cause });
  }
}

export function decode(stored: Uint8Array): Read {
  return ownBytes(decodeValue(stored));
}

/** A value that this process wrote itself, so that it cannot be unreadable. */
export function decodeOwn(stored: Uint8Array): CacheValue {
  const decoded = decode(stored);
  if (decoded.kind !== 'value') throw new UniversalAiError('UAT_INTERNAL', 'a value in memory could not be read; please report this');
  return decoded.value;
}

/** The same bytes as ioredis wants them, without a copy. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Bytes come as a view of what is stored, or of what the network brought: each reader gets his own. */
function ownBytes(decoded: Decoded): Read {
  if (decoded.kind !== 'value') return decoded;
  const value = decoded.value as CacheValue;
  return { kind: 'value', value: value instanceof Uint8Array ? Uint8Array.from(value) : value };
}

/** What a value would take without compression, for `stats()`: read from its envelope. */
export function bytesBeforeCompression(stored: Uint8Array): number {
  const isEnvelope = stored.length > 5 && stored[0] === 0xf5 && stored[1] === 0x55 && stored[2] === 0x41;
  if (!isEnvelope || ((stored[4] as number) >> 4) === 0) return stored.length;
  let at = 5;
  while ((stored[at] ?? 0) >= 128) at += 1; // The dictionary's id.
  at += 1;
  let length = 0;
  for (let factor = 1; ; factor *= 128) {
    const byte = stored[at++] ?? 0;
    length += (byte & 127) * factor;
    if (byte < 128) return length;
  }
}
