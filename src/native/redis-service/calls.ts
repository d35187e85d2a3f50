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
    if (outcome === Outcome.text || outcome === Outcome.number || outcome === Outcome.bytes) found = value as CacheValue;
    else if (outcome === Outcome.json) found = parsed(value as string);
    if (this.#reading !== undefined) {
      if (keepable && (found !== null || value === 'null')) this.#near?.keep(this.#key, this.#reading, outcome, value, ttlMs);
      this.#near?.ended(this.#key, this.#reading);
    }
    this.#resolve(found);
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

/** JSON that is none is a miss, as every value that cannot be read: only another program could have put it there. */
function parsed(text: string): CacheValue | null {
  try {
    return JSON.parse(text) as CacheValue;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
