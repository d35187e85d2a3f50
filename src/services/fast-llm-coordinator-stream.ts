import type { BackendStream } from './fast-llm-coordinator-backend.js';
import type { ChatChunk } from './fast-llm-coordinator-types.js';

/**
 * Turns a backend's stream into the iterator that callers see.
 *
 * Not an async generator: a generator's `return()` waits behind a pending `next()`, so that leaving early (a destroyed
 * `Readable`, a lost race) would keep the upstream generating until its next token.
 */
export class ChatStream implements AsyncIterableIterator<ChatChunk, undefined> {
  readonly #source: BackendStream;
  readonly #ready: ChatChunk[] = [];
  /** A chunk that may turn out to be the last one, which carries the routing report. */
  #held: ChatChunk | undefined;
  #state: 'open' | 'complete' | 'over' = 'open';
  /** Calls of `next` are answered one after another, however they are made. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(source: BackendStream) {
    this.#source = source;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<ChatChunk, undefined>> {
    const result = this.#turn.then(() => this.#pull());
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** Leaving the loop: the upstream connection is closed at once, and a pending `next` ends. */
  return(): Promise<IteratorResult<ChatChunk, undefined>> {
    this.#leave();
    return Promise.resolve({ done: true, value: undefined });
  }

  throw(error: unknown): Promise<IteratorResult<ChatChunk, undefined>> {
    this.#leave();
    return Promise.reject(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leave();
  }

  async #pull(): Promise<IteratorResult<ChatChunk, undefined>> {
    for (;;) {
      const chunk = this.#ready.shift();
      if (chunk !== undefined) return { done: false, value: chunk };
      if (this.#state !== 'open') return { done: true, value: undefined };
      const batch = await this.#fetch();
      if (batch === undefined) continue;
      if (batch === null) this.#complete();
      else batch.forEach(one => this.#accept(one));
    }
  }

  /** The backend's next batch, or `undefined` when the consumer has left meanwhile. */
  async #fetch(): Promise<ChatChunk[] | null | undefined> {
    try {
      const batch = await this.#source.next();
      return this.#left() ? undefined : batch;
    } catch (error) {
      if (this.#left()) return undefined;
      this.#state = 'over';
      throw error;
    }
  }

  #accept(chunk: ChatChunk): void {
    if (this.#held !== undefined) this.#ready.push(this.#held);
    this.#held = undefined;
    // Only a chunk without choices (usage) or with a finish reason can be the last: text is never delayed.
    const mayBeLast = !Array.isArray(chunk.choices) || chunk.choices.every(choice => choice.finish_reason != null);
    if (mayBeLast) this.#held = chunk;
    else this.#ready.push(chunk);
  }

  #complete(): void {
    const last: ChatChunk = this.#held ?? { choices: [] };
    last.routing = this.#source.report();
    this.#held = undefined;
    this.#ready.push(last);
    this.#state = 'complete';
  }

  /** A method, because the compiler does not see that another call changes the state during an await. */
  #left(): boolean {
    return this.#state === 'over';
  }

  #leave(): void {
    if (this.#state === 'open') this.#source.cancel();
    this.#state = 'over';
    this.#ready.length = 0;
    this.#held = undefined;
  }
}
