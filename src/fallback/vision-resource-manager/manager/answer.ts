/** What requests are told at once, and why something is refused. `manager/answer.rs`. */

import { type Decision, MOST_MS, type Refusal } from './decision.js';
import { Device } from './device.js';
import type { DeviceState, LeaseRequest, Priority } from './event.js';
import type { Manager } from './manager.js';
import { findModel } from './models.js';
import { neverInQuota, ownerOf } from './quota.js';
import { expectedWait } from './reserve.js';

/** Takes what the driver says of the devices. */
export function read(manager: Manager, states: readonly DeviceState[], began: number | undefined, out: Decision[]): boolean {
  const { devices } = manager;
  while (devices.length < states.length) devices.push(new Device());
  for (const [index, device] of devices.entries()) {
    const state = states[index];
    if (state === undefined) device.isLost = true;
    else device.read(state, began);
  }
  sayWhatVanished(manager, out);
  sayWhoTakesMore(manager, out);
  for (const { claim } of manager.waiting) {
    if (claim !== undefined && claim.awaits.length === 0) claim.readings = { first: claim.readings?.first ?? manager.now, last: manager.now };
  }
  return true;
}

function sayWhatVanished({ leases, devices }: Manager, out: Decision[]): void {
  for (const lease of leases.values()) {
    const isLost = lease.shares.some(({ device }) => devices[device]!.isLost);
    if (isLost === lease.lost) continue;
    lease.lost = isLost;
    out.push({ decision: isLost ? 'lost' : 'found', lease: lease.id, holder: lease.holder });
  }
}

function sayWhoTakesMore({ devices, settings }: Manager, out: Decision[]): void {
  for (const [index, device] of devices.entries()) {
    // Nothing is said of it.
    if (device.isLost) continue;
    device.hasReports = false;
    const more: Extract<Decision, { decision: 'overuse' }>[] = [];
    for (const [holder, holding] of device.holders) {
      const used = holding.used ?? 0;
      // Up to the headroom it is what drivers and libraries take beside.
      const takesMore = holding.usesMore(settings.headroom);
      if (takesMore && !holding.isReported) more.push({ decision: 'overuse', holder, device: index, leased: holding.leased, used });
      holding.isReported = takesMore;
      if (takesMore) device.hasReports = true;
      if (holding.isEmpty()) device.holders.delete(holder);
    }
    // The core goes through them by their numbers.
    out.push(...more.sort((a, b) => a.holder - b.holder));
  }
}

export function request(manager: Manager, { duration_ms: durationMs, wait_ms: waitMs, grace_ms: graceMs, ...rest }: LeaseRequest, out: Decision[]): boolean {
  const request: LeaseRequest = {
    ...rest,
    duration_ms: Math.min(durationMs, MOST_MS),
    wait_ms: Math.min(waitMs, MOST_MS),
    ...(graceMs === undefined ? {} : { grace_ms: Math.min(graceMs, MOST_MS) }),
  };
  const refusal = refusalOf(manager, request);
  if (refusal !== undefined) {
    out.push({ decision: 'refused', request: request.request, ...refusal });
    return false;
  }
  manager.enter(request.request, request.priority ?? 'normal', request.wait_ms, { lease: request });
  return true;
}

function invalid(problem: string): Refusal {
  return { why: 'invalid', problem };
}

/** Why a request need not wait. */
function refusalOf(manager: Manager, request: LeaseRequest): Refusal | undefined {
  const { bytes, gpus, duration_ms: durationMs, devices, owner } = request;
  if (bytes === 0 || gpus === 0 || durationMs === 0) return invalid('bytes, gpus and duration have to be above 0');
  if (devices !== undefined) {
    if (devices.some(device => device >= manager.devices.length)) return invalid('a device that does not exist');
    if (devices.some((device, index) => devices.indexOf(device) < index)) return invalid('a device that is named twice');
  }
  if (isKnown(manager, request.request)) return invalid("a request's number that is in use");
  if (!manager.canEverFit(bytes, gpus, devices)) return manager.whyNot({ lease: request });
  const overuse = overuseOf(manager, request.holder);
  if (overuse !== undefined) return overuse;
  return neverInQuota(manager, owner, bytes * gpus) ?? full(manager);
}

function full({ waiting, settings }: Manager): Refusal | undefined {
  return waiting.length >= settings.max_waiting ? { why: 'queue_full', waiting: waiting.length } : undefined;
}

function isKnown(manager: Manager, request: number): boolean {
  return manager.uses.has(request) || manager.waits(request);
}

function overuseOf({ devices }: Manager, holder: number): Refusal | undefined {
  for (let device = 0; device < devices.length; device++) {
    const { hasReports, holders } = devices[device]!;
    if (!hasReports) continue;
    const holding = holders.get(holder);
    if (holding?.isReported === true) return { why: 'overuse', device, leased: holding.leased, used: holding.used ?? 0 };
  }
  return undefined;
}

/** Says of a request that came now that it waits, or that it does not want to. */
export function tellThatItWaits(manager: Manager, request: number, out: Decision[]): void {
  if (manager.waiting.length === 0) return;
  const place = manager.waiting.findIndex(waiting => waiting.request === request);
  const waiting = manager.waiting[place];
  if (waiting === undefined) return;
  if (waiting.deadline <= manager.now) {
    manager.waiting.splice(place, 1);
    manager.dropClaim(waiting);
    out.push({ decision: 'refused', request, ...manager.whyInVain(waiting.want) });
    return;
  }
  const expected = expectedWait(manager, waiting.want);
  out.push({ decision: 'queued', request, ahead: place, ...(expected === undefined ? {} : { expected_wait_ms: expected }) });
}

export function wantUse(manager: Manager, request: number, holder: number, name: string, priority: Priority, waitMs: number, out: Decision[]): boolean {
  const model = findModel(manager, holder, name);
  const refusal = refusalOfUse(manager, request, model);
  if (refusal !== undefined) {
    out.push({ decision: 'refused', request, ...refusal });
    return false;
  }
  manager.models[model]!.demand.asked(manager.now);
  manager.enter(request, priority, Math.min(waitMs, MOST_MS), { model });
  return true;
}

function refusalOfUse(manager: Manager, request: number, model: number): Refusal | undefined {
  const of = manager.models[model]?.of;
  if (of === undefined) return invalid('a model that is not registered');
  if (isKnown(manager, request)) return invalid("a request's number that is in use");
  if (!manager.canEverFit(of.bytes, 1, undefined)) return manager.whyNot({ model });
  return neverInQuota(manager, ownerOf(of), of.bytes) ?? full(manager);
}
