/** The warm models: which there are, and what becomes of their instances. `manager/models.rs`. */

import { type Decision, MOST_MS } from './decision.js';
import type { WarmModel } from './event.js';
import { letGo, takeOut } from './expiry.js';
import { type Instance, whyNotBack } from './lease.js';
import type { Manager } from './manager.js';
import { ownerOf } from './quota.js';
import { byCostPerByte, type Candidate, idleOn } from './victims.js';
import { Demand, regret } from './worth.js';

/** A model that was registered. */
export interface Model {
  of: WarmModel;
  readonly demand: Demand;
  /** What a load takes, in ms, as it was measured. */
  loadMs: number;
  /** What a use takes, in ms, as it was measured. */
  useMs: number | undefined;
  instances: number[];
  /** Instances that will be loaded when their memory is there. */
  claims: number;
  /** Its process is gone, or has it no longer. Another takes its place when its last instance is unloaded. */
  isGone: boolean;
}

/** What the newest measurement counts beside all before it. */
const NEWEST = 0.1;

/** How long a use will take, in ms. As long as none was measured: as long as a load, so that neither seems cheap. */
export function expectedUse({ useMs, loadMs }: Model): number {
  return useMs ?? loadMs;
}

export function register(manager: Manager, { load_ms: loadMs, ...rest }: WarmModel, out: Decision[]): boolean {
  const model: WarmModel = { ...rest, load_ms: Math.min(loadMs, MOST_MS) };
  const { models } = manager;
  const known = models[findModel(manager, model.holder, model.model)];
  const problem = whyNotRegistered(known, model);
  if (problem !== undefined) {
    out.push({ decision: 'model_denied', holder: model.holder, model: model.model, why: 'invalid', problem });
    return false;
  }
  if (known !== undefined && known.of.load_ms !== model.load_ms) known.loadMs = model.load_ms;
  if (known === undefined) put(manager, { of: model, demand: new Demand(), loadMs: model.load_ms, useMs: undefined, instances: [], claims: 0, isGone: false });
  else known.of = model;
  return true;
}

function whyNotRegistered(known: Model | undefined, model: WarmModel): string | undefined {
  if (model.bytes === 0 || model.replicas === 0 || model.concurrency === 0) return 'bytes, replicas and concurrency have to be above 0';
  if (known === undefined || (known.instances.length === 0 && known.claims === 0)) return undefined;
  const differs = known.of.bytes !== model.bytes || ownerOf(known.of) !== ownerOf(model);
  return differs ? 'the model is in memory, or on its way there: its bytes and its owner are what they are until it is unloaded' : undefined;
}

/** Puts a model where one was that is gone, or behind all others. */
function put({ models, waiting }: Manager, model: Model): void {
  const isFree = ({ isGone, instances }: Model, place: number): boolean => isGone && instances.length === 0 && !waiting.some(({ want }) => want.model === place);
  const place = models.findIndex(isFree);
  if (place < 0) models.push(model);
  else models[place] = model;
}

export function unregister(manager: Manager, holder: number, name: string, out: Decision[]): boolean {
  const { models, leases } = manager;
  const place = findModel(manager, holder, name);
  const model = models[place];
  if (model === undefined) {
    out.push({ decision: 'model_denied', holder, model: name, why: 'invalid', problem: 'a model that is not registered' });
    return false;
  }
  const isBusy = (id: number): boolean => {
    const instance = leases.get(id)?.instance;
    return instance !== undefined && whyNotBack(instance) !== undefined;
  };
  if (model.instances.some(isBusy)) {
    out.push({ decision: 'model_denied', holder, model: name, why: 'invalid', problem: 'the model is in use, or being loaded' });
    return false;
  }
  model.isGone = true;
  for (const waiting of takeOut(manager, ({ want }) => want.model === place)) {
    manager.dropClaim(waiting);
    out.push({ decision: 'refused', request: waiting.request, why: 'invalid', problem: 'the model is registered no longer' });
  }
  for (const instance of model.instances) letGo(manager, instance, 'low', out);
  return true;
}

/** A model's place in the list; -1 where there is none. */
export function findModel({ models }: Manager, holder: number, name: string): number {
  return models.findIndex(({ of, isGone }) => !isGone && of.holder === holder && of.model === name);
}

