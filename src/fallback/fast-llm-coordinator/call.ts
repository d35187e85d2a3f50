import { UniversalAiError } from '../../errors.js';
import { Journal } from './journal.js';
import type { CallScope } from './scope.js';
import type { Counters } from './stats.js';

/** One call of a caller's, from its beginning to its end. */
export class Call {
  readonly journal: Journal;
  readonly scope: CallScope;
  readonly #counters: Counters;
  readonly #leave: () => void;
  #over = false;

  /** @param leave Told once, when the call has ended. */
  constructor(model: string, scope: CallScope, counters: Counters, leave: () => void) {
    this.journal = new Journal(model, scope, counters);
    this.scope = scope;
    this.#counters = counters;
    this.#leave = leave;
    counters.requests += 1;
    counters.inFlight += 1;
  }

  /** Runs a part of the call; an error ends the call and becomes what the caller sees. */
  async guard<T>(part: () => Promise<T>): Promise<T> {
    try {
      return await part();
    } catch (error) {
      const told = this.journal.told(error);
      // A caller that went away is no error of ours.
      if (told.code !== 'UAT_CANCELLED' && !this.#over) this.#counters.errors += 1;
      this.ended();
      throw told;
    }
  }

  ended(): void {
    if (this.#over) return;
    this.#over = true;
    this.#counters.inFlight -= 1;
    this.journal.ended();
    this.scope.release();
    this.#leave();
  }
}

/** The consumer of a stream went away. */
export function left(): UniversalAiError {
  return new UniversalAiError('UAT_CANCELLED', 'the consumer of the stream left');
}
