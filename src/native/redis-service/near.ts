import type { RedisService } from '../binding.js';
import type { CacheValue } from '../../services/redis-service-types.js';
import { Outcome } from './batches.js';
import type { PayloadKind } from './near/cache-value.js';
import { CoarseClock } from './near/coarse-clock.js';
import { NearTier } from './near/near-tier.js';

/**
 * The near tier as long as it tells the truth. Redis names the keys that have changed, and the addon counts the changes in
 * shared memory, at the moment when its thread hears of them: a value is believed only if that count is the one of our last
 * look, so that a busy event loop never answers with what is known to be old. A read that was under way when its key changed
 * keeps nothing.
 */
export class Near {
  readonly #native: RedisService;
  readonly #tier: NearTier;
  readonly #changes: Uint32Array;
  #seen = 0;
  /** Reads under way, by key. */
  readonly #reads = new Map<string, Reading>();
  hits = 0;

  constructor(native: RedisService, options: { maxBytes: number; share: boolean }) {
    this.#native = native;
    this.#tier = new NearTier({ ...options, now: new CoarseClock().now });
    this.#changes = native.changes();
  }

  get(key: string): CacheValue | undefined {
    this.catchUp();
    const value = this.#tier.get(key);
    if (value !== undefined) this.hits += 1;
    return value as CacheValue | undefined;
  }

  /** A read is about to be sent; `keep` is to be called with what comes of it. */
  reading(key: string): Reading {
    let reading = this.#reads.get(key);
    if (reading === undefined) {
      reading = { count: 0, valid: true };
      this.#reads.set(key, reading);
    }
    reading.count += 1;
    return reading;
  }

  /** Keeps what a read brought unless its key has changed since it was sent. */
  keep(key: string, reading: Reading, outcome: number, value: unknown, ttlMs: number): void {
    this.catchUp();
    if (!reading.valid) return;
    const kind = KINDS[outcome];
    if (kind !== undefined) this.#tier.put(key, kind, value as string, ttlMs < 0 ? Infinity : performance.now() + ttlMs);
  }

  /** The read has ended. */
  ended(key: string, reading: Reading): void {
    reading.count -= 1;
    if (reading.count === 0 && this.#reads.get(key) === reading) this.#reads.delete(key);
  }

  /** The key has changed, or is about to. */
  forget(key: string): void {
    this.#tier.delete(key);
    const reading = this.#reads.get(key);
    if (reading === undefined) return;
    reading.valid = false;
    this.#reads.delete(key);
  }

  /** Nothing that was read so far counts any more. */
  flush(): void {
    this.#tier.clear();
    for (const reading of this.#reads.values()) reading.valid = false;
    this.#reads.clear();
  }

  /** Takes in what has changed since the last look, if anything has: only then the border is crossed. */
  catchUp(): void {
    if (this.#changes[0] === this.#seen) return;
    // The count first: what changes between the two calls is named now and counted again.
    this.#seen = this.#changes[0] as number;
    const changed = this.#native.takeChanged();
    if (changed === null) this.flush();
    else for (const key of changed) this.forget(key);
  }
}

/** Reads of one key that are under way. */
export interface Reading { count: number; valid: boolean }

const KINDS: (PayloadKind | undefined)[] = [];
KINDS[Outcome.text] = 'string';
KINDS[Outcome.json] = 'json';
KINDS[Outcome.number] = 'number';
KINDS[Outcome.bytes] = 'bytes';
