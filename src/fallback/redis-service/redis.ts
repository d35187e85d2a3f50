import { randomBytes } from 'node:crypto';

import { UniversalAiError } from '../../errors.js';
import type { BackendStats, BackendSubscription, CheckedOptions, FlightTurn, RedisServiceBackend, SessionBackend, WriteOptions } from '../../services/redis-service-backend.js';
import type { CacheValue, RedisServiceStatus } from '../../services/redis-service-types.js';
import type { RedisAddress } from '../../services/redis-service-url.js';
import { type Connections, connections } from './connections.js';
import { AWAY, type Away, Link } from './link.js';
import { Overlay } from './overlay.js';
import { RedisPubSub } from './pubsub.js';
import { type Looked, RedisFlights } from './redis-flight.js';
import { clear, invalidateTag, unlink } from './redis-keys.js';
import { away, fromReply, isPassing, isReplyError, replyValue } from './replies.js';
import { DELETE_IF_EQUAL, INCREMENT, TAG_ENTER } from './scripts.js';
import { RedisSessions } from './session-redis.js';
import { SessionRules } from './session-rules.js';
import { bufferOf, bytesBeforeCompression, encode, Values } from './values.js';

/** Keys that Redis forgets in one command after an outage. */
const FORGET_BATCH = 512;

/** The service over ioredis. While Redis is away, `Link` says so and `Overlay` answers what it can. */
export class RedisOverIoredis implements RedisServiceBackend {
  readonly sessions: SessionBackend;
  readonly #options: CheckedOptions;
  readonly #connections: Connections;
  readonly #link: Link;
  readonly #overlay: Overlay;
  readonly #values: Values;
  readonly #flights: RedisFlights;
  readonly #pubsub: RedisPubSub;
  /** Ends the commands that have a connection of their own. */
  readonly #blocking = new Set<() => void>();
  readonly #stats = { hits: 0, misses: 0, nearHits: 0, sets: 0, bytesStored: 0, bytesBeforeCompression: 0 };
  #closed = false;

