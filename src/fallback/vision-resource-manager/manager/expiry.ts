/** What ends: leases, waiting, processes. `manager/expiry.rs`. */

import { type Decision, ENDLESS, later, MOST_MS } from './decision.js';
import type { Priority } from './event.js';
import { isReturning, whyNotBack } from './lease.js';
import type { Manager } from './manager.js';
import type { Waiting } from './waiting.js';

/** Ends whatever is due; says whether memory became free by it. */
export function expire(manager: Manager, out: Decision[]): boolean {
  const { now } = manager;
  let hasEnded = false;
  for (let first = manager.ends.first(); first !== undefined && first.expiresAt! <= now; first = manager.ends.first()) {
    manager.remove(first.id, false);
    out.push({ decision: 'ended', lease: first.id, holder: first.holder, reason: first.preemptedBy === undefined ? 'expired' : 'preempted' });
    hasEnded = true;
  }
  if (manager.waiting.length === 0) return hasEnded;
  const isOver = ({ deadline, since }: Waiting): boolean => deadline <= now && since < now;
  for (const waiting of takeOut(manager, isOver)) {
    manager.dropClaim(waiting);
    out.push({ decision: 'refused', request: waiting.request, ...manager.whyInVain(waiting.want) });
    hasEnded = true;
  }
  return hasEnded;
}

/** Takes those out of the line that something holds of. */
export function takeOut(manager: Manager, holds: (waiting: Waiting) => boolean): readonly Waiting[] {
  if (!manager.waiting.some(holds)) return [];
  const out = manager.waiting.filter(holds);
  manager.waiting = manager.waiting.filter(waiting => !holds(waiting));
  return out;
}

export function cancel(manager: Manager, request: number, holder: number, out: Decision[]): boolean {
  const place = manager.waiting.findIndex(waiting => waiting.request === request && manager.asker(waiting.want) === holder);
  const [waiting] = place < 0 ? [] : manager.waiting.splice(place, 1);
  if (waiting === undefined) return false;
  manager.dropClaim(waiting);
  out.push({ decision: 'refused', request, why: 'cancelled' });
  return true;
}

export function renew(manager: Manager, id: number, holder: number, durationMs: number, out: Decision[]): boolean {
  const lease = manager.leases.get(id);
  if (lease === undefined) {
    out.push({ decision: 'denied', lease: id, why: 'no_such_lease' });
    return false;
  }
  if (lease.holder !== holder) {
    out.push({ decision: 'denied', lease: id, why: 'not_yours' });
    return false;
  }
  if (durationMs === 0) {
    // Whoever does not want it any longer releases it; it would be over and not ended otherwise.
    out.push({ decision: 'denied', lease: id, why: 'invalid', problem: 'duration has to be above 0' });
    return false;
  }
  // Whoever was asked to give back keeps the end that it was told; an instance has none.
  const before = lease.expiresAt;
  if (before === undefined || lease.preemptedBy !== undefined) {
    out.push({ decision: 'renewed', lease: id, expires_at: before ?? ENDLESS });
    return false;
  }
  const first = lease.endsBefore;
  const most = first !== undefined && manager.waits(first.request) ? first.from : ENDLESS;
  const end = Math.min(later(manager.now, Math.min(durationMs, MOST_MS)), most);
  manager.setEnd(lease, end);
  out.push({ decision: 'renewed', lease: id, expires_at: end });
  return end < before;
}

export function release(manager: Manager, id: number, holder: number, out: Decision[]): boolean {
  const lease = manager.leases.get(id);
  if (lease === undefined) out.push({ decision: 'denied', lease: id, why: 'no_such_lease' });
  else if (lease.holder !== holder) out.push({ decision: 'denied', lease: id, why: 'not_yours' });
  else {
    const refusal = lease.instance === undefined ? undefined : whyNotBack(lease.instance);
    if (refusal === undefined) {
      manager.remove(id, true);
      out.push({ decision: 'released', lease: id });
      return true;
    }
    out.push({ decision: 'denied', lease: id, ...refusal });
  }
  return false;
}

export function holderGone(manager: Manager, holder: number, out: Decision[]): boolean {
  for (const lease of manager.leases.values()) {
    if (lease.holder !== holder) continue;
    manager.remove(lease.id, false);
    out.push({ decision: 'ended', lease: lease.id, holder, reason: 'holder_gone' });
  }
  for (const [request, lease] of manager.uses) if (!manager.leases.has(lease)) manager.uses.delete(request);
  const isTheirs = ({ want }: Waiting): boolean => manager.asker(want) === holder;
  for (const waiting of takeOut(manager, isTheirs)) {
    manager.dropClaim(waiting);
    out.push({ decision: 'refused', request: waiting.request, why: 'cancelled' });
  }
  for (const model of manager.models) if (model.of.holder === holder) model.isGone = true;
  return true;
}

/** Asks for a lease back: an idle instance is unloaded, a holder is told until when it has it. */
export function letGo(manager: Manager, id: number, by: Priority, out: Decision[]): void {
  const lease = manager.leases.get(id);
  if (lease === undefined || isReturning(lease)) return;
  if (lease.instance === undefined) {
    const until = Math.min(later(manager.now, lease.graceMs), lease.expiresAt ?? ENDLESS);
    manager.setEnd(lease, until);
    lease.preemptedBy = by;
    out.push({ decision: 'preempt', lease: id, holder: lease.holder, until, by });
  } else {
    lease.instance.state = 'unloading';
    out.push({ decision: 'unload', lease: id, holder: lease.holder });
  }
  for (const { device, bytes } of lease.shares) manager.devices[device]!.returning += bytes;
}
