/** Leases, those of warm models among them. `manager/lease.rs`. */

import type { Refusal, Share } from './decision.js';
import type { Priority } from './event.js';

/** The request that a lease ends before, and when that needs its memory. */
export interface EndsBefore {
  readonly request: number;
  readonly from: number;
}

/** A use of an instance. */
export interface Using {
  readonly request: number;
  readonly since: number;
}

/** A warm model in memory. */
export interface Instance {
  /** Its place in the list of models. */
  readonly model: number;
  /** `unloading`: its memory was promised to others. */
  state: 'loading' | 'ready' | 'unloading';
  /** Until about when it is loading. */
  readonly until: number;
  uses: Using[];
  /** When it was last used or loaded. */
  last: number;
}

/** Memory that somebody has. */
export interface Lease {
  readonly id: number;
  readonly holder: number;
  readonly owner: string;
  readonly model: string | undefined;
  readonly priority: Priority;
  readonly shares: readonly Share[];
  /** When it ends; instances of warm models have no end. */
  expiresAt: number | undefined;
  /** It was granted because it ends before this request needs its memory, so that it may not live longer. */
  readonly endsBefore: EndsBefore | undefined;
  readonly preemptible: boolean;
  readonly graceMs: number;
  /** Set when its holder was asked to give it back: for whom. */
  preemptedBy: Priority | undefined;
  lost: boolean;
  /** Set where it is an instance of a warm model. */
  readonly instance: Instance | undefined;
}

/** Whether its memory is on its way out. */
export function isReturning({ preemptedBy, instance }: Lease): boolean {
  return preemptedBy !== undefined || instance?.state === 'unloading';
}

/** What a lease has of a device, in bytes. */
export function bytesOn({ shares }: Lease, device: number): number | undefined {
  for (const share of shares) if (share.device === device) return share.bytes;
  return undefined;
}

/** Why the memory of an instance cannot be given back now. */
export function whyNotBack({ state, uses }: Instance): Refusal | undefined {
  if (state === 'loading') return { why: 'invalid', problem: 'the model is being loaded: say that it is loaded, or that it failed' };
  if (state === 'ready' && uses.length > 0) return { why: 'invalid', problem: 'the model is in use: say first that its uses have ended' };
  return undefined;
}

/** Whether it can be used and nobody does. */
export function isIdle({ state, uses }: Instance): boolean {
  return state === 'ready' && uses.length === 0;
}

/** Whether nobody uses it, nor has for `holdMs`. */
export function isEvictable(instance: Instance, now: number, holdMs: number): boolean {
  return isIdle(instance) && now - instance.last >= holdMs;
}

/** The leases that have an end, soonest first; of those that end together, oldest first. */
export class Ends {
  readonly #leases: Lease[] = [];

  first(): Lease | undefined {
    return this.#leases[0];
  }

  /** Called when its end is set. Most end later than all others. */
  add(lease: Lease): void {
    const place = this.#place(lease);
    if (place === this.#leases.length) this.#leases.push(lease);
    else this.#leases.splice(place, 0, lease);
  }

  /** Called before its end is changed. */
  remove(lease: Lease): void {
    const place = this.#place(lease);
    if (this.#leases[place] !== lease) return;
    if (place === this.#leases.length - 1) this.#leases.pop();
    else this.#leases.splice(place, 1);
  }

  /** Before how many it does not end. */
  #place({ id, expiresAt = 0 }: Lease): number {
    let [low, high] = [0, this.#leases.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#leases[middle]!;
      const end = other.expiresAt ?? 0;
      if (end < expiresAt || (end === expiresAt && other.id < id)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
