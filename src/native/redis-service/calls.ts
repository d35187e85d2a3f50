import { describeValue, UniversalAiError } from '../../errors.js';
import type { CacheValue } from '../../services/redis-service-types.js';
import { Outcome, type Waiting } from './batches.js';
import type { Near, Reading } from './near.js';

/** Who waits for a read: answers the caller, and keeps the value near. */
export class Read implements Waiting {
  readonly #key: string;
  readonly #near: Near | undefined;
  readonly #reading: Reading | undefined;
  readonly #resolve: (value: CacheValue | null) => void;
  readonly #reject: (error: Error) => void;

  constructor(key: string, near: Near | undefined, resolve: (value: CacheValue | null) => void, reject: (error: Error) => void) {
    this.#key = key;
    this.#near = near;
    this.#reading = near?.reading(key);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  done(outcome: number, value: unknown, ttlMs: number, keepable: boolean): void {
    let found: CacheValue | null = null;
    let error: Error | undefined;
    if (outcome === Outcome.text || outcome === Outcome.number || outcome === Outcome.bytes) found = value as CacheValue;
    else if (outcome === Outcome.json) {
      try {
        found = JSON.parse(value as string) as CacheValue;
      } catch (cause) {
        // Another program's: an envelope with a right checksum around what is no JSON.
        error = new UniversalAiError('UAT_CORRUPT_VALUE', `the value of ${describeValue(this.#key)} says that it is JSON, and is none; delete it`, { details: { key: this.#key }, cause });
      }
    }
    if (this.#reading !== undefined) {
      if (keepable && error === undefined) this.#near?.keep(this.#key, this.#reading, outcome, value, ttlMs);
      this.#near?.ended(this.#key, this.#reading);
    }
    if (error === undefined) this.#resolve(found);
    else this.#reject(error);
  }

  overdue(): void {
    this.#resolve(null);
  }

  fail(error: Error): void {
    if (this.#reading !== undefined) this.#near?.ended(this.#key, this.#reading);
    this.#reject(error);
  }
}

/** Who waits for anything else. */
export class Call<T> implements Waiting {
  readonly #read: (outcome: number, value: unknown) => T;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: Error) => void;

  constructor(read: (outcome: number, value: unknown) => T, resolve: (value: T) => void, reject: (error: Error) => void) {
    this.#read = read;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  done(outcome: number, value: unknown): void {
    this.#resolve(this.#read(outcome, value));
  }

  overdue(): void {
    this.#resolve(this.#read(Outcome.unavailable, undefined));
  }

  fail(error: Error): void {
    this.#reject(error);
  }
}

export const isYes = (outcome: number): boolean => outcome === Outcome.yes;
export const numberOrNull = (outcome: number, value: unknown): number | null => outcome === Outcome.number ? value as number : null;
