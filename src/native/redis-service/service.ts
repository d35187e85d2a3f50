import type { BackendStats, BackendSubscription, CheckedOptions, FlightTurn, OpenRedisService, RedisServiceBackend, SessionBackend, WriteOptions } from '../../services/redis-service-backend.js';
import type { CacheValue, RedisServiceStatus } from '../../services/redis-service-types.js';
import type { RedisOptions, RedisService, RedisStatus } from '../binding.js';
import { asking } from '../errors.js';
import type { NativeBinding } from '../loader.js';
import { Batches, Operation } from './batches.js';
import { Call, isYes, numberOrNull, Read } from './calls.js';
import { Near } from './near.js';
import { NativeSessions } from './sessions.js';
import { NativeSubscription } from './subscription.js';
import { fromAnswer, fromNativeValue, payloadOf, toNative } from './values.js';

/** Enough for some 50,000 values of 1 KB; a service that wants more says so. */
const NEAR_MAX_BYTES = 64 * 1024 * 1024;

/** Makes the native backend. */
export function openNativeRedisService(binding: NativeBinding): OpenRedisService {
  return async (options, onMode) => await NativeRedisService.open(binding, options, onMode);
}

/** The service of the Rust core: converts, calls, converts back. What is hot stays here, in the near tier. */
class NativeRedisService implements RedisServiceBackend {
  readonly sessions: SessionBackend;
  readonly #native: RedisService;
  readonly #batches: Batches;
  readonly near: Near | undefined;

  private constructor(native: RedisService, options: CheckedOptions) {
    this.#native = native;
    this.sessions = new NativeSessions(native);
    const near = options.nearCache ?? { maxBytes: undefined, share: false };
    this.near = near === false ? undefined : new Near(native, { maxBytes: near.maxBytes ?? NEAR_MAX_BYTES, share: near.share });
    this.#batches = new Batches(native, () => this.near?.catchUp());
  }

