import type { CacheValue, CompressionOptions, ListedSession, RedisServiceStats, RedisServiceStatus, Session, SetOptions, SubscriptionEvent } from './redis-service-types.js';
import type { RedisAddress } from './redis-service-url.js';

/**
 * What the native adapter and the TypeScript fallback each implement for `RedisService`, so that the compiler tells when
 * they drift.
 *
 * Arguments have been checked; times are whole milliseconds of at least 1. Everything rejects with a `UniversalAiError`.
 * Nothing is called after `close`, except by a call that was under way.
 *
 * Values are encoded before the call returns, since the caller may change them afterwards. What JSON cannot hold, or is
 * over the limit of docs/redis-format.md, is refused with `UAT_INVALID_INPUT` naming the field (`value`, `data`, `message`).
 *
 * While Redis is away: reads are misses within the read budget; `set`, `setMany`, `delete` and `expire` are kept in this
 * process and settled on return; all else rejects with `UAT_STORAGE` (retryable).
 *
 * What Redis refuses: `NOAUTH`, `WRONGPASS`, `NOPERM`: `UAT_UNAUTHORIZED`. `WRONGTYPE`: `UAT_CONFLICT` naming the key.
 * `OOM`, `READONLY`, `LOADING`, `BUSY`, `MISCONF`, `CLUSTERDOWN`, `MASTERDOWN`, `TRYAGAIN`, `NOREPLICAS`: `UAT_STORAGE`
 * (retryable; a read is a miss). Anything else: `UAT_UPSTREAM` with `details.reply`.
 */
export interface RedisServiceBackend {
  /** What is at hand without waiting, where there is such a tier. Knows no key that the checks refuse. */
  readonly near?: { get(key: string): CacheValue | undefined } | undefined;
  set(key: string, value: CacheValue, options: WriteOptions): Promise<boolean>;
  get(key: string): Promise<CacheValue | null>;
  getMany(keys: string[]): Promise<(CacheValue | null)[]>;
  setMany(entries: [key: string, value: CacheValue][], ttlMs: number | undefined): Promise<void>;
  delete(keys: string[]): Promise<number>;
  has(key: string): Promise<boolean>;
  expire(key: string, ttlMs: number): Promise<boolean>;
  /** What is left, in ms; `null` for no such key or no expiry. */
  ttlMs(key: string): Promise<number | null>;
  /** `UAT_CONFLICT` naming the key: it holds no integer, or the sum would not be a safe one. `ttlMs` applies if the key has no expiry. */
  increment(key: string, by: number, ttlMs: number | undefined): Promise<number>;
  clear(prefix: string): Promise<number>;
  invalidateTag(tag: string): Promise<number>;

  /**
   * Looks the key up for `getOrCompute` and decides who computes. Waits while another process does. Never rejects
   * because Redis is away.
   *
   * @param staleMs A value is fresh while more than this is left of its time to live.
   */
  flightBegin(key: string, staleMs: number): Promise<FlightTurn>;
  /** Keeps the lease for another five seconds; `false` if it has gone to somebody else. */
  flightRenew(key: string, lease: string): Promise<boolean>;
  /** Writes the value and gives the lease back if it is still ours. Never rejects because Redis is away. */
  flightFinish(key: string, lease: string | null, value: CacheValue, ttlMs: number): Promise<void>;
  /** Gives the lease back if it is still ours. */
  flightAbandon(key: string, lease: string): Promise<void>;

  readonly sessions: SessionBackend;

  /**
   * Bulk strings come as strings if they are UTF-8, else as `Uint8Array`; maps as objects and doubles as numbers, as in RESP3.
   *
   * @param name In capitals, and none of those that change a shared connection.
   * @param blocking The command may wait for others to act, so that it needs a connection of its own and no time limit.
   */
  command(name: string, args: (string | Uint8Array)[], blocking: boolean): Promise<unknown>;
  publish(channel: string, message: CacheValue): Promise<number>;
  /** Does nothing before the first `next`. */
  subscribe(channels: string[], pattern: boolean): BackendSubscription;

  status(): RedisServiceStatus;
  stats(): BackendStats;
  /** Ends the calls under way with `UAT_CLOSED`, ends subscriptions, frees everything. */
  close(): Promise<void>;
}

/**
 * Makes a backend that is connected. Rejects with `UAT_CONFIG` naming `url` (unknown host, unreadable CA file),
 * `UAT_UNAUTHORIZED` or `UAT_UNSUPPORTED`; resolves in mode `fallback` when the connection is refused or takes more
 * than `connectTimeoutMs`.
 *
 * @param onMode Called with each mode that begins, the first one included (before this resolves), never with the same mode twice in a row.
 */
export type OpenRedisService = (options: CheckedOptions, onMode: (status: RedisServiceStatus) => void) => Promise<RedisServiceBackend>;

/** What the backend counts; flights are counted above it. */
export type BackendStats = Omit<RedisServiceStats, 'failedRefreshes'>;

/** Options that have passed the checks, defaults filled in. */
export interface CheckedOptions {
  /** As the caller wrote it; holds the password, so that it appears in no message. */
  url: string | undefined;
  /** What the URL says. */
  address: RedisAddress | undefined;
  maxConnections: number;
  /** `undefined`: values are not compressed. */
  compression: CompressionOptions | undefined;
  /** The caller's own; what was written with it is to be read also where compression is off. */
  dictionary: Uint8Array | undefined;
  keyPrefix: string;
  /** `undefined`: the caller said nothing. */
  nearCache: { maxBytes: number | undefined; share: boolean } | false | undefined;
  fallback: { maxBytes: number; replayWrites: boolean; maxReplay: number | undefined };
  connectTimeoutMs: number;
  commandTimeoutMs: number;
  readBudgetMs: number;
}

export interface WriteOptions {
  ttlMs: number | undefined;
  /** Without repetitions; empty for none. */
  tags: string[];
  onlyIf: SetOptions['onlyIf'];
}

/** What `flightBegin` found: a value; an old value, and whether this caller is to refresh it; or who computes. */
export type FlightTurn =
  | { state: 'fresh'; value: CacheValue }
  | { state: 'stale'; value: CacheValue; lease: string | null }
  | { state: 'lead'; lease: string }
  /** Redis is away: everybody computes for himself. */
  | { state: 'alone' };

/** A subscription that the consumer pulls. */
export interface BackendSubscription {
  /** The next events, at least one, in order; `null` once it has ended. Called again only after the previous call has settled. */
  next(): Promise<SubscriptionEvent[] | null>;
  /** Unsubscribes. Idempotent; a pending `next` gives `null`. */
  cancel(): void;
}

export interface CheckedSessionOptions {
  userId: string | undefined;
  ttlMs: number;
  rolling: boolean;
  absoluteTtlMs: number | undefined;
}

/** The session store with checked arguments; the contract of each method is that of `SessionStore`. */
export interface SessionBackend {
  create(data: Record<string, unknown>, options: CheckedSessionOptions): Promise<Session>;
  put(id: string, data: Record<string, unknown>, options: CheckedSessionOptions): Promise<Session>;
  get(id: string): Promise<Session | null>;
  update(id: string, data: Record<string, unknown>): Promise<Session>;
  touch(id: string, ttlMs: number | undefined): Promise<boolean>;
  regenerate(id: string): Promise<Session>;
  destroy(idOrHandle: string): Promise<boolean>;
  listForUser(userId: string): Promise<ListedSession[]>;
  revokeAll(userId: string): Promise<number>;
}
