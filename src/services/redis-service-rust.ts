import { EventEmitter } from 'node:events';

import type { BackendInfo } from '../backend.js';
import { invalidInput, UniversalAiError } from '../errors.js';
import { openTypeScriptRedisService } from '../fallback/redis-service/open.js';
import { type Selected, selectBackend } from '../native/loader.js';
import { openNativeRedisService } from '../native/redis-service/service.js';
import type { OpenRedisService, RedisServiceBackend } from './redis-service-backend.js';
import { checkEntries, checkGetOrCompute, checkIncrement, checkKey, checkKeys, checkName, checkOptionalTtl, checkOptions, checkSubscribe, checkTtl, checkValue, checkWrite } from './redis-service-check.js';
import { checkCommand } from './redis-service-command.js';
import { Flights } from './redis-service-flight.js';
import { Sessions } from './redis-service-sessions.js';
import { Subscription } from './redis-service-subscription.js';
import type { CacheValue, GetOrComputeOptions, RedisServiceOptions, RedisServiceStats, RedisServiceStatus, SessionStore, SetOptions, SubscribeOptions, SubscriptionEvent } from './redis-service-types.js';

export type { BackendInfo } from '../backend.js';
export { UniversalAiError, type ErrorCode, type UniversalAiErrorOptions } from '../errors.js';
export type * from './redis-service-types.js';

type State =
  | { name: 'new' | 'closed' }
  | { name: 'opening'; opened: Promise<RedisServiceBackend> }
  | { name: 'open'; backend: RedisServiceBackend; flights: Flights };

/**
 * A cache, sessions and pub/sub over Redis or Valkey that keep working when Redis does not, or in this process alone.
 *
 * ```ts
 * await redisService.initialize({ url: 'redis://127.0.0.1:6379' });
 * const answer = await redisService.getOrCompute('weather:berlin', 60, () => fetchWeather('berlin'));
 * ```
 *
 * A cache read never fails because Redis is away: it is a miss after at most `readBudgetMs`. `status()` and the event
 * `mode` say which store answers. Every rejection is a {@link UniversalAiError}; `UAT_NOT_INITIALIZED` and `UAT_CLOSED`
 * are those of every method.
 */
