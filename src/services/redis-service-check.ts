import { optionalSignal } from '../check.js';
import { describeValue, invalidInput } from '../errors.js';
import { LONGEST_TIMER_MS } from '../timers.js';
import type { CheckedOptions, CheckedSessionOptions, WriteOptions } from './redis-service-backend.js';
import type { CacheValue, CompressionOptions, GetOrComputeOptions, SessionOptions, SetOptions, SubscribeOptions } from './redis-service-types.js';
import { badUrl, parseRedisUrl } from './redis-service-url.js';

/** The checks of `RedisService`'s arguments, made once for both backends. */

/** Redis takes 512 MiB; longer than this is a mistake, and each key is held in tag sets as well. */
const LONGEST_KEY_BYTES = 64 * 1024;
/** What redis-service keeps for itself lies under this. */
const RESERVED = '~uat:';
/** Up to here whole milliseconds are exact. */
const LONGEST_TTL_SECONDS = Number.MAX_SAFE_INTEGER / 1000;
/** Each tag costs two commands a write. */
const MOST_TAGS = 64;
/** More connections to one server gain nothing. */
const MOST_CONNECTIONS = 64;
const MIB = 1024 * 1024;

export function checkOptions(given: unknown): CheckedOptions {
  const options = fields('options', given, ['url', 'maxConnections', 'enableCompression', 'compression', 'keyPrefix', 'nearCache', 'fallback', 'connectTimeoutMs', 'commandTimeoutMs', 'readBudgetMs']);
  const { url } = options;
  if (url !== undefined && (typeof url !== 'string' || url === '')) throw badUrl(`expected a string such as redis://127.0.0.1:6379, got ${typeof url === 'string' ? 'an empty string' : describeValue(url)}`);
  const compression = checkCompression(options['compression']);
  const enabled = boolean('options.enableCompression', options['enableCompression'], false);
  const fallback = fields('options.fallback', options['fallback'], ['maxBytes', 'replayWrites', 'maxReplay']);
  return {
    url,
    address: url === undefined ? undefined : parseRedisUrl(url),
    maxConnections: integer('options.maxConnections', options['maxConnections'], 1, MOST_CONNECTIONS) ?? 4,
    compression: enabled ? compression : undefined,
    dictionary: compression.dictionary,
    keyPrefix: checkPrefix('options.keyPrefix', options['keyPrefix']),
    nearCache: checkNearCache(options['nearCache']),
    fallback: {
      maxBytes: integer('options.fallback.maxBytes', fallback['maxBytes'], 1) ?? 64 * MIB,
      replayWrites: boolean('options.fallback.replayWrites', fallback['replayWrites'], false),
      maxReplay: integer('options.fallback.maxReplay', fallback['maxReplay'], 1),
    },
    connectTimeoutMs: integer('options.connectTimeoutMs', options['connectTimeoutMs'], 1, LONGEST_TIMER_MS) ?? 1000,
    commandTimeoutMs: integer('options.commandTimeoutMs', options['commandTimeoutMs'], 1, LONGEST_TIMER_MS) ?? 1000,
    readBudgetMs: integer('options.readBudgetMs', options['readBudgetMs'], 1, LONGEST_TIMER_MS) ?? 50,
  };
}

function checkCompression(given: unknown): CompressionOptions {
  const { codec, minBytes, level, dictionary } = fields('options.compression', given, ['codec', 'minBytes', 'level', 'dictionary']);
  if (codec !== undefined && codec !== 'lz4' && codec !== 'zstd') throw invalidInput('options.compression.codec', 'lz4 or zstd', codec);
  if (dictionary !== undefined && !(dictionary instanceof Uint8Array && dictionary.length > 0)) throw invalidInput('options.compression.dictionary', 'a Uint8Array that is not empty', dictionary);
  const checked: CompressionOptions = { codec: codec ?? 'zstd', minBytes: integer('options.compression.minBytes', minBytes, 0) ?? 256, level: integer('options.compression.level', level, 1, 19) ?? 1 };
  return dictionary === undefined ? checked : { ...checked, dictionary };
}

