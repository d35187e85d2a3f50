import { UniversalAiError } from '../../errors.js';
import type { BackendStats, BackendSubscription, CheckedOptions, FlightTurn, RedisServiceBackend, SessionBackend, WriteOptions } from '../../services/redis-service-backend.js';
import type { CacheValue, RedisServiceStatus } from '../../services/redis-service-types.js';
import { EventQueue } from './event-queue.js';
import { globToRegExp } from './glob.js';
import { MemoryStore } from './memory-store.js';
import { MemorySessions } from './session-memory.js';
import { SessionRules } from './session-rules.js';
import { decodeOwn, encode, Values } from './values.js';

interface Listener {
  channels: string[];
  patterns: RegExp[];
  queue: EventQueue;
}

/** The whole service in this process, where there is no URL: the same API, nothing shared with anybody. */
export class EmbeddedRedisService implements RedisServiceBackend {
  readonly sessions: SessionBackend;
  readonly #store: MemoryStore;
  readonly #maxBytes: number;
  readonly #now: () => number;
  readonly #listeners = new Set<Listener>();
  readonly #since: number;
  readonly #stats = { hits: 0, misses: 0, nearHits: 0, sets: 0, bytesStored: 0, bytesBeforeCompression: 0, reconnects: 0, fallbackOps: 0 };

  /** @param now Milliseconds since 1970. */
  constructor({ fallback: { maxBytes } }: Pick<CheckedOptions, 'fallback'>, now: () => number = Date.now) {
    this.#store = new MemoryStore(maxBytes);
    this.#maxBytes = maxBytes;
    this.#now = now;
    this.#since = now();
    this.sessions = new SessionRules(new MemorySessions(maxBytes, now), new Values());
  }

  async set(key: string, value: CacheValue, { ttlMs, tags, onlyIf }: WriteOptions): Promise<boolean> {
    const now = this.#now();
    const stored = encode(value, 'value');
    if (onlyIf !== undefined && this.#store.has(key, now) !== (onlyIf === 'present')) return false;
    this.#write(key, stored, ttlMs, tags, now);
    return true;
  }

  async get(key: string): Promise<CacheValue | null> {
    return this.#read(key) ?? null;
  }

  async getMany(keys: string[]): Promise<(CacheValue | null)[]> {
    return keys.map(key => this.#read(key) ?? null);
  }

  async setMany(entries: [string, CacheValue][], ttlMs: number | undefined): Promise<void> {
    const now = this.#now();
    const encoded = entries.map(([key, value]) => [key, encode(value, 'value')] as const);
    for (const [key, stored] of encoded) this.#write(key, stored, ttlMs, [], now);
  }

  async delete(keys: string[]): Promise<number> {
    const now = this.#now();
    return keys.filter(key => this.#store.delete(key, now)).length;
  }

  async has(key: string): Promise<boolean> {
    return this.#store.has(key, this.#now());
  }

  async expire(key: string, ttlMs: number): Promise<boolean> {
    const now = this.#now();
    return this.#store.expire(key, now + ttlMs, now);
  }

  async ttlMs(key: string): Promise<number | null> {
    const now = this.#now();
    const expiresAt = this.#store.expiresAt(key, now);
    return expiresAt === undefined || expiresAt === Infinity ? null : expiresAt - now;
  }

  async increment(key: string, by: number, ttlMs: number | undefined): Promise<number> {
    const now = this.#now();
    const found = this.#store.get(key, now);
    const before = found === undefined ? 0 : decodeOwn(found.stored);
    if (!Number.isSafeInteger(before)) throw new UniversalAiError('UAT_CONFLICT', `increment: ${JSON.stringify(key)} holds no integer`, { details: { key } });
    const sum = (before as number) + by;
    if (!Number.isSafeInteger(sum)) throw new UniversalAiError('UAT_CONFLICT', `increment: the sum in ${JSON.stringify(key)} would be no safe integer; nothing was changed`, { details: { key } });
    const expiresAt = found?.expiresAt ?? Infinity;
    this.#store.set(key, encode(sum, 'value'), expiresAt === Infinity && ttlMs !== undefined ? now + ttlMs : expiresAt, [], now);
    return sum;
  }

  async clear(prefix: string): Promise<number> {
    return this.#store.clear(prefix, this.#now());
  }

  async invalidateTag(tag: string): Promise<number> {
    return this.#store.invalidateTag(tag, this.#now());
  }

  async flightBegin(key: string, staleMs: number): Promise<FlightTurn> {
    const now = this.#now();
    const expiresAt = this.#store.expiresAt(key, now);
    const value = this.#read(key);
    if (expiresAt === undefined || value === undefined) return { state: 'lead', lease: '' };
    return expiresAt - now > staleMs ? { state: 'fresh', value } : { state: 'stale', value, lease: '' };
  }

  /** Nobody else could hold the lease: flights of one process are joined before they come here. */
  async flightRenew(): Promise<boolean> {
    return true;
  }

  async flightFinish(key: string, _lease: string | null, value: CacheValue, ttlMs: number): Promise<void> {
    this.#write(key, encode(value, 'value'), ttlMs, [], this.#now());
  }

  async flightAbandon(): Promise<void> {}

  async command(name: string): Promise<unknown> {
    throw new UniversalAiError('UAT_UNSUPPORTED', `command: there is no Redis to answer ${name}; give initialize() a url`);
  }

  async publish(channel: string, message: CacheValue): Promise<number> {
    const encoded = encode(message, 'message');
    let receivers = 0;
    for (const { channels, patterns, queue } of this.#listeners) {
      for (const heard of [channels.includes(channel), ...patterns.map(pattern => pattern.test(channel))]) {
        if (!heard) continue;
        queue.push({ type: 'message', channel, message: decodeOwn(encoded) });
        receivers += 1;
      }
    }
    return receivers;
  }

  subscribe(channels: string[], pattern: boolean): BackendSubscription {
    const listener: Listener = {
      channels: pattern ? [] : channels,
      patterns: pattern ? channels.map(globToRegExp) : [],
      queue: new EventQueue(() => this.#listeners.add(listener), () => this.#listeners.delete(listener), this.#now),
    };
    return listener.queue;
  }

  status(): RedisServiceStatus {
    return { mode: 'embedded', since: this.#since, pendingReplays: 0 };
  }

  stats(): BackendStats {
    return { ...this.#stats };
  }

  async close(): Promise<void> {
    for (const { queue } of this.#listeners) queue.cancel();
  }

  #read(key: string): CacheValue | undefined {
    const found = this.#store.get(key, this.#now());
    this.#stats[found === undefined ? 'misses' : 'hits'] += 1;
    return found === undefined ? undefined : decodeOwn(found.stored);
  }

  #write(key: string, stored: Uint8Array, ttlMs: number | undefined, tags: string[], now: number): void {
    if (!this.#store.set(key, stored, ttlMs === undefined ? Infinity : now + ttlMs, tags, now)) {
      throw new UniversalAiError('UAT_STORAGE', `value: its ${stored.length} bytes are more than options.fallback.maxBytes (${this.#maxBytes}) allows`, { details: { key } });
    }
    this.#stats.sets += 1;
    this.#stats.bytesStored += stored.length;
    this.#stats.bytesBeforeCompression += stored.length;
  }
}