  private constructor(options: CheckedOptions, made: Connections, onMode: (status: RedisServiceStatus) => void) {
    this.#options = options;
    this.#connections = made;
    this.#values = new Values(options.compression, options.dictionary);
    this.#overlay = new Overlay(options.fallback.maxBytes);
    this.#link = new Link(made, options, () => this.#forget(), () => onMode(this.status()));
    this.#flights = new RedisFlights(this.#link, options.keyPrefix, key => this.#look(key));
    this.#pubsub = new RedisPubSub(() => made.another(), options.keyPrefix, options.commandTimeoutMs);
    this.sessions = new SessionRules(new RedisSessions(this.#link, options.keyPrefix), this.#values);
  }

  static async open(address: RedisAddress, options: CheckedOptions, onMode: (status: RedisServiceStatus) => void): Promise<RedisOverIoredis> {
    const service = new RedisOverIoredis(options, await connections(address, options), onMode);
    await service.#link.open();
    return service;
  }

  async set(key: string, value: CacheValue, { ttlMs, tags, onlyIf }: WriteOptions): Promise<boolean> {
    const stored = this.#encode(value);
    const written = await this.#write(key, stored, ttlMs, tags, onlyIf);
    if (written) this.#count(stored);
    return written;
  }

  async get(key: string): Promise<CacheValue | null> {
    const reply = await this.#read(() => this.#link.send('get', this.#key(key)), () => this.#overlay.get(key) ?? null, key);
    return await this.#value(key, reply as Uint8Array | null) ?? null;
  }

  async getMany(keys: string[]): Promise<(CacheValue | null)[]> {
    const reply = await this.#read(async () => this.#link.client.isCluster
      ? await Promise.all(keys.map(key => this.#link.send('get', this.#key(key))))
      : await this.#link.send('mget', ...keys.map(key => this.#key(key))), () => keys.map(key => this.#overlay.get(key) ?? null));
    const found = reply as (Uint8Array | null)[];
    return await Promise.all(keys.map(async (key, at) => await this.#value(key, found[at] ?? null) ?? null));
  }

  async setMany(entries: [string, CacheValue][], ttlMs: number | undefined): Promise<void> {
    const encoded = entries.map(([key, value]) => [key, this.#encode(value)] as const);
    await Promise.all(encoded.map(async ([key, stored]) => {
      await this.#write(key, stored, ttlMs, [], undefined);
      this.#count(stored);
    }));
  }

  async delete(keys: string[]): Promise<number> {
    return await this.#link.ask(() => unlink(this.#link, keys.map(key => this.#key(key))), { away: () => keys.filter(key => this.#overlay.delete(key)).length }) as number;
  }

  async has(key: string): Promise<boolean> {
    return await this.#read(() => this.#link.send('exists', this.#key(key)), () => this.#overlay.has(key) ? 1 : 0, key) === 1;
  }

  async expire(key: string, ttlMs: number): Promise<boolean> {
    return await this.#link.ask(() => this.#link.send('pexpire', this.#key(key), ttlMs), { key, away: () => this.#overlay.expire(key, ttlMs) ? 1 : 0 }) === 1;
  }

  async ttlMs(key: string): Promise<number | null> {
    const leftMs = await this.#read(() => this.#link.send('pttl', this.#key(key)), () => this.#overlay.leftMs(key) ?? -1, key) as number;
    return leftMs < 0 ? null : leftMs;
  }

  async increment(key: string, by: number, ttlMs: number | undefined): Promise<number> {
    try {
      return this.#answered(await this.#link.ask(() => this.#link.eval(INCREMENT, this.#key(key), by, ttlMs ?? ''), { key })) as number;
    } catch (error) {
      const reply = error instanceof UniversalAiError && error.code === 'UAT_UPSTREAM' ? String(error.details['reply']) : '';
      if (/not an integer/.test(reply)) throw new UniversalAiError('UAT_CONFLICT', `increment: ${JSON.stringify(key)} holds no integer`, { details: { key }, cause: error });
      if (/UNSAFE|overflow/.test(reply)) throw new UniversalAiError('UAT_CONFLICT', `increment: the sum in ${JSON.stringify(key)} would be no safe integer; nothing was changed`, { details: { key }, cause: error });
      throw error;
    }
  }

  async clear(prefix: string): Promise<number> {
    // Each step is bounded, not the whole, which may take long.
    return await this.#walk(() => clear(this.#link, this.#options.keyPrefix, prefix));
  }

  async invalidateTag(tag: string): Promise<number> {
    return await this.#walk(() => invalidateTag(this.#link, this.#options.keyPrefix, tag));
  }

  async flightBegin(key: string, staleMs: number): Promise<FlightTurn> {
    return await this.#flights.begin(key, staleMs);
  }

  async flightRenew(key: string, lease: string): Promise<boolean> {
    return await this.#flights.renew(key, lease);
  }

  async flightFinish(key: string, lease: string | null, value: CacheValue, ttlMs: number): Promise<void> {
    await this.set(key, value, { ttlMs, tags: [], onlyIf: undefined });
    if (lease !== null) await this.#flights.release(key, lease);
  }

  async flightAbandon(key: string, lease: string): Promise<void> {
    await this.#flights.release(key, lease);
  }

  async command(name: string, args: (string | Uint8Array)[], blocking: boolean): Promise<unknown> {
    const sent = args.map(arg => typeof arg === 'string' ? arg : bufferOf(arg));
    if (blocking) return replyValue(await this.#commandAlone(name, sent));
    return replyValue(this.#answered(await this.#link.ask(() => this.#connections.send(this.#link.client, name, sent))));
  }

  async publish(channel: string, message: CacheValue): Promise<number> {
    const encoded = bufferOf(encode(message, 'message'));
    return this.#answered(await this.#link.ask(() => this.#link.send('publish', this.#key(channel), encoded))) as number;
  }

  subscribe(channels: string[], pattern: boolean): BackendSubscription {
    return this.#pubsub.subscribe(channels, pattern);
  }

  status(): RedisServiceStatus {
    return this.#link.status(this.#overlay.pending);
  }

  stats(): BackendStats {
    return { ...this.#stats, reconnects: this.#link.reconnects, fallbackOps: this.#link.fallbackOps };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const end of this.#blocking) end();
    await Promise.all([this.#pubsub.close(), this.#link.close()]);
  }

  /** A cache read: what Redis cannot answer for now is like Redis being away. */
  async #read(send: () => Promise<unknown>, away: () => unknown, key?: string): Promise<unknown> {
    try {
      return await this.#link.read(send, key === undefined ? { away } : { key, away });
    } catch (error) {
      if (!(error instanceof UniversalAiError && isPassing(error))) throw error;
      this.#link.fallbackOps += 1;
      return away();
    }
  }

  /** What the bytes mean, `undefined` for a miss; counts it. */
  async #value(key: string, stored: Uint8Array | null): Promise<CacheValue | undefined> {
    const decoded = stored === null ? undefined : this.#values.decode(stored);
    if (decoded?.kind === 'value') {
      this.#stats.hits += 1;
      return decoded.value;
    }
    this.#stats.misses += 1;
    // Deleted only if nobody has written another value meanwhile.
    if (decoded?.kind === 'corrupt' && stored !== null) await this.#link.ask(() => this.#link.eval(DELETE_IF_EQUAL, this.#key(key), bufferOf(stored)));
    return undefined;
  }

  async #look(key: string): Promise<Looked | undefined | Away> {
    const here = (): [Uint8Array | null | Away, number] => [this.#overlay.get(key) ?? AWAY, this.#overlay.leftMs(key) ?? -1];
    const reply = await this.#read(() => Promise.all([this.#link.send('get', this.#key(key)), this.#link.send('pttl', this.#key(key))]), here, key);
    const [stored, leftMs] = reply as [Uint8Array | null | Away, number];
    if (stored === AWAY) return AWAY;
    const value = await this.#value(key, stored);
    return value === undefined ? undefined : { value, leftMs: leftMs === -1 ? Infinity : leftMs };
  }

  /** The tags are put before the value, for a crash in between, and again behind it, for an invalidation in between. */
  async #write(key: string, stored: Uint8Array, ttlMs: number | undefined, tags: string[], onlyIf: WriteOptions['onlyIf']): Promise<boolean> {
    const args = [this.#key(key), bufferOf(stored), ...(ttlMs === undefined ? [] : ['PX', ttlMs]), ...(onlyIf === undefined ? [] : [onlyIf === 'absent' ? 'NX' : 'XX'])];
    // A new token each time: an invalidation that has read the first entry must leave the second alone.
    const tag = (): Promise<unknown>[] => tags.map(one => this.#link.eval(TAG_ENTER, `${this.#options.keyPrefix}~uat:tag:${one}`, key, randomBytes(8).toString('hex'), ttlMs ?? -1));
    const away = (): true => {
      if (onlyIf !== undefined) throw this.#away();
      this.#overlay.set(key, stored, ttlMs);
      return true;
    };
    const reply = await this.#link.ask(async () => {
      if (tags.length > 0) await Promise.all(tag());
      const reply = await this.#link.send('set', ...args);
      if (tags.length > 0 && reply !== null) await Promise.all(tag());
      return reply;
    }, { key, away });
    return reply !== null;
  }

  /** A walk over many keys, which has no time limit of its own but ends with the connection. */
  async #walk(walk: () => Promise<number>): Promise<number> {
    if (!this.#link.isThere) throw this.#away();
    try {
      return await walk();
    } catch (error) {
      if (error instanceof UniversalAiError) throw error;
      if (isReplyError(error)) throw fromReply(error);
      throw this.#away(error);
    }
  }

  /** On a connection of its own, without a time limit. */
  async #commandAlone(name: string, args: (string | Buffer)[]): Promise<unknown> {
    if (!this.#link.isThere) throw this.#away();
    if (this.#link.client.isCluster) throw new UniversalAiError('UAT_UNSUPPORTED', `command: the TypeScript backend has no blocking ${name} on a cluster`);
    if (this.#blocking.size >= this.#options.maxConnections) {
      throw new UniversalAiError('UAT_OVERLOADED', `command: ${this.#blocking.size} blocking commands are waiting already; raise options.maxConnections`, { retryable: true });
    }
    const connection = this.#connections.another();
    const end = (): void => connection.disconnect();
    this.#blocking.add(end);
    try {
      await connection.connect();
      return await this.#connections.send(connection, name, args);
    } catch (error) {
      if (this.#closed) throw new UniversalAiError('UAT_CLOSED', 'this RedisService was closed while the command was waiting');
      throw isReplyError(error) ? fromReply(error) : this.#away(error);
    } finally {
      this.#blocking.delete(end);
      end();
    }
  }

  /** Before Redis is read again, it forgets what was written meanwhile. */
  async #forget(): Promise<void> {
    for (let keys = this.#overlay.toForget(FORGET_BATCH); keys.length > 0; keys = this.#overlay.toForget(FORGET_BATCH)) {
      // Taken off before, so that what is written during the command is forgotten again.
      this.#overlay.take(keys);
      try {
        await this.#link.within(this.#options.commandTimeoutMs, unlink(this.#link, keys.map(key => this.#key(key))));
      } catch (error) {
        keys.forEach(key => this.#overlay.touch(key));
        throw error;
      }
    }
    this.#overlay.clear();
  }

  #encode(value: CacheValue): Uint8Array {
    return this.#values.encode(value, 'value');
  }

  #count(stored: Uint8Array): void {
    this.#stats.sets += 1;
    this.#stats.bytesStored += stored.length;
    this.#stats.bytesBeforeCompression += bytesBeforeCompression(stored);
  }

  #answered<T>(reply: T | Away): T {
    if (reply === AWAY) throw this.#away();
    return reply;
  }

  #away(cause?: unknown): UniversalAiError {
    return away(cause instanceof Error ? cause.message : this.#link.lastError);
  }

  #key(key: string): string {
    return this.#options.keyPrefix + key;
  }
}