  static async open(binding: NativeBinding, options: CheckedOptions, onMode: (status: RedisServiceStatus) => void): Promise<NativeRedisService> {
    let service: NativeRedisService | undefined;
    let mode: string | undefined;
    const announce = (status: RedisServiceStatus): void => {
      if (status.mode !== mode) onMode(status);
      mode = status.mode;
    };
    const native = new binding.RedisService(() => { if (service !== undefined) service.#batches.drain(); }, status => announce(statusOf(status)));
    await asking(() => native.open(nativeOptions(options)));
    service = new NativeRedisService(native, options);
    announce(service.status());
    return service;
  }

  get(key: string): Promise<CacheValue | null> {
    const { near } = this;
    const operation = near === undefined ? Operation.get : Operation.getTimed;
    return new Promise((resolve, reject) => this.#batches.push(operation, key, 0, new Read(key, near, resolve, reject)));
  }

  async getMany(keys: string[]): Promise<(CacheValue | null)[]> {
    return await Promise.all(keys.map(key => {
      const hit = this.near?.get(key);
      // `null` is a value like any other.
      return hit === undefined ? this.get(key) : hit;
    }));
  }

  set(key: string, value: CacheValue, { ttlMs, tags, onlyIf }: WriteOptions): Promise<boolean> {
    if (tags.length > 0) {
      const written = toNative(value, 'value');
      return this.#changing(key, () => this.#native.setTagged(key, written, ttlMs ?? -1, onlyIf ?? null, tags));
    }
    const [kind, payload] = payloadOf(value, 'value');
    const operation = onlyIf === undefined ? Operation.set : onlyIf === 'absent' ? Operation.setAbsent : Operation.setPresent;
    return this.#write(operation, key, ttlMs ?? -1, isYes, kind, payload);
  }

  async setMany(entries: [key: string, value: CacheValue][], ttlMs: number | undefined): Promise<void> {
    const writes = entries.map(([key, value]) => [key, ...payloadOf(value, 'value')] as const);
    await Promise.all(writes.map(([key, kind, payload]) => this.#write(Operation.set, key, ttlMs ?? -1, isYes, kind, payload)));
  }

  async delete(keys: string[]): Promise<number> {
    const deleted = await Promise.all(keys.map(key => this.#write(Operation.delete, key, 0, isYes)));
    return deleted.filter(Boolean).length;
  }

  has(key: string): Promise<boolean> {
    return new Promise((resolve, reject) => this.#batches.push(Operation.has, key, 0, new Call(isYes, resolve, reject)));
  }

  expire(key: string, ttlMs: number): Promise<boolean> {
    return this.#write(Operation.expire, key, ttlMs, isYes);
  }

  ttlMs(key: string): Promise<number | null> {
    return new Promise((resolve, reject) => this.#batches.push(Operation.ttl, key, 0, new Call(numberOrNull, resolve, reject)));
  }

  increment(key: string, by: number, ttlMs: number | undefined): Promise<number> {
    return this.#write(Operation.increment, key, by, (_, value) => value as number, undefined, ttlMs ?? -1);
  }

  async clear(prefix: string): Promise<number> {
    return await this.#changingMany(() => this.#native.clear(prefix));
  }

  async invalidateTag(tag: string): Promise<number> {
    return await this.#changingMany(() => this.#native.invalidateTag(tag));
  }

  async flightBegin(key: string, staleMs: number): Promise<FlightTurn> {
    // What is near is fresh only where nothing goes stale: how long it lives is not known here.
    const hit = staleMs === 0 ? this.near?.get(key) : undefined;
    if (hit !== undefined) return { state: 'fresh', value: hit };
    const { state, value, lease } = await asking(() => this.#native.flightBegin(key, staleMs));
    switch (state) {
      case 'fresh': return { state, value: fromNativeValue(value ?? {}) };
      case 'stale': return { state, value: fromNativeValue(value ?? {}), lease: lease ?? null };
      case 'lead': return { state, lease: lease ?? '' };
      default: return { state: 'alone' };
    }
  }

  async flightRenew(key: string, lease: string): Promise<boolean> {
    return await asking(() => this.#native.flightRenew(key, lease));
  }

  async flightFinish(key: string, lease: string | null, value: CacheValue, ttlMs: number): Promise<void> {
    await this.set(key, value, { ttlMs, tags: [], onlyIf: undefined });
    if (lease !== null) await this.flightAbandon(key, lease);
  }

  async flightAbandon(key: string, lease: string): Promise<void> {
    await asking(() => this.#native.flightAbandon(key, lease));
  }

  async command(name: string, args: (string | Uint8Array)[]): Promise<unknown> {
    return fromAnswer(await asking(() => this.#native.command([name, ...args])));
  }

  async publish(channel: string, message: CacheValue): Promise<number> {
    return await asking(() => this.#native.publish(channel, toNative(message, 'message')));
  }

  subscribe(channels: string[], pattern: boolean): BackendSubscription {
    return new NativeSubscription(this.#native.subscribe(channels, pattern));
  }

  status(): RedisServiceStatus {
    return statusOf(this.#native.status());
  }

  stats(): BackendStats {
    const stats = this.#native.stats();
    const nearHits = this.near?.hits ?? 0;
    return { ...stats, hits: stats.hits + nearHits, nearHits };
  }

  async close(): Promise<void> {
    await this.#native.close();
    // What was under way has been told so.
    this.#batches.drain();
    this.#batches.close();
  }

  async #changing<T>(key: string, call: () => Promise<T>): Promise<T> {
    this.near?.forget(key);
    try {
      return await asking(call);
    } finally {
      this.near?.forget(key);
    }
  }

  /** Which keys it is that change is not known here; without a Redis nobody tells. */
  async #changingMany<T>(call: () => Promise<T>): Promise<T> {
    this.near?.flush();
    try {
      return await asking(call);
    } finally {
      this.near?.flush();
    }
  }

  /** What is written is forgotten near before it is sent, and again when it is acknowledged, since a read may lie in between. */
  #write<T>(operation: number, key: string, argument: number, read: (outcome: number, value: unknown) => T, kind?: number, payload?: unknown): Promise<T> {
    this.near?.forget(key);
    return new Promise((resolve, reject) => {
      const acknowledged = (outcome: number, value: unknown): T => {
        this.near?.forget(key);
        return read(outcome, value);
      };
      this.#batches.push(operation, key, argument, new Call(acknowledged, resolve, reject), kind, payload);
    });
  }
}

function statusOf({ mode, since, pendingReplays, lastError }: RedisStatus): RedisServiceStatus {
  const status = { mode: mode as RedisServiceStatus['mode'], since, pendingReplays };
  return lastError === undefined ? status : { ...status, lastError };
}

function nativeOptions({ url, maxConnections, compression, dictionary, keyPrefix, nearCache, fallback, connectTimeoutMs, commandTimeoutMs, readBudgetMs }: CheckedOptions): RedisOptions {
  return {
    ...(url === undefined ? {} : { url }),
    ...(compression === undefined ? {} : { codec: compression.codec ?? 'zstd' }),
    ...(dictionary === undefined ? {} : { dictionary }),
    ...(fallback.maxReplay === undefined ? {} : { maxReplay: fallback.maxReplay }),
    compressMinBytes: compression?.minBytes ?? 256, compressionLevel: compression?.level ?? 1,
    maxConnections, keyPrefix, nearCache: nearCache !== false, replayWrites: fallback.replayWrites, fallbackMaxBytes: fallback.maxBytes,
    connectTimeoutMs, commandTimeoutMs, readBudgetMs,
  };
}
