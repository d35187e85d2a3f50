import type { BackendSubscription } from '../../services/redis-service-backend.js';
import type { SubscriptionEvent } from '../../services/redis-service-types.js';
import type { RedisEvent, RedisSubscription } from '../binding.js';
import { asking } from '../errors.js';
import { fromNativeValue } from './values.js';

/** A subscription of the Rust core. */
export class NativeSubscription implements BackendSubscription {
  readonly #native: RedisSubscription;

  constructor(native: RedisSubscription) {
    this.#native = native;
  }

  async next(): Promise<SubscriptionEvent[] | null> {
    const events = await asking(() => this.#native.next());
    return events === null || events === undefined ? null : events.map(eventOf);
  }

  cancel(): void {
    this.#native.cancel();
  }
}

function eventOf({ channel, message, gapSinceMs }: RedisEvent): SubscriptionEvent {
  if (gapSinceMs !== undefined) return { type: 'gap', sinceMs: gapSinceMs };
  return { type: 'message', channel: channel ?? '', message: fromNativeValue(message ?? {}) };
}
