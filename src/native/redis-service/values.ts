import type { CacheValue } from '../../services/redis-service-types.js';
import { jsonOf } from '../../services/redis-service-value.js';
import type { RedisValue } from '../binding.js';
import { Payload } from './batches.js';

/** How a value crosses in a batch. */
export function payloadOf(value: CacheValue, field: string): [kind: number, payload: string | number | Uint8Array] {
  if (typeof value === 'string') {
    // UTF-8 knows no lone surrogates; JSON escapes them.
    return value.isWellFormed() ? [Payload.text, value] : [Payload.json, JSON.stringify(value)];
  }
  if (Number.isSafeInteger(value)) return [Payload.integer, value as number];
  // A copy, since the caller may change it before the end of the tick.
  if (value instanceof Uint8Array) return [Payload.bytes, value.slice()];
  return [Payload.json, jsonOf(value, field)];
}

const FIELDS = ['text', 'json', 'integer', 'bytes'] as const;

/** How a value crosses by itself. */
export function toNative(value: CacheValue, field: string): RedisValue {
  const [kind, payload] = payloadOf(value, field);
  return { [FIELDS[kind] as string]: payload };
}

/** What crossed by itself. */
export function fromNativeValue({ text, json, integer, bytes }: RedisValue): CacheValue {
  return text ?? integer ?? bytes ?? JSON.parse(json ?? 'null') as CacheValue;
}

/** An answer of Redis, from the JSON of `answer_json` in `crates/node-addon`. */
export function fromAnswer(json: string): unknown {
  return plain(JSON.parse(json));
}

function plain(answer: unknown): unknown {
  if (Array.isArray(answer)) return answer.map(plain);
  if (typeof answer !== 'object' || answer === null) return answer;
  const { bytes, map, double, error } = answer as { bytes?: string; map?: [unknown, unknown][]; double?: string; error?: string };
  if (bytes !== undefined) return new Uint8Array(Buffer.from(bytes, 'base64'));
  if (map !== undefined) return Object.fromEntries(map.map(([key, value]) => [String(plain(key)), plain(value)]));
  if (double !== undefined) return Number(double.replace('inf', 'Infinity'));
  return new Error(error);
}
