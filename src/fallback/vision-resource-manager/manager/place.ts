/** Leases: on which devices, and who has to go for them. `manager/place.rs`. */

import { type Decision, later, type Share } from './decision.js';
import type { LeaseRequest } from './event.js';
import { letGo } from './expiry.js';
import type { EndsBefore } from './lease.js';
import type { Manager } from './manager.js';
import { beyondQuota, makeQuota } from './quota.js';
import { reserve } from './reserve.js';
import { candidates, cheapest } from './victims.js';
import { type Pass, spareOn, type Waiting } from './waiting.js';

/** A claim is looked over again when the driver has said for so many ms that its memory is not there: others took it. */
const READINGS_MS = 100;

/** A device that would do. */
export interface Place {
  /** The waiting of others, in ms, that it costs. */
  readonly cost: number;
  /** Bytes that are left there beside. */
  readonly left: number;
  readonly device: number;
  readonly victims: readonly number[];
  readonly endsBefore: EndsBefore | undefined;
}

const NOBODY: readonly number[] = [];

/** Least cost first, of those where nobody has to go, and then the tightest fit: what is left over is then of most use to others. */
export function isBefore(a: Place, b: Place): boolean {
  if (a.cost !== b.cost) return a.cost < b.cost;
  if ((a.victims.length === 0) !== (b.victims.length === 0)) return a.victims.length === 0;
  return a.left !== b.left ? a.left < b.left : a.device < b.device;
}

export function serveLease(manager: Manager, waiting: Waiting, request: LeaseRequest, pass: Pass, out: Decision[]): boolean {
  const promised = waiting.claim?.endsBefore;
  const endsBefore = promised !== undefined && manager.waits(promised.request) ? promised : undefined;
  // What it was to be given beside is needed now.
  if (endsBefore !== undefined && endsBefore.from <= manager.now) manager.dropClaim(waiting);
  if (claimIsReady(manager, waiting)) {
    const { shares } = waiting.claim!;
    manager.dropClaim(waiting);
    grant(manager, waiting, request, shares, endsBefore, out);
    return true;
  }
  dropClaimOnWhatOthersTook(manager, waiting);
  if (waiting.claim !== undefined) return false;
  const beyond = beyondQuota(manager, request.owner, request.bytes * request.gpus);
  if (beyond > 0) {
    if (waiting.deadline > manager.now) makeQuota(manager, request.owner, beyond, waiting.priority, undefined, Infinity, pass, out);
    return false;
  }
  const places = placesOf(manager, request, pass);
  if (places === undefined) {
    pass.reserved ??= reserve(manager, waiting, pass);
    return false;
  }
  const shares: Share[] = [];
  let isThere = true;
  for (const { device, victims } of places) {
    shares.push({ device, bytes: request.bytes });
    if (victims.length > 0 || !fitsNow(manager, device, request.bytes)) isThere = false;
  }
  pass.takeOfReserved(shares);
  if (isThere) {
    grant(manager, waiting, request, shares, soonest(places), out);
    return true;
  }
  if (waiting.deadline <= manager.now) return false;
  const awaits = places.flatMap(({ victims }) => victims);
  for (const victim of awaits) letGo(manager, victim, waiting.priority, out);
  for (const { device, bytes } of shares) manager.devices[device]!.claimed += bytes;
  manager.charge(request.owner, shares);
  waiting.claim = { shares, awaits, readings: undefined, endsBefore: soonest(places) };
  return false;
}

function soonest(places: readonly Place[]): EndsBefore | undefined {
  let first: EndsBefore | undefined;
  for (const { endsBefore } of places) {
    if (endsBefore !== undefined && (first === undefined || endsBefore.from < first.from)) first = endsBefore;
  }
  return first;
}

/** Whether all that was promised is there. */
export function claimIsReady({ devices, settings: { headroom } }: Manager, { claim }: Waiting): boolean {
  return claim !== undefined && claim.awaits.length === 0 && claim.shares.every(({ device, bytes }) => devices[device]!.free(headroom) >= bytes);
}

