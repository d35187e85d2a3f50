import { UniversalAiError } from '../../errors.js';
import { MemoryStore } from './memory-store.js';

/**
 * What is written while Redis is away: the values, as far as they fit, and in any case the names of the keys, which Redis
 * forgets on return before it is read again. So an old value of Redis never comes back, and a new one may be lost, as a
 * cache may.
 */

/** A few MB of names; more than this in one outage is refused rather than forgotten. */
const MOST_KEYS = 100_000;

export class Overlay {
  readonly #store: MemoryStore;
  readonly #now: () => number;
  readonly #touched = new Set<string>();

  constructor(maxBytes: number, now: () => number = Date.now) {
    this.#store = new MemoryStore(maxBytes);
    this.#now = now;
  }

  /** How many keys Redis has yet to forget. */
  get pending(): number {
    return this.#touched.size;
  }

  set(key: string, stored: Uint8Array, ttlMs: number | undefined): void {
    this.touch(key);
    const now = this.#now();
    this.#store.set(key, stored, ttlMs === undefined ? Infinity : now + ttlMs, [], now);
  }

  get(key: string): Uint8Array | undefined {
    return this.#store.get(key, this.#now())?.stored;
  }

  has(key: string): boolean {
    return this.#store.has(key, this.#now());
  }

  delete(key: string): boolean {
    this.touch(key);
    return this.#store.delete(key, this.#now());
  }

  /** What is not here Redis forgets, so that no value lives longer than it was told to. */
  expire(key: string, ttlMs: number): boolean {
    this.touch(key);
    const now = this.#now();
    return this.#store.expire(key, now + ttlMs, now);
  }

  leftMs(key: string): number | null {
    const now = this.#now();
    const expiresAt = this.#store.expiresAt(key, now);
    return expiresAt === undefined || expiresAt === Infinity ? null : expiresAt - now;
  }

  touch(key: string): void {
    if (this.#touched.size >= MOST_KEYS && !this.#touched.has(key)) {
      throw new UniversalAiError('UAT_STORAGE', `Redis is away, and ${MOST_KEYS} keys were written meanwhile, which is as many as are kept; try again when status().mode is redis`, { retryable: true });
    }
    this.#touched.add(key);
  }

  /** Up to `most` keys that Redis has to forget; they stay on the list until `settled`. */
  toForget(most: number): string[] {
    const keys: string[] = [];
    for (const key of this.#touched) {
      if (keys.push(key) === most) break;
    }
    return keys;
  }

  /** These were forgotten; one that is written again meanwhile is deleted again the next time round. */
  take(keys: string[]): void {
    for (const key of keys) this.#touched.delete(key);
  }

  /** Redis is back and is read again: the values of the meantime are gone like those that it held. */
  clear(): void {
    this.#store.clear('', this.#now());
  }
}
