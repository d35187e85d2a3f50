import type { EndpointHealth } from '../../services/fast-llm-coordinator-types.js';

type State = EndpointHealth['state'];
export type StateChange = EndpointHealth['history'][number];

/** As many as a person reads; older ones are forgotten. */
const KEPT = 16;

/** How an endpoint's state changed, and why. The caller passes the clock, in milliseconds since 1970. */
export class History {
  #state: State = 'healthy';
  readonly #changes: StateChange[] = [];

  /** Notes the state if it is another than before. */
  note(state: State, reason: string, at: number): void {
    if (state === this.#state) return;
    this.#changes.push({ at, from: this.#state, to: state, reason });
    if (this.#changes.length > KEPT) this.#changes.shift();
    this.#state = state;
  }

  /** Oldest first. */
  changes(): StateChange[] {
    return this.#changes.map(change => ({ ...change }));
  }
}