export function dropClaimOnWhatOthersTook(manager: Manager, waiting: Waiting): void {
  const readings = waiting.claim?.readings;
  if (readings !== undefined && readings.last - readings.first >= READINGS_MS) manager.dropClaim(waiting);
}

export function fitsNow({ devices, settings: { headroom } }: Manager, device: number, bytes: number): boolean {
  return devices[device]!.roomNow(headroom) >= bytes;
}

/** Where all of a request fits, at the least cost. */
function placesOf(manager: Manager, request: LeaseRequest, pass: Pass): Place[] | undefined {
  const end = later(manager.now, request.duration_ms);
  const { devices, priority = 'normal', bytes, gpus } = request;
  const best: Place[] = [];
  let full: Place[] | undefined;
  let found = 0;
  for (let device = 0; device < manager.devices.length; device++) {
    const ledger = manager.devices[device]!;
    if (ledger.isLost || (devices !== undefined && devices.length > 0 && !devices.includes(device))) continue;
    const beside = besideReserved(device, bytes, end, pass);
    if (beside === 'no') continue;
    const left = ledger.roomSoon(manager.settings.headroom) - bytes;
    // The devices come in their order, so that of equals the first is kept.
    const isNeeded = left < 0 || best.length < gpus || left < best[gpus - 1]!.left;
    if (left >= 0) found += 1;
    if (!isNeeded) continue;
    const place = { cost: 0, left, device, victims: NOBODY, endsBefore: beside === 'yes' ? undefined : beside };
    if (left >= 0) keep(best, place, gpus);
    else (full ??= []).push(place);
  }
  if (found >= gpus || full === undefined) return found < gpus ? undefined : best;
  // Nobody is looked for that would have to go where there is room without.
  for (const place of full) {
    const chosen = cheapest(candidates(manager, place.device, priority, undefined, pass), -place.left);
    if (chosen === undefined) continue;
    found += 1;
    keep(best, { ...place, cost: chosen.cost, victims: chosen.leases }, gpus);
  }
  return found < gpus ? undefined : best;
}

/** Keeps the first `most` places in order. */
function keep(best: Place[], place: Place, most: number): void {
  let at = best.length;
  while (at > 0 && isBefore(place, best[at - 1]!)) at -= 1;
  if (at === best.length) {
    if (at < most) best.push(place);
    return;
  }
  best.splice(at, 0, place);
  if (best.length > most) best.pop();
}

/** Whether memory of a device may be given to somebody that is not the first in line: where it is beside what the first will need, or until the first needs it. */
export function besideReserved(device: number, bytes: number, end: number | undefined, { reserved }: Pass): 'yes' | 'no' | EndsBefore {
  if (reserved === undefined || !(reserved.isForLease || reserved.isStrict)) return 'yes';
  const spare = spareOn(reserved, device);
  if (spare === undefined || spare >= bytes) return 'yes';
  const { request, from } = reserved;
  return from === undefined || end === undefined || end > from ? 'no' : { request, from };
}

function grant(manager: Manager, waiting: Waiting, request: LeaseRequest, shares: readonly Share[], endsBefore: EndsBefore | undefined, out: Decision[]): void {
  const lease = manager.nextLease();
  const end = later(manager.now, request.duration_ms);
  const expiresAt = endsBefore === undefined ? end : Math.min(end, endsBefore.from);
  manager.add({
    id: lease,
    holder: request.holder,
    owner: request.owner,
    model: request.model,
    priority: waiting.priority,
    shares,
    expiresAt,
    endsBefore,
    preemptible: request.preemptible ?? false,
    graceMs: request.grace_ms ?? 0,
    preemptedBy: undefined,
    lost: false,
    instance: undefined,
  });
  out.push({ decision: 'granted', request: waiting.request, lease, shares, expires_at: expiresAt, waited_ms: manager.now - waiting.since });
}
