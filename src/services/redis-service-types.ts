/** What `RedisService` takes and gives. Times are milliseconds unless a name says otherwise; `ttl` is in seconds. */

/** What can be stored. Reading gives back an equal value; `undefined`, functions and symbols inside objects go the way of `JSON.stringify`. */
export type CacheValue = string | number | boolean | null | Uint8Array | { [k: string]: unknown } | unknown[];

export interface RedisServiceOptions {
  /**
   * `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, `redis+sentinel://h1:p1,h2:p2/master[/db]`,
   * `redis+cluster://h1:p1,h2:p2` (both also as `rediss+...`), or `unix:/path/of.sock[?db=1&user=u&pass=p]`.
   * A private certificate authority is named by `?ca=/path/ca.pem` or by `NODE_EXTRA_CA_CERTS`.
   * Absent: everything stays in this process.
   */
  url?: string;
  /** Connections to Redis over which commands are multiplexed. Default 4. */
  maxConnections?: number;
  /** Default `false`. */
  enableCompression?: boolean;
  compression?: CompressionOptions;
  /** Put before every key and channel. Default none. */
  keyPrefix?: string;
  /**
   * In-process tier kept coherent by RESP3 invalidation (native backend). Objects are parsed anew on each hit, so a
   * caller may change what it got; `share: true` returns one deep-frozen object instead.
   */
  nearCache?: boolean | NearCacheOptions;
  fallback?: FallbackOptions;
  /** How long the first connection, and each later one, may take. Default 1000. */
  connectTimeoutMs?: number;
  /** How long a command that is no cache read may take before Redis counts as away. Default 1000. */
  commandTimeoutMs?: number;
  /** A cache read slower than this is answered as a miss. Default 50. */
  readBudgetMs?: number;
}

export interface CompressionOptions {
  /** Default `zstd`. */
  codec?: 'lz4' | 'zstd';
  /** Shorter values stay as they are. Default 256 bytes. */
  minBytes?: number;
  /** Of zstd, 1 (the default) to 19. */
  level?: number;
  /** Of zstd; needed to read what was written with it. Default: the one that ships. */
  dictionary?: Uint8Array;
}

export interface NearCacheOptions {
  maxBytes?: number;
  share?: boolean;
}

export interface FallbackOptions {
  /** How much the tier in this process may hold. Default 64 MiB. */
  maxBytes?: number;
  /** Keeps session writes in a journal while Redis is away (native backend). Default `false`. */
  replayWrites?: boolean;
  /** How many writes that journal may hold. */
  maxReplay?: number;
}

export interface SetOptions {
  /** `invalidateTag` with any of them deletes the value. */
  tags?: string[];
  /** Writes only if there is no value yet, or only if there is one. */
  onlyIf?: 'absent' | 'present';
}

export interface GetOrComputeOptions {
  /** Seconds after the end of `ttl` in which the old value is still answered while one caller refreshes it. Default 0. */
  staleFor?: number;
  /** Probabilistic early refresh; not there yet. */
  beta?: number;
}

export interface SubscribeOptions {
  /** The channels are glob patterns as in `PSUBSCRIBE`. Default `false`. */
  pattern?: boolean;
  /** Ends the iteration, as leaving the loop does. */
  signal?: AbortSignal;
}

/** What a subscription yields. A gap says that messages of the last `sinceMs` milliseconds may have been lost. */
export type SubscriptionEvent = { type: 'message'; channel: string; message: CacheValue } | { type: 'gap'; sinceMs: number };

export interface RedisServiceStatus {
  /** `redis`: Redis answers. `fallback`: it does not, and this process answers what it can. `embedded`: there is no URL. */
  mode: 'redis' | 'fallback' | 'embedded';
  /** When this mode began, in ms since 1970. */
  since: number;
  /** Writes of the meantime that Redis does not know yet. */
  pendingReplays: number;
  /** Why Redis was away the last time; no password in it. */
  lastError?: string;
}

export interface RedisServiceStats {
  hits: number;
  misses: number;
  nearHits: number;
  sets: number;
  /** Bytes of the values that were written. */
  bytesStored: number;
  /** What they would have been without compression. */
  bytesBeforeCompression: number;
  reconnects: number;
  /** Calls that were answered without Redis because it was away. */
  fallbackOps: number;
  /** Refreshes of `getOrCompute` in the background that failed; their callers had the old value. */
  failedRefreshes: number;
}

export interface SessionOptions {
  /** Makes the session one of this user, for `listForUser` and `revokeAll`. */
  userId?: string;
  /** Seconds. Default 86,400, a day. */
  ttl?: number;
  /** Each read and write gives the whole `ttl` again. Default `false`. */
  rolling?: boolean;
  /** Seconds after which the session ends in any case. Default never. */
  absoluteTtl?: number;
}

export interface Session {
  id: string;
  userId?: string;
  data: Record<string, unknown>;
  /** In ms since 1970, by the server's clock. */
  createdAt: number;
  /** In ms since 1970, by the server's clock. */
  expiresAt: number;
}

/** A session as `listForUser` gives it. Ids are stored hashed; the `handle` is good for `destroy` only. */
export type ListedSession = Omit<Session, 'id'> & { handle: string };

/**
 * Sessions are no cache: while Redis is away every method rejects with `UAT_STORAGE` (retryable) instead of answering
 * from another store, which would log people out or bring destroyed sessions back.
 */
export interface SessionStore {
  /** A new session with an id of 256 random bits. */
  create(data: Record<string, unknown>, options?: SessionOptions): Promise<Session>;
  /** `null`: there is none, it has expired or it was destroyed. */
  get(id: string): Promise<Session | null>;
  /** Replaces the data. `UAT_NOT_FOUND`: the session is gone; a late save never brings a destroyed one back. */
  update(id: string, data: Record<string, unknown>): Promise<Session>;
  /** Gives the session a new id and ends the old one, as after a login. `UAT_NOT_FOUND`: it is gone. */
  regenerate(id: string): Promise<Session>;
  /** Ends a session for good. `false`: there was none. */
  destroy(idOrHandle: string): Promise<boolean>;
  listForUser(userId: string): Promise<ListedSession[]>;
  /** Destroys all sessions of a user; how many there were. */
  revokeAll(userId: string): Promise<number>;
  /**
   * For adapters of session middleware, which make the ids themselves: writes the session whether or not it exists.
   * `UAT_CONFLICT`: it was destroyed.
   */
  put(id: string, data: Record<string, unknown>, options?: SessionOptions): Promise<Session>;
  /** For adapters: gives the whole time to live again, or another one (seconds). `false`: there is no such session. */
  touch(id: string, ttl?: number): Promise<boolean>;
}