/** The instance that a holder speaks of, where it has one; whoever speaks of another's is told so. */
function ownInstance({ leases }: Manager, lease: number, holder: number, out: Decision[]): Instance | undefined {
  const of = leases.get(lease);
  if (of === undefined || of.holder === holder) return of?.instance;
  out.push({ decision: 'denied', lease, why: 'not_yours' });
  return undefined;
}

export function loaded(manager: Manager, lease: number, holder: number, tookMs: number, out: Decision[]): boolean {
  const instance = ownInstance(manager, lease, holder, out);
  if (instance?.state !== 'loading') return false;
  instance.state = 'ready';
  instance.last = manager.now;
  const model = manager.models[instance.model]!;
  model.loadMs += NEWEST * (Math.min(tookMs, MOST_MS) - model.loadMs);
  return true;
}

export function loadFailed(manager: Manager, lease: number, holder: number, out: Decision[]): boolean {
  const instance = ownInstance(manager, lease, holder, out);
  if (instance?.state !== 'loading') return false;
  manager.remove(lease, true);
  out.push({ decision: 'ended', lease, holder, reason: 'load_failed' });
  // One of those that wait is told, or a model that cannot be loaded would be tried without end.
  const place = manager.waiting.findIndex(({ want }) => want.model === instance.model);
  const [waiting] = place < 0 ? [] : manager.waiting.splice(place, 1);
  if (waiting !== undefined) {
    manager.dropClaim(waiting);
    out.push({ decision: 'refused', request: waiting.request, why: 'load_failed' });
  }
  return true;
}

export function unloaded(manager: Manager, lease: number, holder: number, out: Decision[]): boolean {
  const instance = ownInstance(manager, lease, holder, out);
  if (instance === undefined) return false;
  const refusal = whyNotBack(instance);
  if (refusal === undefined) return manager.remove(lease, true) !== undefined;
  out.push({ decision: 'denied', lease, ...refusal });
  return false;
}

export function done(manager: Manager, request: number, holder: number): boolean {
  const lease = manager.uses.get(request);
  if (lease === undefined || manager.leases.get(lease)?.holder !== holder) return false;
  manager.uses.delete(request);
  const instance = manager.leases.get(lease)?.instance;
  const place = instance?.uses.findIndex(use => use.request === request) ?? -1;
  if (instance === undefined || place < 0) return false;
  const [use] = instance.uses.splice(place, 1);
  instance.last = manager.now;
  const model = manager.models[instance.model]!;
  const took = Math.max(0, manager.now - use!.since);
  model.useMs = model.useMs === undefined ? took : model.useMs + NEWEST * (took - model.useMs);
  return true;
}

/** The waiting, in ms, that unloading an instance of a model costs others, as far as can be seen. */
export function regretOf(manager: Manager, model: number): number {
  const { demand, loadMs } = manager.models[model]!;
  return regret(demand.rate(manager.now), presentOf(manager, model), loadMs);
}

/** The instances of a model that are there: not on a device that has vanished. */
export function presentOf({ models, leases }: Manager, model: number): number {
  let there = 0;
  for (const id of models[model]!.instances) if (leases.get(id)?.lost === false) there += 1;
  return there;
}

/** Unloads idle instances, those of least worth for their size first. */
export function optimize(manager: Manager, targetFree: number | null, only: number | null, out: Decision[]): boolean {
  for (const [device, ledger] of manager.devices.entries()) {
    if (only !== null && only !== device) continue;
    const goes = ({ lease, bytes }: Candidate): boolean =>
      targetFree === null
        // The share of time that loading it again would take, beside the share of the device that it blocks.
        ? reloadShare(manager, lease) < bytes / Math.max(1, ledger.total)
        : ledger.roomSoon(manager.settings.headroom) < targetFree;
    for (const candidate of idleOn(manager, device).sort(byCostPerByte)) {
      if (goes(candidate)) letGo(manager, candidate.lease, 'low', out);
    }
  }
  return true;
}

function reloadShare({ now, leases, models }: Manager, lease: number): number {
  const instance = leases.get(lease)?.instance;
  if (instance === undefined) return 0;
  const { demand, loadMs } = models[instance.model]!;
  return demand.rate(now) * loadMs;
}
