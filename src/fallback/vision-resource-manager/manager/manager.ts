/**
 * Who has how much memory of which device, and who waits for some: the decisions of the Rust core, file by file and decision
 * by decision. `manager/mod.rs`. Both repeat `test/contract/traces/gpu-*.jsonl`.
 */

import { read, request, tellThatItWaits, wantUse } from './answer.js';
import { type Decision, later, type Refusal, type Share } from './decision.js';
import type { Device } from './device.js';
import { type Event, type Priority, RANK } from './event.js';
import { cancel, expire, holderGone, release, renew } from './expiry.js';
import { Ends, isReturning, type Lease } from './lease.js';
import { done, loaded, loadFailed, type Model, optimize, register, unloaded, unregister } from './models.js';
import { serveLease } from './place.js';
import { beyondQuota, ownerOf, sum } from './quota.js';
import { expectedWait } from './reserve.js';
import { DEFAULTS, type Settings } from './settings.js';
import { serveUse } from './uses.js';
import { Pass, type Waiting, type Want } from './waiting.js';

/** What a want comes to. */
export interface Wanted {
  readonly bytes: number;
  readonly gpus: number;
  readonly devices: readonly number[] | undefined;
}

/** `apply` takes an event and says what it leads to; nothing else changes the state, and nothing is read but what the events say. The rest is for the files beside this one. */
export class Manager {
  readonly settings: Settings;
  readonly quotas: ReadonlyMap<string, number>;
  now = 0;
  readonly devices: Device[] = [];
  /** By number, which is the order in which they came. */
  readonly leases = new Map<number, Lease>();
  readonly ends = new Ends();
  /** First in line first. */
  waiting: Waiting[] = [];
  readonly models: Model[] = [];
  /** Uses that have begun: with which instance. */
  readonly uses = new Map<number, number>();
  /** What owners have leased and were promised, where they have a quota. */
  readonly #byOwner = new Map<string, number>();
  #lastLease: number;
  #arrivals = 0;
  /** When something may change without an event, found by the last look at the line. */
  #wake: number | undefined;
  /** The line of the last look, emptied, so that a look where nobody waits makes none. */
  #emptied: Waiting[] = [];

  /** @param last Leases get numbers above it: what the manager before this one may have given out. */
  constructor(settings: Partial<Settings> = {}, last = 0) {
    this.settings = { ...DEFAULTS, ...settings };
    this.quotas = new Map(Object.entries(this.settings.quotas));
    this.#lastLease = last;
  }

