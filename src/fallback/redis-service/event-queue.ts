import type { UniversalAiError } from '../../errors.js';
import type { BackendSubscription } from '../../services/redis-service-backend.js';
import type { SubscriptionEvent } from '../../services/redis-service-types.js';

/** A consumer that is further behind than this loses the oldest messages, and is told so. */
const MOST_WAITING = 1_024;

/** The events of one subscription between the connection and its consumer: bounded, and saying what was lost. */
export class EventQueue implements BackendSubscription {
  readonly #start: () => void;
  readonly #stop: () => void;
  readonly #now: () => number;
  readonly #waiting: { event: SubscriptionEvent; at: number }[] = [];
  /** When the oldest message that did not fit arrived. */
  #lostSince: number | undefined;
  #wake: (() => void) | undefined;
  #failure: UniversalAiError | undefined;
  #state: 'new' | 'live' | 'over' = 'new';

  /**
   * @param start Subscribes; called at the first `next`.
   * @param stop Unsubscribes; called once, if `start` was.
   * @param now Milliseconds on a clock that never goes back.
   */
  constructor(start: () => void, stop: () => void, now: () => number) {
    this.#start = start;
    this.#stop = stop;
    this.#now = now;
  }

  push(event: SubscriptionEvent): void {
    if (this.#state !== 'live') return;
    this.#waiting.push({ event, at: this.#now() });
    if (this.#waiting.length > MOST_WAITING) this.#drop();
    this.#wake?.();
  }

  async next(): Promise<SubscriptionEvent[] | null> {
    if (this.#state === 'new') {
      this.#state = 'live';
      this.#start();
    }
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#state === 'over') return null;
      if (this.#waiting.length > 0) return this.#take();
      await new Promise<void>(resolve => { this.#wake = resolve; });
      this.#wake = undefined;
    }
  }

  /** Ends it with an error for its consumer. */
  fail(error: UniversalAiError): void {
    if (this.#state !== 'live') return;
    this.#failure = error;
    this.cancel();
  }

  cancel(): void {
    if (this.#state === 'live') this.#stop();
    this.#state = 'over';
    this.#waiting.length = 0;
    this.#wake?.();
  }

  #drop(): void {
    const oldest = this.#waiting.shift();
    if (oldest === undefined) return;
    const { event, at } = oldest;
    this.#lostSince = Math.min(this.#lostSince ?? Infinity, event.type === 'gap' ? at - event.sinceMs : at);
  }

  #take(): SubscriptionEvent[] {
    const events = this.#waiting.splice(0).map(({ event }) => event);
    if (this.#lostSince !== undefined) events.unshift({ type: 'gap', sinceMs: Math.max(0, Math.round(this.#now() - this.#lostSince)) });
    this.#lostSince = undefined;
    return events;
  }
}
