/**
 * Values of the cache and their bytes, without envelopes: what may be stored, and what plain bytes are read as. The
 * native adapter asks here, too, so that both backends take and refuse the same.
 */

import { invalidInput } from '../../../errors.js';

/** What the cache holds: what JSON can say, and bytes. */
export type CacheValue = string | number | boolean | null | Uint8Array | object;

/** What the type byte of an envelope says. */
export const KIND = { bytes: 1, text: 2, json: 3 } as const;

/** The bytes of a value. `plain`: they lie in Redis as they are, unless they are compressed. */
export interface ValueBytes { kind: 1 | 2 | 3; bytes: Uint8Array; plain: boolean; integer: boolean }

const EXPECTED = 'a string, a finite number, a boolean, null, a Uint8Array, or an object or array that JSON.stringify takes';
const LONE_SURROGATE = /\p{Surrogate}/u;
const INTEGER = /^(?:0|-?[1-9][0-9]{0,15})$/;
// A byte order mark is a character of the value, and bytes that are not UTF-8 are not text.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * The bytes of a value. Objects become what `JSON.stringify` makes of them: nested `undefined` and functions go
 * missing, nested `NaN` becomes `null`, a `Date` its ISO string; and `-0` becomes `0`. What would be lost as a whole is
 * refused: `undefined`, functions, symbols, `NaN`, the infinities, bigints, cycles, `Map`, `Set`, promises, and other
 * views than `Uint8Array`.
 */
export function valueBytes(value: unknown): ValueBytes {
  switch (typeof value) {
    case 'string': {
      if (LONE_SURROGATE.test(value)) return json(value);
      return { kind: KIND.text, bytes: encoder.encode(value), plain: !isSafeIntegerText(value), integer: false };
    }
    case 'number':
      if (!Number.isFinite(value)) throw invalidInput('value', EXPECTED, value);
      if (!Number.isSafeInteger(value)) return json(value);
      return { kind: KIND.text, bytes: encoder.encode(String(value)), plain: true, integer: true };
    case 'object':
      if (value instanceof Uint8Array) return { kind: KIND.bytes, bytes: value, plain: false, integer: false };
      if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof Map || value instanceof Set || value instanceof Promise) {
        throw invalidInput('value', EXPECTED, value);
      }
      return json(value);
    case 'boolean': return json(value);
    default: throw invalidInput('value', EXPECTED, value);
  }
}

function json(value: unknown): ValueBytes {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    const error = invalidInput('value', EXPECTED, value);
    error.cause = cause;
    throw error;
  }
  // An object whose toJSON says nothing.
  if (text === undefined) throw invalidInput('value', EXPECTED, value);
  return { kind: KIND.json, bytes: encoder.encode(text), plain: false, integer: false };
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