export class RedisService {
  /** Sessions, kept apart from the cache. */
  readonly sessions: SessionStore = new Sessions(() => this.#open().backend.sessions);
  readonly #events = new EventEmitter();
  #selected: Selected | undefined;
  #state: State = { name: 'new' };
  #closing: Promise<void> | undefined;

  /** Which implementation answers, and why. Decided at the first look, so that importing this module decides nothing. */
  get backend(): BackendInfo {
    return this.#select().info;
  }

  /**
   * Connects. A Redis that refuses the connection or does not answer in time is no error: the service begins in mode
   * `fallback` and goes over to Redis when it comes.
   *
   * @throws {UniversalAiError} `UAT_CONFIG` naming `url`: malformed, or the host is unknown; `UAT_UNAUTHORIZED`: the login
   *   was refused; `UAT_CONFLICT`: it is initialized already; `UAT_UNSUPPORTED`: this backend lacks an option, or the
   *   package `ioredis` that the TypeScript backend needs; `UAT_INVALID_INPUT` names the option.
   */
  async initialize(options?: RedisServiceOptions): Promise<void> {
    if (this.#closing !== undefined) await this.#closing;
    if (this.#state.name === 'open' || this.#state.name === 'opening') {
      throw new UniversalAiError('UAT_CONFLICT', 'initialize: this RedisService is initialized already; close() it first, or make another one');
    }
    const before = this.#state;
    const checked = checkOptions(options);
    const opened = this.#opener()(checked, status => this.#announce(status));
    this.#state = { name: 'opening', opened };
    const backend = await opened.catch(error => {
      this.#state = before;
      throw error;
    });
    this.#state = { name: 'open', backend, flights: new Flights(backend, value => checkValue(value, 'the result of compute')) };
  }

  /**
   * Writes a value.
   *
   * @param ttl Seconds; fractions allowed; absent: no expiry.
   * @returns Whether it was written: `false` only with `onlyIf`.
   * @throws {UniversalAiError} `UAT_INVALID_INPUT`; `UAT_STORAGE` (retryable) when Redis takes no writes, or with `onlyIf` when it is away.
   */
  async set(key: string, value: CacheValue, ttl?: number, options?: SetOptions): Promise<boolean> {
    const write = checkWrite(ttl, options);
    return await this.#open().backend.set(checkKey(key), checkValue(value), write);
  }

  /** The value, or `null` for a miss. Answers within `readBudgetMs`, whatever Redis does. */
  get<T extends CacheValue = CacheValue>(key: string): Promise<T | null> {
    try {
      const { backend } = this.#open();
      // Without the checks, which cost more than the answer, and without a second promise.
      const hit = typeof key === 'string' ? backend.near?.get(key) : undefined;
      return hit === undefined ? backend.get(checkKey(key)) as Promise<T | null> : Promise.resolve(hit as T);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /** The values in the order of the keys. */
  async mget(keys: string[]): Promise<(CacheValue | null)[]> {
    const { backend } = this.#open();
    const checked = checkKeys(keys, 'keys');
    return checked.length === 0 ? [] : await backend.getMany(checked);
  }

  /** Writes several values, not as one transaction. @param ttl Seconds, for all of them. */
  async mset(entries: Record<string, CacheValue>, ttl?: number): Promise<void> {
    const { backend } = this.#open();
    const checked = checkEntries(entries);
    const ttlMs = checkOptionalTtl(ttl);
    if (checked.length > 0) await backend.setMany(checked, ttlMs);
  }

  /** How many of the keys there were, as far as could be seen: while Redis is away, only what this process holds. */
  async delete(...keys: string[]): Promise<number> {
    const { backend } = this.#open();
    const checked = checkKeys(keys, 'keys');
    return checked.length === 0 ? 0 : await backend.delete(checked);
  }

  async has(key: string): Promise<boolean> {
    return await this.#open().backend.has(checkKey(key));
  }

  /** Gives the value another time to live. `false`: there is none. The tags of a value do not live longer with it. @param ttl Seconds. */
  async expire(key: string, ttl: number): Promise<boolean> {
    return await this.#open().backend.expire(checkKey(key), checkTtl(ttl));
  }

  /** Seconds that are left; `null` for no such key or no expiry. */
  async ttl(key: string): Promise<number | null> {
    const leftMs = await this.#open().backend.ttlMs(checkKey(key));
    return leftMs === null ? null : leftMs / 1000;
  }

  /**
   * Adds to an integer, which is 0 if it is missing.
   *
   * @param by A safe integer. Default 1.
   * @param ttl Seconds; applies when the key has no expiry, that is when it is created.
   * @throws {UniversalAiError} `UAT_CONFLICT`: the value is no integer, or the sum would not be a safe one; `UAT_STORAGE` (retryable): Redis is away.
   */
  async increment(key: string, by: number = 1, ttl?: number): Promise<number> {
    return await this.#open().backend.increment(checkKey(key), checkIncrement(by), checkOptionalTtl(ttl));
  }

  /** Deletes the values whose keys begin so, all of them without a prefix; never sessions. How many there were. */
  async clear(prefix?: string): Promise<number> {
    const { backend } = this.#open();
    return await backend.clear(prefix === undefined || prefix === '' ? '' : checkKey(prefix, 'prefix'));
  }

  /** Deletes the values that carry the tag; how many there were. */
  async invalidateTag(tag: string): Promise<number> {
    return await this.#open().backend.invalidateTag(checkName(tag, 'tag'));
  }

  /**
   * The value, computed if it is missing. One computation for any number of concurrent callers, in this process and
   * (with Redis) across processes; callers in this process get the very same object. `null` is a value like any other.
   *
   * Within `staleFor` seconds after `ttl` the old value is answered at once while one caller refreshes it. What
   * `compute` throws goes to all callers that wait for it, and is not kept.
   *
   * @param ttl Seconds; up to 5 % less, so that keys of one moment do not expire in one moment.
   */
  async getOrCompute<T extends CacheValue>(key: string, ttl: number, compute: () => Promise<T> | T, options?: GetOrComputeOptions): Promise<T> {
    const { flights } = this.#open();
    const checked = checkKey(key);
    const ttlMs = checkTtl(ttl);
    if (typeof compute !== 'function') throw invalidInput('compute', 'a function', compute);
    const { staleMs, beta } = checkGetOrCompute(options);
    if (beta !== undefined) throw new UniversalAiError('UAT_UNSUPPORTED', 'getOrCompute: early refresh (options.beta) is not there yet; use staleFor');
    return await flights.getOrCompute(checked, ttlMs, compute, staleMs) as T;
  }

  /**
   * Any Redis command as it is; keys get the prefix only where you add it. Bulk strings come as strings if they are
   * UTF-8, else as `Uint8Array`; maps as objects and doubles as numbers, as in RESP3.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT`: it would change a connection that all share; `UAT_UPSTREAM` with
   *   `details.reply`: Redis refused it; `UAT_STORAGE` (retryable): Redis is away; `UAT_UNSUPPORTED`: there is no Redis.
   */
  async command(name: string, ...args: (string | number | Uint8Array)[]): Promise<unknown> {
    const { backend } = this.#open();
    const checked = checkCommand(name, args);
    return await backend.command(checked.name, checked.args, checked.blocking);
  }

  /** How many subscribers Redis sent it to. @throws {UniversalAiError} `UAT_STORAGE` (retryable): Redis is away. */
  async publish(channel: string, message: CacheValue): Promise<number> {
    return await this.#open().backend.publish(checkName(channel, 'channel'), checkValue(message, 'message'));
  }

  /**
   * Messages of one or several channels. Subscribes at the first `next()`, again by itself after a disconnect, and yields
   * `{ type: 'gap', sinceMs }` whenever messages may have been lost. A consumer that falls more than 1,024 messages behind
   * loses the oldest, which is such a gap. Leaving the loop, the signal and `close()` end it.
   */
  subscribe(channels: string | string[], options?: SubscribeOptions): AsyncIterableIterator<SubscriptionEvent, undefined> {
    const { backend } = this.#open();
    const checked = checkSubscribe(channels, options);
    return new Subscription(backend.subscribe(checked.channels, checked.pattern), checked.signal);
  }

  /** Which store answers, since when, and why. */
  status(): RedisServiceStatus {
    return this.#open().backend.status();
  }

  /** Counters since `initialize`. */
  stats(): RedisServiceStats {
    const { backend, flights } = this.#open();
    return { ...backend.stats(), failedRefreshes: flights.failedRefreshes };
  }

  /** Calls the listener with each mode that begins, the first one included, which comes during `initialize`. */
  on(event: 'mode', listener: (status: RedisServiceStatus) => void): this {
    if (event !== 'mode') throw invalidInput('event', 'mode', event);
    if (typeof listener !== 'function') throw invalidInput('listener', 'a function', listener);
    this.#events.on(event, listener);
    return this;
  }

  /** Ends calls and subscriptions and frees the connections. Idempotent; `initialize` may follow. */
  close(): Promise<void> {
    this.#closing ??= this.#close().finally(() => { this.#closing = undefined; });
    return this.#closing;
  }

  async #close(): Promise<void> {
    // Closed while it opens: what was opened is closed then.
    if (this.#state.name === 'opening') await this.#state.opened.catch(() => undefined);
    const state = this.#state;
    this.#state = { name: 'closed' };
    if (state.name !== 'open') return;
    state.flights.close();
    await state.backend.close();
  }

  #open(): { backend: RedisServiceBackend; flights: Flights } {
    if (this.#state.name === 'open') return this.#state;
    if (this.#state.name === 'closed') throw new UniversalAiError('UAT_CLOSED', 'this RedisService was closed; call initialize() to use it again');
    throw new UniversalAiError('UAT_NOT_INITIALIZED', 'this RedisService is not initialized; await initialize() first');
  }

  #select(): Selected {
    this.#selected ??= selectBackend('RedisService');
    return this.#selected;
  }

  #opener(): OpenRedisService {
    const { native } = this.#select();
    return native === undefined ? openTypeScriptRedisService : openNativeRedisService(native);
  }

  /** In a tick of its own, so that a listener that throws is reported as Node does and harms nothing here. */
  #announce(status: RedisServiceStatus): void {
    process.nextTick(() => this.#events.emit('mode', status));
  }
}

/** One for the whole process; initialize it once at the start. */
export const redisService: RedisService = new RedisService();