function checkNearCache(given: unknown): CheckedOptions['nearCache'] {
  if (given === undefined || given === false) return given;
  if (given === true) return { maxBytes: undefined, share: false };
  const { maxBytes, share } = fields('options.nearCache', given, ['maxBytes', 'share'], 'a boolean or an object');
  return { maxBytes: integer('options.nearCache.maxBytes', maxBytes, 1), share: boolean('options.nearCache.share', share, false) };
}

export function checkKey(key: unknown, field = 'key'): string {
  const checked = checkName(key, field);
  if (checked.startsWith(RESERVED)) throw invalidInput(field, `a key that does not begin with ${RESERVED}, which redis-service keeps for itself`, key);
  return checked;
}

/** A tag, a user, a channel: text that becomes part of a key. */
export function checkName(name: unknown, field: string): string {
  if (typeof name !== 'string' || name === '') throw invalidInput(field, 'a non-empty string', name);
  // One UTF-16 unit is at most three bytes, so that most names need no counting.
  if (name.length * 3 > LONGEST_KEY_BYTES && Buffer.byteLength(name) > LONGEST_KEY_BYTES) throw invalidInput(field, `at most ${LONGEST_KEY_BYTES} bytes`, name);
  if (!name.isWellFormed()) throw invalidInput(field, 'well-formed text, as UTF-8 knows no lone surrogates', name);
  return name;
}

/** The beginning of keys; may be empty. */
export function checkPrefix(field: string, prefix: unknown): string {
  return prefix === undefined || prefix === '' ? '' : checkName(prefix, field);
}

export function checkKeys(keys: unknown, field: string): string[] {
  if (!Array.isArray(keys)) throw invalidInput(field, 'an array of keys', keys);
  // Not map, which passes over the holes of an array.
  return Array.from(keys, (key, index) => checkKey(key, `${field}[${index}]`));
}

/** Seconds to whole milliseconds. */
export function checkTtl(ttl: unknown, field = 'ttl'): number {
  // Written so that NaN fails.
  if (!(typeof ttl === 'number' && ttl > 0 && ttl <= LONGEST_TTL_SECONDS)) throw invalidInput(field, `a number of seconds above 0 and up to ${Math.floor(LONGEST_TTL_SECONDS)}`, ttl);
  return Math.max(1, Math.round(ttl * 1000));
}

export function checkOptionalTtl(ttl: unknown, field = 'ttl'): number | undefined {
  return ttl === undefined ? undefined : checkTtl(ttl, field);
}

/** What cannot be stored whatever it contains; what JSON cannot hold shows when it is encoded. */
export function checkValue(value: unknown, field = 'value'): CacheValue {
  switch (typeof value) {
    case 'string': case 'boolean': case 'object':
      return value as CacheValue;
    case 'number':
      if (Number.isFinite(value)) return value;
      throw invalidInput(field, 'a finite number', value);
    default:
      throw invalidInput(field, 'a string, number, boolean, null, Uint8Array, object or array', value);
  }
}

export function checkWrite(ttl: unknown, given: unknown): WriteOptions {
  const { tags, onlyIf } = fields('options', given, ['tags', 'onlyIf']) as { [Name in keyof SetOptions]: unknown };
  if (onlyIf !== undefined && onlyIf !== 'absent' && onlyIf !== 'present') throw invalidInput('options.onlyIf', 'absent or present', onlyIf);
  if (tags !== undefined && (!Array.isArray(tags) || tags.length > MOST_TAGS)) throw invalidInput('options.tags', `an array of at most ${MOST_TAGS} tags`, tags);
  const checked = Array.from((tags ?? []) as unknown[], (tag, index) => checkName(tag, `options.tags[${index}]`));
  return { ttlMs: checkOptionalTtl(ttl), tags: [...new Set(checked)], onlyIf };
}

