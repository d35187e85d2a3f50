/** Uses of warm models: with which instance, and when another one is loaded. `manager/uses.rs`. */

import { type Decision, later, type Share } from './decision.js';
import type { Priority } from './event.js';
import { letGo } from './expiry.js';
import { bytesOn, type Lease } from './lease.js';
import type { Manager } from './manager.js';
import { expectedUse, presentOf } from './models.js';
import { besideReserved, claimIsReady, dropClaimOnWhatOthersTook, fitsNow, isBefore, type Place } from './place.js';
import { beyondQuota, makeQuota, ownerOf } from './quota.js';
import { reserve, SOON_MS } from './reserve.js';
import { candidates, cheapest, type Chosen } from './victims.js';
import type { Pass, Waiting } from './waiting.js';

/** Another instance helps somebody only who would wait for those that are there so many times as long as a load takes: estimates are not exact, and below 1 models push each other out without end. */
const WORTH_A_LOAD = 1.25;
/** What those that wait are spared has to be so many times what is regretted: behind the one that finds a model unloaded others wait, too, and what comes back pushes out what is there then. */
const REGRET_COUNTS = 2;

export function serveUse(manager: Manager, waiting: Waiting, model: number, pass: Pass, out: Decision[]): boolean {
  const lease = usable(manager, model, waiting, pass);
  if (lease !== undefined) {
    manager.dropClaim(waiting);
    start(manager, lease, waiting, out);
    return true;
  }
  if (claimIsReady(manager, waiting)) {
    const [share] = waiting.claim!.shares;
    manager.dropClaim(waiting);
    load(manager, model, waiting, share!, out);
  }
  dropClaimOnWhatOthersTook(manager, waiting);
  const ahead = pass.ahead[model]! + 1;
  pass.ahead[model] = ahead;
  if (waiting.claim !== undefined || waiting.deadline <= manager.now) return false;
  const spared = worthALoad(manager, model, ahead, pass.all[model]!);
  if (spared === undefined) return false;
  const of = manager.models[model]!;
  const owner = ownerOf(of.of);
  const beyond = beyondQuota(manager, owner, of.of.bytes);
  if (beyond > 0) {
    makeQuota(manager, owner, beyond, waiting.priority, model, spared / REGRET_COUNTS, pass, out);
    return false;
  }
  const place = placeOfLoad(manager, model, waiting.priority, pass);
  if (place === undefined) {
    if (presentOf(manager, model) === 0 && pass.reserved === undefined) {
      // Without its patience at an end it keeps nobody from anything.
      const reserved = reserve(manager, waiting, pass);
      if (reserved?.isStrict === true) pass.reserved = reserved;
    }
    return false;
  }
  if (spared <= REGRET_COUNTS * place.cost) return false;
  const share = { device: place.device, bytes: of.of.bytes };
  pass.takeOfReserved([share]);
  if (place.victims.length === 0 && fitsNow(manager, share.device, share.bytes)) {
    load(manager, model, waiting, share, out);
    return false;
  }
  for (const victim of place.victims) letGo(manager, victim, waiting.priority, out);
  manager.devices[share.device]!.claimed += share.bytes;
  manager.charge(owner, [share]);
  of.claims += 1;
  waiting.claim = { shares: [share], awaits: [...place.victims], readings: undefined, endsBefore: undefined };
  return false;
}

/** The instance to use: the one that fewest use, of those the one that was used last. */
function usable(manager: Manager, model: number, { request }: Waiting, { reserved }: Pass): Lease | undefined {
  const { of, instances } = manager.models[model]!;
  const most = of.concurrency ?? Infinity;
  const kept = reserved !== undefined && reserved.isStrict && reserved.request !== request ? reserved.awaits : [];
  let best: Lease | undefined;
  for (const id of instances) {
    const lease = manager.leases.get(id);
    const instance = lease?.instance;
    if (lease === undefined || instance === undefined || lease.lost) continue;
    if (instance.state !== 'ready' || instance.uses.length >= most || kept.includes(id)) continue;
    if (best === undefined || isRather(lease, best)) best = lease;
  }
  return best;
}

function isRather(a: Lease, b: Lease): boolean {
  const [left, right] = [a.instance!, b.instance!];
  if (left.uses.length !== right.uses.length) return left.uses.length < right.uses.length;
  return left.last !== right.last ? left.last > right.last : a.id > b.id;
}

