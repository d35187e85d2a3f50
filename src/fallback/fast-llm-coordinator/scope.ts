import { performance } from 'node:perf_hooks';
import { setTimeout as setTimeoutAsync } from 'node:timers/promises';

import { onAbort } from '../../abort.js';
import { UniversalAiError } from '../../errors.js';

/** How long one call may last: until its signal aborts, its time is over, its consumer leaves or the coordinator closes. */
export class CallScope {
  readonly #controller = new AbortController();
  readonly #releases: (() => void)[] = [];
  /** When the call began, on the clock of `performance.now()`. */
  readonly startedMs = performance.now();
  readonly #timeoutMs: number;

  /** @param running The scopes of the calls under way; this one is among them until it is released. */
  constructor(signal: AbortSignal | undefined, timeoutMs: number | undefined, running: Set<CallScope>) {
    this.#timeoutMs = timeoutMs ?? Infinity;
    running.add(this);
    this.#releases.push(() => running.delete(this));
    this.#releases.push(onAbort(signal, () => this.end(new UniversalAiError('UAT_CANCELLED', 'the call was cancelled by its signal', { cause: signal?.reason }))));
    if (timeoutMs !== undefined) {
      const timer = setTimeout(() => this.end(new UniversalAiError('UAT_TIMEOUT', `no answer within ${timeoutMs} ms; allow more time or ask for fewer tokens`, { retryable: true, details: { timeoutMs } })), timeoutMs);
      this.#releases.push(() => clearTimeout(timer));
    }
  }

  /** Aborts with a `UniversalAiError` as its reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What is left of the caller's own time, in milliseconds. */
  leftMs(nowMs: number): number {
    return this.startedMs + this.#timeoutMs - nowMs;
  }

  /** Ends the call early. */
  end(reason: UniversalAiError): void {
    this.#controller.abort(reason);
  }

  /** The call is over: lets the timer and the caller's signal go. */
  release(): void {
    for (const release of this.#releases.splice(0)) release();
  }

  /** Waits for something that goes on without this call. @throws The reason, when the call ends before. */
  async unlessEnded<T>(step: Promise<T>): Promise<T> {
    let release = (): void => undefined;
    const ended = new Promise<never>((_, reject) => {
      release = onAbort(this.signal, () => reject(this.signal.reason as Error));
    });
    try {
      return await Promise.race([step, ended]);
    } finally {
      release();
    }
  }

  /** Waits, unless the call ends before; `woken` ends the wait early. */
  async sleep(ms: number, woken?: AbortSignal): Promise<void> {
    const signal = woken === undefined ? this.signal : AbortSignal.any([this.signal, woken]);
    // Its own AbortError is replaced by the reason, which says why.
    await setTimeoutAsync(ms, undefined, { signal }).catch(() => this.signal.throwIfAborted());
  }
}
