/** Who has to go so that somebody fits, at the least cost. `manager/victims.rs`. */

import { type Priority, RANK } from './event.js';
import { bytesOn, isEvictable, isIdle, isReturning } from './lease.js';
import type { Manager } from './manager.js';
import { regretOf } from './models.js';
import type { Pass } from './waiting.js';

/** One that could go. */
export interface Candidate {
  readonly lease: number;
  /** Bytes that this frees on the device. */
  readonly bytes: number;
  /** The waiting of others, in ms, that it costs. */
  readonly cost: number;
}

/** Those that have to go, and the waiting of others, in ms, that it costs. */
export interface Chosen {
  readonly cost: number;
  readonly leases: number[];
}

/** All subsets of so many candidates are looked at, 256; of more, those that cost least for their size. */
const LOOKED_AT = 8;
/** What it costs to take a lease from its holder, for each step of its priority, in ms: more than unloading anything. */
const LEASE_COST = 1e9;

/** Least cost for the size first; of equals, the oldest lease. */
export function byCostPerByte(a: Candidate, b: Candidate): number {
  return a.cost / Math.max(1, a.bytes) - b.cost / Math.max(1, b.bytes) || a.lease - b.lease;
}

/** The idle instances on a device, whatever was promised about them. */
export function idleOn(manager: Manager, device: number): Candidate[] {
  const found: Candidate[] = [];
  for (const lease of manager.leases.values()) {
    if (lease.instance === undefined || !isIdle(lease.instance)) continue;
    const bytes = bytesOn(lease, device);
    if (bytes !== undefined) found.push({ lease: lease.id, bytes, cost: regretOf(manager, lease.instance.model) });
  }
  return found;
}

/** Those that may have to go from a device for a request of this priority; instances of `model` stay. Wakes the pass when one that was only just used may go. */
export function candidates(manager: Manager, device: number, priority: Priority, model: number | undefined, pass: Pass): Candidate[] {
  const found: Candidate[] = [];
  const { now, settings: { hold_ms: holdMs } } = manager;
  for (const lease of manager.leases.values()) {
    const bytes = bytesOn(lease, device);
    if (bytes === undefined) continue;
    const { instance } = lease;
    if (instance === undefined) {
      const gives = lease.preemptible && RANK[lease.priority] < RANK[priority] && !isReturning(lease);
      if (gives) found.push({ lease: lease.id, bytes, cost: LEASE_COST * (1 + RANK[lease.priority]) });
    } else if (instance.model !== model) {
      if (isEvictable(instance, now, holdMs)) found.push({ lease: lease.id, bytes, cost: regretOf(manager, instance.model) });
      else if (isIdle(instance)) pass.wakeAt(instance.last + holdMs);
    }
  }
  return found;
}

/** The cheapest of `candidates` that together free `missing` bytes; `undefined` where all of them do not. */
export function cheapest(candidates: Candidate[], missing: number): Chosen | undefined {
  if (missing === 0) return { cost: 0, leases: [] };
  let all = 0;
  for (const { bytes } of candidates) all += bytes;
  if (all < missing) return undefined;
  candidates.sort(byCostPerByte);
  const few = candidates.slice(0, LOOKED_AT);
  let best: { cost: number; bytes: number; chosen: number } | undefined;
  for (let chosen = 1; chosen < 1 << few.length; chosen++) {
    let [bytes, cost] = [0, 0];
    for (const [index, candidate] of few.entries()) {
      if (((chosen >> index) & 1) === 0) continue;
      bytes += candidate.bytes;
      cost += candidate.cost;
    }
    if (bytes < missing) continue;
    if (best === undefined || cost < best.cost || (cost === best.cost && bytes < best.bytes)) best = { cost, bytes, chosen };
  }
  if (best !== undefined) {
    const { cost, chosen } = best;
    return { cost, leases: few.filter((_, index) => ((chosen >> index) & 1) === 1).map(({ lease }) => lease) };
  }
  let [bytes, cost] = [0, 0];
  const leases: number[] = [];
  for (const candidate of candidates) {
    if (bytes >= missing) break;
    bytes += candidate.bytes;
    cost += candidate.cost;
    leases.push(candidate.lease);
  }
  return { cost, leases };
}