function start(manager: Manager, { id, instance }: Lease, { request, since }: Waiting, out: Decision[]): void {
  instance!.uses.push({ request, since: manager.now });
  instance!.last = manager.now;
  manager.uses.set(request, id);
  out.push({ decision: 'started', request, lease: id, waited_ms: manager.now - since });
}

/**
 * What another instance of a model would spare those that wait for it, all together, in ms of waiting; `undefined` where it would not
 * help the one that is `ahead`-th of them, or where there are as many as may be. Without any instance it is endless.
 */
function worthALoad(manager: Manager, model: number, ahead: number, waiting: number): number | undefined {
  const { now, models, leases } = manager;
  const of = models[model]!;
  const there = presentOf(manager, model) + of.claims;
  if (there === 0) return Infinity;
  if (there >= of.of.replicas) return undefined;
  const useMs = expectedUse(of);
  const freeAt: number[] = Array.from({ length: of.claims }, () => now + of.loadMs);
  for (const id of of.instances) {
    const { instance, lost } = leases.get(id)!;
    if (instance === undefined || lost) continue;
    if (instance.state === 'loading') freeAt.push(Math.max(instance.until, now + SOON_MS));
    else if (instance.state === 'ready') for (const { since } of instance.uses) freeAt.push(Math.max(since + useMs, now + SOON_MS));
  }
  if (freeAt.length === 0) return Infinity;
  const withIt = [...freeAt, now + of.loadMs];
  const begins = Array.from({ length: waiting }, () => nextFree(freeAt, useMs));
  const own = begins[ahead - 1];
  if (own !== undefined && own - now <= WORTH_A_LOAD * of.loadMs) return undefined;
  let spared = 0;
  for (const one of begins) spared += one - nextFree(withIt, useMs);
  return spared;
}

/** When the next of those that wait begins: with the instance that is free first, which is then busy for `useMs`. */
function nextFree(freeAt: number[], useMs: number): number {
  let soonest = 0;
  for (let at = 1; at < freeAt.length; at++) if (freeAt[at]! < freeAt[soonest]!) soonest = at;
  const begins = freeAt[soonest]!;
  freeAt[soonest] = begins + useMs;
  return begins;
}

/** Where an instance would be loaded at the least cost. */
function placeOfLoad(manager: Manager, model: number, priority: Priority, pass: Pass): Place | undefined {
  const { bytes } = manager.models[model]!.of;
  let best: Place | undefined;
  for (const [device, ledger] of manager.devices.entries()) {
    if (ledger.isLost || !mayLoad(manager, device, model)) continue;
    if (besideReserved(device, bytes, undefined, pass) === 'no') continue;
    const left = ledger.roomSoon(manager.settings.headroom) - bytes;
    let chosen: Chosen | undefined = { cost: 0, leases: [] };
    if (left < 0) chosen = cheapest(candidates(manager, device, priority, model, pass), -left);
    if (chosen === undefined) continue;
    const place = { cost: chosen.cost, left, device, victims: chosen.leases, endsBefore: undefined };
    if (best === undefined || isBefore(place, best)) best = place;
  }
  return best;
}

/** Whether a device may load one more, and one of this model. */
function mayLoad({ leases, settings }: Manager, device: number, model: number): boolean {
  let loading = 0;
  let hasSame = false;
  for (const lease of leases.values()) {
    const { instance } = lease;
    if (instance === undefined || bytesOn(lease, device) === undefined) continue;
    if (instance.state === 'loading') loading += 1;
    if (instance.model === model) hasSame = true;
  }
  return loading < settings.loads_per_device && (settings.replicas_share_device || !hasSame);
}

function load(manager: Manager, model: number, { priority }: Waiting, share: Share, out: Decision[]): void {
  const { now } = manager;
  const lease = manager.nextLease();
  const { of, loadMs, instances } = manager.models[model]!;
  const { holder, model: name } = of;
  instances.push(lease);
  manager.add({
    id: lease,
    holder,
    owner: ownerOf(of),
    model: name,
    priority,
    shares: [share],
    expiresAt: undefined,
    endsBefore: undefined,
    preemptible: false,
    graceMs: 0,
    preemptedBy: undefined,
    lost: false,
    instance: { model, state: 'loading', until: later(now, Math.floor(loadMs)), uses: [], last: now },
  });
  out.push({ decision: 'load', lease, holder, model: name, share });
}
