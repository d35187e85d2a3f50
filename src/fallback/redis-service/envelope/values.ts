/**
 * Values of the cache and their bytes, without envelopes: what may be stored, and what plain bytes are read as. The
 * native adapter asks here, too, so that both backends take and refuse the same.
 */

import { jsonOf } from '../../../services/redis-service-value.js';

/** What the cache holds: what JSON can say, and bytes. */
export type CacheValue = string | number | boolean | null | Uint8Array | object;

/** What the type byte of an envelope says. */
export const KIND = { bytes: 1, text: 2, json: 3 } as const;

/** The bytes of a value. `plain`: they lie in Redis as they are, unless they are compressed. */
export interface ValueBytes { kind: 1 | 2 | 3; bytes: Uint8Array; plain: boolean; integer: boolean }

const LONE_SURROGATE = /\p{Surrogate}/u;
const INTEGER = /^(?:0|-?[1-9][0-9]{0,15})$/;
// A byte order mark is a character of the value, and bytes that are not UTF-8 are not text.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** The bytes of a value; what cannot be stored is refused, see `jsonOf`. `-0` becomes `0`. */
export function valueBytes(value: unknown): ValueBytes {
  switch (typeof value) {
    case 'string': {
      if (LONE_SURROGATE.test(value)) return json(value);
      return { kind: KIND.text, bytes: encoder.encode(value), plain: !isSafeIntegerText(value), integer: false };
    }
    case 'number':
      if (!Number.isSafeInteger(value)) return json(value);
      return { kind: KIND.text, bytes: encoder.encode(String(value)), plain: true, integer: true };
    case 'object':
      if (value instanceof Uint8Array) return { kind: KIND.bytes, bytes: value, plain: false, integer: false };
      return json(value);
    default: return json(value);
  }
}

function json(value: unknown): ValueBytes {
  return { kind: KIND.json, bytes: encoder.encode(jsonOf(value, 'value')), plain: false, integer: false };
}

/** What bytes without an envelope are: a number, text, or what is not UTF-8. */
export function plainValue(bytes: Uint8Array): CacheValue {
  const text = textOf(bytes);
  if (text === undefined) return bytes;
  return isSafeIntegerText(text) ? Number(text) : text;
}

/** The text that bytes are, if they are UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    // Its way to say that they are not.
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Whether the text is one that a safe integer is stored as. */
function isSafeIntegerText(text: string): boolean {
  return INTEGER.test(text) && Number.isSafeInteger(Number(text));
}
