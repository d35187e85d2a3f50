import type { RedisService } from '../binding.js';
import { fromNative } from '../errors.js';

/**
 * All operations of a tick cross the border in one call, and all outcomes of a socket's read in another: a call of its own for
 * each is no faster than ioredis. The layout is that of `crates/node-addon/src/redis_service/batch.rs`.
 */

/** What an operation is. */
export const Operation = { get: 0, getTimed: 1, has: 2, ttl: 3, delete: 4, expire: 5, increment: 6, set: 7, setAbsent: 8, setPresent: 9 } as const;
/** How a payload is written. */
export const Payload = { text: 0, json: 1, integer: 2, bytes: 3 } as const;
/** What came. */
export const Outcome = { nothing: 0, text: 1, json: 2, number: 3, bytes: 4, yes: 5, no: 6, failed: 7, unavailable: 8, overdue: 9 } as const;

const KEY_APART = 64;
const KEEPABLE = 16;
const FIELDS = 3;
/** Numbers wrap here. */
const NUMBERS = 0x1_0000_0000;

/** Who waits for an outcome. */
export interface Waiting {
  /** @param keepable Whether the value may be kept near, for `ttlMs` (-1: without end). */
  done(outcome: number, value: unknown, ttlMs: number, keepable: boolean): void;
  /** The answer is a miss, and what was asked for follows in `done` (or that there is nothing). */
  overdue(): void;
  fail(error: Error): void;
}

/** Sends operations and gives out outcomes. */
export class Batches {
  readonly #native: RedisService;
  /** Called before outcomes are given out: what has changed concerns what they say. */
  readonly #beforeOutcomes: () => void;
  #numbers = new Float64Array(128 * FIELDS);
  #count = 0;
  #keys = '';
  #payloads: unknown[] = [];
  #next = 0;
  /** A ring: the call with number `n` lies at `n & mask`. It grows when the place is still taken. */
  #waiting: (Waiting | undefined)[] = Array.from({ length: 1024 });
  /** Calls whose callers wait; those that are overdue have been answered. */
  #pending = 0;
  /** Keeps the process alive while somebody waits, and only then. */
  readonly #alive = setInterval(() => {}, 0x3fff_ffff);

  constructor(native: RedisService, beforeOutcomes: () => void) {
    this.#native = native;
    this.#beforeOutcomes = beforeOutcomes;
    this.#alive.unref();
  }

  /**
   * Adds an operation to those of this tick. `kind` and `payload` are the value of a write; `payload` alone is the time to live of
   * an increment.
   */
  push(operation: number, key: string, argument: number, waiting: Waiting, kind?: number, payload?: unknown): void {
    const first = this.#count === 0;
    if (first) process.nextTick(this.#flush);
    const at = this.#count * FIELDS;
    if (at === this.#numbers.length) {
      const numbers = new Float64Array(at * 2);
      numbers.set(this.#numbers);
      this.#numbers = numbers;
    }
    let what = operation;
    if (key.includes('\0')) {
      what += KEY_APART;
      this.#payloads.push(key);
      key = '';
    }
    if (kind !== undefined) this.#payloads.push(kind, payload);
    else if (payload !== undefined) this.#payloads.push(payload);
    this.#numbers[at] = what;
    this.#numbers[at + 1] = this.#wait(waiting);
    this.#numbers[at + 2] = argument;
    this.#keys = first ? key : `${this.#keys}\0${key}`;
    this.#count += 1;
  }

  /** Ends the hold on the process. Whoever waits has been answered. */
  close(): void {
    clearInterval(this.#alive);
  }

  #wait(waiting: Waiting): number {
    while (this.#waiting[this.#next & (this.#waiting.length - 1)] !== undefined) this.#grow();
    const number = this.#next;
    this.#waiting[number & (this.#waiting.length - 1)] = waiting;
    this.#next = (number + 1) % NUMBERS;
    if (this.#pending++ === 0) this.#alive.ref();
    return number;
  }

  #grow(): void {
    const old = this.#waiting;
    const mask = old.length * 2 - 1;
    const waiting: (Waiting | undefined)[] = Array.from({ length: mask + 1 });
    // Numbers run on, so each call lies at its old place or one length further.
    for (let back = 1; back <= old.length; back++) {
      const number = this.#next - back;
      waiting[number & mask] = old[number & (old.length - 1)];
    }
    this.#waiting = waiting;
  }

  readonly #flush = (): void => {
    const keys = this.#keys;
    const payloads = this.#payloads;
    const count = this.#count;
    this.#count = 0;
    this.#keys = '';
    if (payloads.length > 0) this.#payloads = [];
    if (this.#native.submit(this.#numbers, count, keys, payloads as never)) this.drain();
  };

  /** Gives out what has come. */
  readonly drain = (): void => {
    const { numbers, values } = this.#native.drain();
    this.#beforeOutcomes();
    const { length } = values;
    for (let at = 0; at < length; at++) {
      const place = (numbers[at * FIELDS] as number) & (this.#waiting.length - 1);
      const waiting = this.#waiting[place];
      if (waiting === undefined) continue;
      const kind = numbers[at * FIELDS + 1] as number;
      const outcome = kind & ~KEEPABLE;
      if (outcome === Outcome.overdue) {
        this.#waiting[place] = new Late(waiting);
        if (--this.#pending === 0) this.#alive.unref();
        waiting.overdue();
        continue;
      }
      this.#waiting[place] = undefined;
      if (!(waiting instanceof Late) && --this.#pending === 0) this.#alive.unref();
      if (outcome === Outcome.failed) waiting.fail(fromNative(new Error(values[at] as string)));
      else waiting.done(outcome, values[at], numbers[at * FIELDS + 2] as number, (kind & KEEPABLE) !== 0);
    }
  };
}

/** A call whose caller has been answered already; its place is taken until the late outcome comes. */
class Late implements Waiting {
  readonly #inner: Waiting;

  constructor(inner: Waiting) {
    this.#inner = inner;
  }

  done(outcome: number, value: unknown, ttlMs: number, keepable: boolean): void {
    this.#inner.done(outcome, value, ttlMs, keepable);
  }

  overdue(): void {}

  fail(error: Error): void {
    this.#inner.fail(error);
  }
}
