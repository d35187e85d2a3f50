/** Where and when the first in line will be served, which others may not delay: EASY backfilling. `manager/reserve.rs`. */

import { ENDLESS, later } from './decision.js';
import { bytesOn, isReturning, type Lease } from './lease.js';
import type { Manager } from './manager.js';
import { expectedUse } from './models.js';
import type { Pass, Reservation, Waiting, Want } from './waiting.js';

/** What is under way is not expected to end sooner, in ms: it has taken longer than it should already. */
export const SOON_MS = 1_000;

interface Fit {
  readonly when: number;
  readonly device: number;
  readonly spare: number;
  readonly awaits: readonly number[];
}

/** The reservation of the first in line; `undefined` where nothing that ends would let it in. */
export function reserve(manager: Manager, waiting: Waiting, pass: Pass): Reservation | undefined {
  const { now, settings } = manager;
  const isStrict = waiting.patientUntil <= now || waiting.overtaken >= settings.max_overtaken;
  if (!isStrict) pass.wakeAt(waiting.patientUntil);
  const first = soonest(manager, waiting.want);
  if (first === undefined) return undefined;
  return {
    request: waiting.request,
    from: lastOf(first),
    spare: first.map(({ device, spare }) => ({ device, bytes: spare })),
    awaits: first.flatMap(({ awaits }) => awaits),
    isStrict,
    isForLease: waiting.want.lease !== undefined,
  };
}

/** The devices that will have what is wanted first, soonest first; `undefined` where too few ever will. */
function soonest(manager: Manager, want: Want): Fit[] | undefined {
  const { bytes, gpus, devices } = manager.wanted(want);
  const found: Fit[] = [];
  for (const device of manager.allowed(devices)) {
    if (manager.devices[device]!.isLost) continue;
    const fit = whenItFits(manager, device, bytes);
    if (fit !== undefined) found.push(fit);
  }
  if (found.length < gpus) return undefined;
  found.sort((a, b) => a.when - b.when || a.device - b.device);
  return found.slice(0, gpus);
}

/** When so many bytes will be there if nobody new comes, what is left beside them then, and who has to end for it. */
function whenItFits(manager: Manager, device: number, bytes: number): Fit | undefined {
  const ends: { end: number; lease: number; freed: number }[] = [];
  for (const lease of manager.leases.values()) {
    const freed = bytesOn(lease, device);
    if (freed !== undefined && !isReturning(lease)) ends.push({ end: expectedEnd(manager, lease), lease: lease.id, freed });
  }
  ends.sort((a, b) => a.end - b.end || a.lease - b.lease);
  let room = manager.devices[device]!.roomSoon(manager.settings.headroom);
  let when = manager.now;
  const awaits: number[] = [];
  for (const { end, lease, freed } of ends) {
    if (room >= bytes) break;
    room += freed;
    when = Math.max(when, end);
    awaits.push(lease);
  }
  return room >= bytes ? { when, device, spare: room - bytes, awaits } : undefined;
}

/** When a lease will have ended, as far as can be seen, in ms. */
function expectedEnd({ now, models }: Manager, { expiresAt = ENDLESS, instance }: Lease): number {
  if (instance === undefined) return expiresAt;
  const useMs = Math.floor(expectedUse(models[instance.model]!));
  if (instance.state === 'loading') return later(Math.max(instance.until, now + SOON_MS), useMs);
  if (instance.uses.length === 0) return now;
  let end = now + SOON_MS;
  for (const { since } of instance.uses) end = Math.max(end, later(since, useMs));
  return end;
}

/** In how many ms the leases in the way will have ended, as far as they tell and whoever else waits; `undefined` where they do not. */
export function expectedWait(manager: Manager, want: Want): number | undefined {
  const found = soonest(manager, want);
  const from = found === undefined ? undefined : lastOf(found);
  return from === undefined ? undefined : Math.max(from - manager.now, 0);
}

/** When the last of several devices has room, where that is known. */
function lastOf(found: readonly Fit[]): number | undefined {
  const from = found.at(-1)?.when;
  return from !== undefined && from < ENDLESS ? from : undefined;
}
