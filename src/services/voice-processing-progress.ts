import { onAbort } from '../abort.js';
import { UniversalAiError } from '../errors.js';
import type { Listening } from './voice-processing-backend.js';
import type { Prepared } from './voice-processing-request.js';

/**
 * Whom a call tells how far it is, and what ends it: the caller's signal, or a function of the caller's that throws. What is told only
 * grows, and nothing is told when the call is over.
 */
export class Progress {
  readonly listening: Listening;
  readonly #onProgress: Prepared['onProgress'];
  readonly #ending = new AbortController();
  /** Lets go of the caller's signal. */
  readonly #release: () => void;
  #told = -1;
  #isOver = false;
  #failed: UniversalAiError | undefined;

  constructor({ signal, onProgress }: Pick<Prepared, 'signal' | 'onProgress'>) {
    this.#onProgress = onProgress;
    this.#release = onAbort(signal, () => this.#ending.abort(signal?.reason));
    this.listening = { signal: this.#ending.signal, tell: onProgress === undefined ? undefined : fraction => this.#tell(fraction) };
  }

  /** Waits for what is called, and throws what the caller's function threw. */
  async until<T>(call: Promise<T>): Promise<T> {
    try {
      const value = await call;
      this.#tell(1);
      if (this.#failed !== undefined) throw this.#failed;
      return value;
    } catch (error) {
      throw this.#failed ?? error;
    } finally {
      this.#isOver = true;
      this.#release();
    }
  }

  #tell(fraction: number): void {
    if (this.#isOver || this.#failed !== undefined || fraction <= this.#told) return;
    this.#told = fraction;
    try {
      this.#onProgress?.(fraction);
    } catch (cause) {
      this.#failed = new UniversalAiError('UAT_INVALID_INPUT', `options.onProgress: the function threw: ${cause instanceof Error ? cause.message : String(cause)}`, { details: { field: 'options.onProgress' }, cause });
      this.#ending.abort(this.#failed);
    }
  }
}
