import { onAbort } from '../abort.js';
import { UniversalAiError } from '../errors.js';
import { LONGEST_TIMER_MS } from '../timers.js';
import type { Soon, Waiting } from './vision-resource-manager-backend.js';

/** Those that wait, who keep the process alive; an idle manager does not. */
export class Waits {
  #waiting = 0;
  #alive: NodeJS.Timeout | undefined;

  /** What something comes to; the process lives until then. */
  async during<T>(something: Promise<T>): Promise<T> {
    this.#waiting += 1;
    this.#alive ??= setInterval(() => undefined, LONGEST_TIMER_MS);
    try {
      return await something;
    } finally {
      this.#waiting -= 1;
      if (this.#waiting === 0) {
        clearInterval(this.#alive);
        this.#alive = undefined;
      }
    }
  }

  /**
   * The answer, unless the signal aborts before it is here: what comes nevertheless is given back.
   *
   * @throws {UniversalAiError} `UAT_CANCELLED` with the signal's reason as cause.
   */
  async answer<T>({ request, answer }: Waiting<T>, signal: AbortSignal | undefined, cancel: (request: number) => void, giveBack: (late: T) => Soon<void>): Promise<T> {
    const letGo = onAbort(signal, () => cancel(request));
    try {
      const value = await this.during(answer);
      if (signal?.aborted !== true) return value;
      await giveBack(value);
    } catch (error) {
      if (!(signal?.aborted === true && error instanceof UniversalAiError && error.code === 'UAT_CANCELLED')) throw error;
    } finally {
      letGo();
    }
    throw cancelled(signal!);
  }
}

export function cancelled(signal: AbortSignal): UniversalAiError {
  return new UniversalAiError('UAT_CANCELLED', 'the request was cancelled by its signal', { cause: signal.reason });
}
