import { onAbort } from '../abort.js';
import type { BackendSubscription } from './redis-service-backend.js';
import type { SubscriptionEvent } from './redis-service-types.js';

/**
 * Turns a backend's subscription into the iterator that callers see. The first `next` subscribes; leaving the loop, the
 * signal and `close()` of the service end the iteration without an error.
 *
 * Not an async generator: a generator's `return()` waits behind a pending `next()`, here for a message that may never come.
 */
export class Subscription implements AsyncIterableIterator<SubscriptionEvent, undefined> {
  readonly #source: BackendSubscription;
  readonly #release: () => void;
  readonly #ready: SubscriptionEvent[] = [];
  #over = false;
  /** Calls of `next` are answered one after another, however they are made. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(source: BackendSubscription, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#release = onAbort(signal, () => this.#leave());
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<SubscriptionEvent, undefined>> {
    const result = this.#turn.then(() => this.#pull());
    this.#turn = result.catch(() => undefined);
    return result;
  }

  return(): Promise<IteratorResult<SubscriptionEvent, undefined>> {
    this.#leave();
    return Promise.resolve({ done: true, value: undefined });
  }

  throw(error: unknown): Promise<IteratorResult<SubscriptionEvent, undefined>> {
    this.#leave();
    return Promise.reject(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leave();
  }

  async #pull(): Promise<IteratorResult<SubscriptionEvent, undefined>> {
    for (;;) {
      if (this.#over) return { done: true, value: undefined };
      const event = this.#ready.shift();
      if (event !== undefined) return { done: false, value: event };
      await this.#fetch();
    }
  }

  async #fetch(): Promise<void> {
    try {
      const events = await this.#source.next();
      if (events === null) this.#leave();
      else this.#ready.push(...events);
    } catch (error) {
      if (this.#over) return;
      this.#leave();
      throw error;
    }
  }

  /** Also called by the signal within the constructor, before there is anything to release. */
  #leave(): void {
    if (this.#over) return;
    this.#over = true;
    this.#ready.length = 0;
    this.#source.cancel();
    this.#release?.();
  }
}
