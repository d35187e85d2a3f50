/** Those that wait, and in which order. `manager/waiting.rs`. */

import type { Share } from './decision.js';
import type { LeaseRequest, Priority } from './event.js';
import type { EndsBefore } from './lease.js';

/** What is waited for: memory, or a model by its place in the list. */
export type Want = { readonly lease: LeaseRequest; readonly model?: undefined } | { readonly lease?: undefined; readonly model: number };

/** Memory that was promised and is on its way out of others' hands. */
export interface Claim {
  readonly shares: readonly Share[];
  /** Those that give it back. */
  awaits: number[];
  /** When the driver has spoken since the last of them was gone. */
  readings: { readonly first: number; readonly last: number } | undefined;
  /** As in `Lease`. */
  readonly endsBefore: EndsBefore | undefined;
}

/** One that waits. */
export interface Waiting {
  readonly request: number;
  readonly priority: Priority;
  /** When it came, less what its priority is worth: smaller is first. It never changes, so that nobody is overtaken by those that come later than the priorities differ. */
  readonly order: number;
  /** Of those with the same order, who came first. */
  readonly arrival: number;
  readonly since: number;
  readonly deadline: number;
  /** From when on others do not use warm models where it waits, however few have overtaken it. */
  readonly patientUntil: number;
  /** How many were served that stood behind it. */
  overtaken: number;
  readonly want: Want;
  claim: Claim | undefined;
}

/** What is left beside a reservation on a device, in bytes. */
export interface Spare {
  readonly device: number;
  bytes: number;
}

/** Where the first in line will get its memory, and when. */
export interface Reservation {
  readonly request: number;
  /** When, as far as can be seen; left out where it depends on what has no known end. */
  readonly from: number | undefined;
  readonly spare: readonly Spare[];
  /** The leases that it waits for. */
  readonly awaits: readonly number[];
  /** Whether its patience is over. */
  readonly isStrict: boolean;
  /** Whether it waits for a lease, which nobody may delay, patience or not. */
  readonly isForLease: boolean;
}

/** Bytes beside a reservation on a device; `undefined` where it needs nothing of that device. */
export function spareOn({ spare }: Reservation, device: number): number | undefined {
  return spare.find(spare => spare.device === device)?.bytes;
}

/** What is true during one look at the line. */
export class Pass {
  /** Where the first that has to wait will be served. */
  reserved: Reservation | undefined;
  /** Of each model, how many that wait for it were passed. */
  readonly ahead: number[];
  /** Of each model, how many wait for it. */
  readonly all: number[];
  wake: number | undefined;

  constructor(models: number, line: readonly Waiting[]) {
    this.ahead = models === 0 ? [] : Array.from({ length: models }, () => 0);
    this.all = models === 0 ? [] : Array.from({ length: models }, () => 0);
    for (const { want: { model } } of line) if (model !== undefined) this.all[model]! += 1;
  }

  wakeAt(when: number): void {
    this.wake = this.wake === undefined ? when : Math.min(this.wake, when);
  }

  /** Somebody else takes of what is reserved. */
  takeOfReserved(shares: readonly Share[]): void {
    if (this.reserved === undefined) return;
    for (const { device, bytes } of shares) {
      for (const spare of this.reserved.spare) if (spare.device === device) spare.bytes -= bytes;
    }
  }
}