export function checkEntries(given: unknown): [string, CacheValue][] {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw invalidInput('entries', 'an object of keys and values', given);
  return Object.entries(given).map(([key, value]) => [checkKey(key, 'entries'), checkValue(value, `entries[${describeValue(key)}]`)]);
}

export function checkIncrement(by: unknown): number {
  if (!Number.isSafeInteger(by)) throw invalidInput('by', 'a safe integer', by);
  return by as number;
}

export function checkGetOrCompute(given: unknown): { staleMs: number; beta: number | undefined } {
  const { staleFor, beta } = fields('options', given, ['staleFor', 'beta']) as { [Name in keyof GetOrComputeOptions]: unknown };
  if (beta !== undefined && !(typeof beta === 'number' && beta >= 0 && beta < Infinity)) throw invalidInput('options.beta', 'a number of at least 0', beta);
  return { staleMs: staleFor === undefined || staleFor === 0 ? 0 : checkTtl(staleFor, 'options.staleFor'), beta };
}

export function checkSubscribe(channels: unknown, given: unknown): { channels: string[]; pattern: boolean; signal: AbortSignal | undefined } {
  const { pattern, signal } = fields('options', given, ['pattern', 'signal']) as { [Name in keyof SubscribeOptions]: unknown };
  const until = optionalSignal('options.signal', signal);
  const list: unknown[] = typeof channels === 'string' ? [channels] : Array.isArray(channels) ? Array.from(channels) : [];
  if (list.length === 0) throw invalidInput('channels', 'a channel, or an array of at least one', channels);
  return {
    channels: [...new Set(list.map((channel, index) => checkName(channel, typeof channels === 'string' ? 'channels' : `channels[${index}]`)))],
    pattern: boolean('options.pattern', pattern, false), signal: until,
  };
}

/** A day, as most web frameworks have it. */
const SESSION_TTL_MS = 86_400_000;

export function checkSession(given: unknown): CheckedSessionOptions {
  const { userId, ttl, rolling, absoluteTtl } = fields('options', given, ['userId', 'ttl', 'rolling', 'absoluteTtl']) as { [Name in keyof SessionOptions]: unknown };
  return {
    userId: userId === undefined ? undefined : checkName(userId, 'options.userId'),
    ttlMs: checkOptionalTtl(ttl, 'options.ttl') ?? SESSION_TTL_MS,
    rolling: boolean('options.rolling', rolling, false),
    absoluteTtlMs: checkOptionalTtl(absoluteTtl, 'options.absoluteTtl'),
  };
}

export function checkSessionData(data: unknown): Record<string, unknown> {
  if (typeof data !== 'object' || data === null || Array.isArray(data) || data instanceof Uint8Array) throw invalidInput('data', 'an object', data);
  return data as Record<string, unknown>;
}

/** Reads an options object: an unknown name is a typing error, not something to pass over. */
function fields(field: string, given: unknown, known: string[], expected = 'an object'): Record<string, unknown> {
  if (given === undefined) return {};
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw invalidInput(field, expected, given);
  const unknown = Object.keys(given).find(name => !known.includes(name));
  if (unknown !== undefined) throw invalidInput(`${field}.${unknown}`, `one of ${known.join(', ')}`, `the unknown option ${unknown}`);
  return given as Record<string, unknown>;
}

function boolean(field: string, value: unknown, otherwise: boolean): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw invalidInput(field, 'a boolean', value);
  return value ?? otherwise;
}

function integer(field: string, value: unknown, low: number, high = Number.MAX_SAFE_INTEGER): number | undefined {
  if (value === undefined) return undefined;
  if (!(Number.isSafeInteger(value) && (value as number) >= low && (value as number) <= high)) {
    throw invalidInput(field, high === Number.MAX_SAFE_INTEGER ? `an integer of at least ${low}` : `an integer from ${low} to ${high}`, value);
  }
  return value as number;
}