  /** Takes an event at `now` (ms on any clock that does not go back; where it does, it stands still) and adds what that leads to to `out`. */
  apply(now: number, event: Event, out: Decision[]): void {
    if (now > this.now) this.now = now;
    const hasEnded = expire(this, out);
    const hasChanged = this.#take(event, out);
    if (hasChanged || hasEnded || (this.#wake !== undefined && this.#wake <= this.now)) this.#look(out);
    if (hasChanged && (event.event === 'request' || event.event === 'use')) tellThatItWaits(this, event.request, out);
  }

  /** When something happens although no event comes, in ms of the same clock: the next tick is due then. */
  nextTick(): number | undefined {
    let next = Math.min(this.ends.first()?.expiresAt ?? Infinity, this.#wake ?? Infinity);
    for (const { deadline } of this.waiting) next = Math.min(next, deadline);
    return next === Infinity ? undefined : next;
  }

  /** The number of the newest lease: whoever continues has to begin above it. */
  get lastLease(): number {
    return this.#lastLease;
  }

  /** Carries out an event; says whether somebody that waits may be served now. */
  #take(event: Event, out: Decision[]): boolean {
    switch (event.event) {
      case 'devices': return read(this, event.devices, event.began_at, out);
      case 'request': return request(this, event, out);
      case 'cancel': return cancel(this, event.request, event.holder, out);
      case 'renew': return renew(this, event.lease, event.holder, event.duration_ms, out);
      case 'release': return release(this, event.lease, event.holder, out);
      case 'holder_gone': return holderGone(this, event.holder, out);
      case 'register': return register(this, event, out);
      case 'unregister': return unregister(this, event.holder, event.model, out);
      case 'use': return wantUse(this, event.request, event.holder, event.model, event.priority ?? 'normal', event.wait_ms, out);
      case 'done': return done(this, event.request, event.holder);
      case 'loaded': return loaded(this, event.lease, event.holder, event.took_ms, out);
      case 'load_failed': return loadFailed(this, event.lease, event.holder, out);
      case 'unloaded': return unloaded(this, event.lease, event.holder, out);
      case 'optimize': return optimize(this, event.target_free, event.device, out);
      case 'tick': return false;
    }
  }

  /** Looks who of those that wait can be served, first in line first. */
  #look(out: Decision[]): void {
    this.#wake = undefined;
    if (this.waiting.length === 0) return;
    const pass = new Pass(this.models.length, this.waiting);
    const line = this.waiting;
    this.waiting = this.#emptied;
    for (const waiting of line) {
      if (this.#serve(waiting, pass, out)) for (const before of this.waiting) before.overtaken += 1;
      else this.waiting.push(waiting);
    }
    while (line.length > 0) line.pop();
    this.#emptied = line;
    this.#wake = pass.wake;
  }

  /** Serves one, if it can be served now. */
  #serve(waiting: Waiting, pass: Pass, out: Decision[]): boolean {
    const { lease, model } = waiting.want;
    return lease === undefined ? serveUse(this, waiting, model, pass, out) : serveLease(this, waiting, lease, pass, out);
  }

  /** Puts somebody in line. */
  enter(request: number, priority: Priority, waitMs: number, want: Want): void {
    const { now } = this;
    this.#arrivals += 1;
    const order = now - RANK[priority] * this.settings.aging_ms;
    const patientUntil = later(now, Math.floor(waitMs / 2));
    const entry: Waiting = { request, priority, order, arrival: this.#arrivals, since: now, deadline: later(now, waitMs), patientUntil, overtaken: 0, want, claim: undefined };
    // It comes after all that are as early.
    let place = this.waiting.length;
    while (place > 0 && this.waiting[place - 1]!.order > order) place -= 1;
    if (place === this.waiting.length) this.waiting.push(entry);
    else this.waiting.splice(place, 0, entry);
  }

  waits(request: number): boolean {
    for (const waiting of this.waiting) if (waiting.request === request) return true;
    return false;
  }

  nextLease(): number {
    this.#lastLease += 1;
    return this.#lastLease;
  }

  chargedTo(owner: string): number {
    return this.#byOwner.get(owner) ?? 0;
  }

  /** An owner has so much more, or was promised it. */
  charge(owner: string, shares: readonly Share[]): void {
    if (this.quotas.has(owner)) this.#byOwner.set(owner, this.chargedTo(owner) + sum(shares));
  }

  /** It has so much less. */
  #discharge(owner: string, shares: readonly Share[]): void {
    if (this.quotas.has(owner)) this.#byOwner.set(owner, Math.max(0, this.chargedTo(owner) - sum(shares)));
  }

  /** Adds a lease to the ledgers. */
  add(lease: Lease): void {
    for (const share of lease.shares) this.devices[share.device]!.lease(lease.holder, share.bytes);
    this.charge(lease.owner, lease.shares);
    if (lease.expiresAt !== undefined) this.ends.add(lease);
    this.leases.set(lease.id, lease);
  }

  /** Takes a lease out of the ledgers; those that wait for its memory wait for what the driver says of it only. Where it was not returned by its holder, its memory is not given out before the driver was asked again. */
  remove(id: number, isReturned: boolean): Lease | undefined {
    const lease = this.leases.get(id);
    if (lease === undefined) return undefined;
    this.leases.delete(id);
    const returns = isReturning(lease);
    for (const share of lease.shares) {
      const device = this.devices[share.device]!;
      device.giveBack(lease.holder, share.bytes, this.now, isReturned);
      if (returns) device.returning -= share.bytes;
    }
    this.#discharge(lease.owner, lease.shares);
    if (lease.expiresAt !== undefined) this.ends.remove(lease);
    if (lease.instance !== undefined) {
      const model = this.models[lease.instance.model]!;
      model.instances = model.instances.filter(other => other !== id);
    }
    for (const { claim } of this.waiting) {
      if (claim?.awaits.includes(id) === true) claim.awaits = claim.awaits.filter(other => other !== id);
    }
    return lease;
  }

  /** A lease ends then. */
  setEnd(lease: Lease, end: number): void {
    this.ends.remove(lease);
    lease.expiresAt = end;
    this.ends.add(lease);
  }

  /** Takes back what was promised to somebody. */
  dropClaim(waiting: Waiting): void {
    const { claim, want: { model } } = waiting;
    if (claim === undefined) return;
    waiting.claim = undefined;
    this.#discharge(this.ownerOf(waiting.want), claim.shares);
    for (const { device, bytes } of claim.shares) this.devices[device]!.claimed -= bytes;
    if (model !== undefined) this.models[model]!.claims -= 1;
  }

  /** The devices that a request names; all where it names none. */
  allowed(named: readonly number[] | undefined): number[] {
    const all = [...this.devices.keys()];
    return named === undefined || named.length === 0 ? all : all.filter(device => named.includes(device));
  }

  /** Whether it would fit if nothing else were there. */
  canEverFit(bytes: number, gpus: number, named: readonly number[] | undefined): boolean {
    let fitting = 0;
    for (let device = 0; device < this.devices.length; device++) {
      if (named !== undefined && named.length > 0 && !named.includes(device)) continue;
      if (Math.max(0, this.devices[device]!.total - this.settings.headroom) >= bytes) fitting += 1;
    }
    return fitting >= gpus;
  }

  /** Who waits for something: whoever asked, or has the model. */
  asker({ lease, model }: Want): number {
    return (lease ?? this.models[model]!.of).holder;
  }

  /** On whose account something is wanted. */
  ownerOf({ lease, model }: Want): string {
    return lease === undefined ? ownerOf(this.models[model]!.of) : lease.owner;
  }

  wanted({ lease, model }: Want): Wanted {
    return lease === undefined ? { bytes: this.models[model]!.of.bytes, gpus: 1, devices: undefined } : { bytes: lease.bytes, gpus: lease.gpus, devices: lease.devices };
  }

  /** Why somebody waited for nothing, whose promises are dropped. */
  whyInVain(want: Want): Refusal {
    const { bytes, gpus } = this.wanted(want);
    const owner = this.ownerOf(want);
    const quota = this.quotas.get(owner);
    if (quota === undefined || beyondQuota(this, owner, bytes * gpus) === 0) return this.whyNot(want);
    return { why: 'quota', quota, leased: this.chargedTo(owner) };
  }

  /** What is in the way. */
  whyNot(want: Want): Refusal {
    const { bytes, gpus, devices } = this.wanted(want);
    let most: number | undefined;
    let [largest, leased, external, lost] = [0, 0, 0, 0];
    for (const index of this.allowed(devices)) {
      const device = this.devices[index]!;
      const free = device.free(this.settings.headroom);
      if (most === undefined || free > largest) [most, largest] = [index, free];
      leased += device.leased;
      external += device.external();
      if (device.isLost) lost += 1;
    }
    const canEverFit = this.canEverFit(bytes, gpus, devices);
    const expected = canEverFit ? expectedWait(this, want) : undefined;
    return { why: 'insufficient', asked: bytes, largest_free: largest, ...(most === undefined ? {} : { device: most }), leased, external, ...(lost === 0 ? {} : { lost }), can_ever_fit: canEverFit, ...(expected === undefined ? {} : { expected_wait_ms: expected }) };
  }
}
