import { EventEmitter } from 'node:events';

import { invalidInput } from '../errors.js';
import type { CacheValue } from '../services/redis-service-types.js';
import type { RedisService } from '../services/redis-service-rust.js';

/**
 * `RedisService` as the storage of Keyv, and so of cache-manager and cacheable. Imports nothing of Keyv, not even types:
 * those of version 5 and 6 differ, and both take this class.
 */

/** What of the service is used. */
export type KeyvService = Pick<RedisService, 'get' | 'mget' | 'set' | 'delete' | 'has' | 'clear'>;

export interface KeyvRedisServiceOptions {
  /** Put before every key, so that `clear` removes nothing but what Keyv wrote. Default `keyv:`. */
  prefix?: string;
}

/**
 * ```ts
 * const keyv = new Keyv({ store: new KeyvRedisService(redisService), namespace: 'weather' });
 * ```
 *
 * While Redis is away a read is a miss and a write is kept by the service: neither throws nor hangs. Use one adapter for
 * each Keyv, because Keyv writes its namespace into the adapter. There is no `iterator`: the service lists no keys. There
 * is no `disconnect`: the service belongs to whoever initialized it.
 */
export class KeyvRedisService extends EventEmitter {
  /** Keyv reads it; nothing is to be set. */
  opts: Record<string, unknown> = {};
  /** Set by Keyv. */
  namespace?: string | undefined;
  readonly #service: KeyvService;
  readonly #prefix: string;

  /** @param service An initialized `RedisService`. */
  constructor(service: KeyvService, options: KeyvRedisServiceOptions = {}) {
    super();
    const { prefix = 'keyv:' } = options;
    if (typeof prefix !== 'string' || prefix === '') throw invalidInput('options.prefix', 'a non-empty string', prefix);
    this.#service = service;
    this.#prefix = prefix;
  }

  async get<Value>(key: string): Promise<Value | undefined> {
    try {
      const value = await this.#service.get(this.#key(key));
      return value === null ? undefined : value as Value;
    } catch (error) {
      // Keyv takes a read that rejects for a miss and says nothing; the event is how its users hear of it.
      if (this.listenerCount('error') > 0) this.emit('error', error);
      throw error;
    }
  }

  async getMany<Value>(keys: string[]): Promise<(Value | undefined)[]> {
    const values = await this.#service.mget(keys.map(key => this.#key(key)));
    return values.map(value => value === null ? undefined : value as Value);
  }

  /** @param ttl In ms; absent, 0 or infinite: no expiry. */
  async set(key: string, value: CacheValue, ttl?: number): Promise<boolean> {
    if (ttl === undefined || ttl === 0 || ttl === Infinity) return await this.#service.set(this.#key(key), value);
    // It is over before it begins, and what was there is replaced all the same.
    if (ttl < 0) return await this.delete(key).then(() => true);
    return await this.#service.set(this.#key(key), value, ttl / 1000);
  }

  async delete(key: string): Promise<boolean> {
    return await this.#service.delete(this.#key(key)) > 0;
  }

  /** Whether there was any of them. */
  async deleteMany(keys: string[]): Promise<boolean> {
    return await this.#service.delete(...keys.map(key => this.#key(key))) > 0;
  }

  async has(key: string): Promise<boolean> {
    return await this.#service.has(this.#key(key));
  }

  /** Removes what this namespace holds, and only that. */
  async clear(): Promise<void> {
    await this.#service.clear(this.#key(''));
  }

  /** The namespace is escaped, so that none is the beginning of another. */
  #key(key: string): string {
    return `${this.#prefix}${this.namespace?.replace(/[%:]/g, mark => mark === ':' ? '%3A' : '%25') ?? ''}:${key}`;
  }
}
