// What a cache holds, and what the near tier is given of it.

export type CacheValue = string | number | boolean | null | Uint8Array | { [key: string]: unknown } | unknown[];

/** How a payload becomes a value: `json` is text that is parsed; the others are values already. */
export type PayloadKind = 'string' | 'json' | 'number' | 'bytes';
export type Payload = string | number | Uint8Array;

/** Freezes a parsed JSON value and everything in it, so that several callers may hold it. Bytes cannot be frozen and stay as they are. */
export function deepFreeze(value: CacheValue): CacheValue {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  for (const inner of Object.values(value)) deepFreeze(inner as CacheValue);
  Object.freeze(value);
  return value;
}
