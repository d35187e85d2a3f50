import { RecentMean } from './balance.js';
import type { CallScope } from './scope.js';

/** One request in the queues of several endpoints. Takes the first place that is offered. */
interface Waiter {
  /** Whether it still wants one; then the place is its own. */
  offer(from: Places): boolean;
}

/** The places of one endpoint for requests under way, and those who wait for one. First come, first served. */
export class Places {
  readonly #most: number;
  readonly #mostWaiting: number;
  readonly #waiting = new Set<Waiter>();
  /** What a request takes from its place to its end, in milliseconds. */
  readonly #takes = new RecentMean();
  #taken = 0;

  /** @param most Requests at the same time. @param mostWaiting Requests that may wait. */
  constructor(most: number, mostWaiting: number) {
    this.#most = most;
    this.#mostWaiting = mostWaiting;
  }

  get taken(): number {
    return this.#taken;
  }

  get full(): boolean {
    return this.#taken >= this.#most;
  }

  /** Whether one more may wait. */
  get hasQueue(): boolean {
    return this.#waiting.size < this.#mostWaiting;
  }

  /** In how many milliseconds the turn of one who came now would be; `undefined` before any request has ended. */
  get expectedMs(): number | undefined {
    return this.#takes.value === undefined ? undefined : (this.#takes.value * (this.#waiting.size + 1)) / this.#most;
  }

  /** A request ended that had its place for so long. */
  took(ms: number): void {
    if (this.#most !== Infinity) this.#takes.observe(ms);
  }

  take(): void {
    this.#taken += 1;
  }

  /** A place is free: whoever waits longest gets it. */
  give(): void {
    this.#taken -= 1;
    for (const waiter of this.#waiting) {
      if (this.full) return;
      this.#waiting.delete(waiter);
      if (waiter.offer(this)) this.#taken += 1;
    }
  }

  enter(waiter: Waiter): void {
    this.#waiting.add(waiter);
  }

  leave(waiter: Waiter): void {
    this.#waiting.delete(waiter);
  }
}

/**
 * Waits for a place at any of these, at most `patienceMs`.
 *
 * @returns Whose place it is, taken for the caller, who gives it back; `undefined` if none became free in time.
 * @throws The scope's reason, when the call ends before.
 */
export async function waitForPlace(queues: readonly Places[], patienceMs: number, scope: CallScope): Promise<Places | undefined> {
  let got: Places | undefined;
  const over = new AbortController();
  const waiter: Waiter = {
    offer(from) {
      if (got !== undefined || over.signal.aborted || scope.signal.aborted) return false;
      got = from;
      over.abort();
      return true;
    },
  };
  for (const queue of queues) queue.enter(waiter);
  try {
    await scope.sleep(patienceMs, over.signal);
    scope.signal.throwIfAborted();
    return got;
  } catch (error) {
    got?.give();
    throw error;
  } finally {
    over.abort();
    for (const queue of queues) queue.leave(waiter);
  }
}
