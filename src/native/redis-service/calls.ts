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
    if (this.#reading !== undefined) {
      if (keepable) this.#near?.keep(this.#key, this.#reading, outcome, value, ttlMs);
      this.#near?.ended(this.#key, this.#reading);
    }
    switch (outcome) {
      case Outcome.text: case Outcome.number: case Outcome.bytes: return this.#resolve(value as CacheValue);
      case Outcome.json: return this.#parsed(value as string);
      default: return this.#resolve(null);
    }
  }

  overdue(): void {
    this.#resolve(null);
  }

  fail(error: Error): void {
    if (this.#reading !== undefined) this.#near?.ended(this.#key, this.#reading);
    this.#reject(error);
  }

  #parsed(text: string): void {
    let value: CacheValue;
    try {
      value = JSON.parse(text) as CacheValue;
    } catch (error) {
      // Only another program could have put it there: an envelope with a right checksum around something else.
      return this.#reject(error as Error);
    }
    this.#resolve(value);
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
