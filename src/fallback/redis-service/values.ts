import { UniversalAiError } from '../../errors.js';
import type { CacheValue, CompressionOptions } from '../../services/redis-service-types.js';
import { decodeValue, encodeValue } from './envelope/index.js';

/** How values cross the border of a store: as the bytes of docs/redis-format.md, also where the store is this process. */

/** A value to be written: `field` names it where JSON cannot hold it. */
export function encode(value: CacheValue, field: string, compression?: CompressionOptions): Uint8Array {
  try {
    return encodeValue(value, compression);
  } catch (cause) {
    if (cause instanceof UniversalAiError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UniversalAiError('UAT_INVALID_INPUT', `${field}: expected a value that can be stored as JSON and is not too large: ${why}`, { details: { field, expected: 'a value that can be stored' }, cause });
  }
}

/** A value that this process wrote itself, so that it cannot be unreadable. */
export function decodeOwn(stored: Uint8Array): CacheValue {
  const decoded = decodeValue(stored);
  if (decoded.kind !== 'value') throw new UniversalAiError('UAT_INTERNAL', 'a value in memory could not be read; please report this');
  return decoded.value;
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
