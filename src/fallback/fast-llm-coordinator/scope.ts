import { performance } from 'node:perf_hooks';

import { UniversalAiError } from '../../errors.js';

/** How long one call may last: until its signal aborts, its time is over, its consumer leaves or the coordinator closes. */
export class CallScope {
  readonly #controller = new AbortController();
  readonly #releases: (() => void)[] = [];
  /** When the call began, on the clock of `performance.now()`. */
  readonly startedMs = performance.now();

  constructor(signal: AbortSignal | undefined, timeoutMs: number | undefined, closing: AbortSignal) {
    this.#follow(closing, () => new UniversalAiError('UAT_CLOSED', 'this FastLLMCoordinator was closed while the call was under way; make a new one'));
    if (signal !== undefined) {
      this.#follow(signal, () => new UniversalAiError('UAT_CANCELLED', 'the call was cancelled by its signal', { cause: signal.reason }));
    }
    if (timeoutMs !== undefined) {
      const timer = setTimeout(() => this.end(new UniversalAiError('UAT_TIMEOUT', `no answer within ${timeoutMs} ms; allow more time or ask for fewer tokens`, { retryable: true, details: { timeoutMs } })), timeoutMs);
      this.#releases.push(() => clearTimeout(timer));
    }
  }

  /** Aborts with a `UniversalAiError` as its reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the call early. */
  end(reason: UniversalAiError): void {
    this.#controller.abort(reason);
  }

  /** Lets the timer and the caller's signal go. */
  release(): void {
    for (const release of this.#releases.splice(0)) release();
  }

  /** Waits, unless the call ends before. */
  async sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, ms);
      this.signal.addEventListener('abort', () => {
        clearTimeout(timer);
        reject(this.signal.reason);
      }, { once: true });
    });
  }

  #follow(signal: AbortSignal, reason: () => UniversalAiError): void {
    const end = (): void => this.end(reason());
    if (signal.aborted) return end();
    signal.addEventListener('abort', end, { once: true });
    this.#releases.push(() => signal.removeEventListener('abort', end));
  }
}
