/** What a manager decides, in the form in which the Rust core writes it down. `manager/decision.rs`. */

import type { Priority } from './event.js';

/**
 * As good as never, in ms: the end of an instance of a warm model. The greatest number of the Rust core, 2^64 - 1, is this
 * one as JSON is read here.
 */
export const ENDLESS = 2 ** 64;

/** No time is longer, in ms: 142,000 years, which bears to be added to any clock. */
export const MOST_MS = 2 ** 52;

/** The sum of two times; never more than `ENDLESS`. */
export function later(now: number, ms: number): number {
  return Math.min(now + ms, ENDLESS);
}

/** Bytes of one device. */
export interface Share {
  readonly device: number;
  readonly bytes: number;
}

/** Why a lease has ended without its holder's doing. */
export type Ended = 'expired' | 'preempted' | 'holder_gone' | 'load_failed';

/** Why a request is not answered with memory. */
export type Refusal =
  /** There is not so much free, and the time to wait is over. `leased` and `external`: bytes on the devices in question; `lost`: how many of them have vanished. */
  | { readonly why: 'insufficient'; readonly asked: number; readonly largest_free: number; readonly device?: number; readonly leased: number; readonly external: number; readonly lost?: number; readonly can_ever_fit: boolean; readonly expected_wait_ms?: number }
  /** The holder uses more than it has leased. */
  | { readonly why: 'overuse'; readonly device: number; readonly leased: number; readonly used: number }
  /** More than the owner may have at once. */
  | { readonly why: 'quota'; readonly quota: number; readonly leased: number }
  /** As many wait as may. */
  | { readonly why: 'queue_full'; readonly waiting: number }
  /** No such device, no such model, a number that makes no sense. */
  | { readonly why: 'invalid'; readonly problem: string }
  /** The model could not be loaded. */
  | { readonly why: 'load_failed' }
  /** Nothing is known of such a lease: it has expired, was released, or never was. */
  | { readonly why: 'no_such_lease' }
  /** Another holder has this lease. */
  | { readonly why: 'not_yours' }
  /** Whoever asked has gone, or does not want it any longer. */
  | { readonly why: 'cancelled' };

/** What a manager decides. Each is to be carried out, in order. */
export type Decision =
  /** A lease is granted: `lease` is its number and fencing token, `expires_at` when it ends unless it is renewed. */
  | { readonly decision: 'granted'; readonly request: number; readonly lease: number; readonly shares: readonly Share[]; readonly expires_at: number; readonly waited_ms: number }
  /** A request waits, behind so many, and for so long as far as the leases that are in its way tell. */
  | { readonly decision: 'queued'; readonly request: number; readonly ahead: number; readonly expected_wait_ms?: number }
  | ({ readonly decision: 'refused'; readonly request: number } & Refusal)
  /** A lease lives on, for less than was asked where it was granted on the promise to end before somebody needs its memory. */
  | { readonly decision: 'renewed'; readonly lease: number; readonly expires_at: number }
  | { readonly decision: 'released'; readonly lease: number }
  /** What was asked of a lease is refused. */
  | ({ readonly decision: 'denied'; readonly lease: number } & Refusal)
  /** What was asked of a model is refused. */
  | ({ readonly decision: 'model_denied'; readonly holder: number; readonly model: string } & Refusal)
  /** A holder shall give a lease back, which ends then in any case. */
  | { readonly decision: 'preempt'; readonly lease: number; readonly holder: number; readonly until: number; readonly by: Priority }
  | { readonly decision: 'ended'; readonly lease: number; readonly holder: number; readonly reason: Ended }
  /** A lease's device has vanished. The lease lives on until its holder gives it back or its time is over. */
  | { readonly decision: 'lost'; readonly lease: number; readonly holder: number }
  /** The device is there again. */
  | { readonly decision: 'found'; readonly lease: number; readonly holder: number }
  /** A holder uses more than it has leased; said once until it no longer does. */
  | { readonly decision: 'overuse'; readonly holder: number; readonly device: number; readonly leased: number; readonly used: number }
  /** The holder of a model shall load an instance. */
  | { readonly decision: 'load'; readonly lease: number; readonly holder: number; readonly model: string; readonly share: Share }
  /** It shall unload it. */
  | { readonly decision: 'unload'; readonly lease: number; readonly holder: number }
  /** A use may begin, with this instance. */
  | { readonly decision: 'started'; readonly request: number; readonly lease: number; readonly waited_ms: number };
