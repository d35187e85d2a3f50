/** The TypeScript backend of `VisionResourceManager`: the manager among timers. `vision-resource-manager/src/service`. */

import { UniversalAiError } from '../../errors.js';
import type { Answer, DeviceUse, Grant, Held, News, Optimized, PreparedAllocation, PreparedEstimate, PreparedManager, PreparedModel, Start, VisionResourceManagerBackend } from '../../services/vision-resource-manager-backend.js';
import { PendingRequests } from '../../services/vision-resource-manager-pending.js';
import type { MemoryEstimate, Priority } from '../../services/vision-resource-manager-types.js';
import { LONGEST_TIMER_MS } from '../../timers.js';
import { FakeMachine } from './fake-machine.js';
import { type Decision, ENDLESS, type Ended } from './manager/decision.js';
import type { Event } from './manager/event.js';
import { Manager } from './manager/manager.js';
import { devicesOf, leasesOf, waitingOf } from './manager/snapshot.js';
import { Readings } from './readings.js';
import { noGpu, ofLease, ofRequest } from './refusal.js';

/** The only one who holds leases here. */
const HOLDER = 1;
/** How many ended leases are remembered, to tell their holders why. */
const REMEMBERED = 1_024;
const NEEDS_NATIVE = 'the TypeScript backend reads no GPU, since NVML is a native library: install the native package, whose addon reads it, or take driver fake';

/** @throws {UniversalAiError} `UAT_NO_GPU`: a driver that only the native backend has. */
export function openTypeScriptVisionResourceManager(prepared: PreparedManager, tell: (news: News) => void): VisionResourceManagerBackend {
  if (prepared.driver === 'nvml') throw noGpu(NEEDS_NATIVE);
  const machine = new FakeMachine(prepared.fakeGpus);
  return new TypeScriptVisionResourceManager(machine, prepared, tell);
}

export function noEstimates(): UniversalAiError {
  return new UniversalAiError('UAT_UNSUPPORTED', 'estimateModel: the TypeScript backend does not read model files; install the native package, or run `uat gpu estimate`');
}

export class TypeScriptVisionResourceManager implements VisionResourceManagerBackend {
  readonly #manager: Manager;
  readonly #machine: FakeMachine;
  readonly #tell: (news: News) => void;
  readonly #readings = new Readings(HOLDER);
  readonly #began = performance.now();
  readonly #pending = new PendingRequests();
  readonly #ended = new Map<number, Ended>();
  readonly #poll: NodeJS.Timeout;
  #noGpu: string | undefined;
  #lastRequest = 0;
  #news: News[] = [];
  #tick: { timer: NodeJS.Timeout; at: number } | undefined;
  #decisions: Decision[] = [];
  #isClosed = false;

  /** @param machine Whoever keeps it can let things happen to the GPUs. */
  constructor(machine: FakeMachine, { driver, headroom, pollMs }: Pick<PreparedManager, 'driver' | 'headroom' | 'pollMs'>, tell: (news: News) => void) {
    this.#machine = machine;
    this.#tell = tell;
    this.#manager = new Manager({ headroom });
    if (driver !== 'fake') this.#noGpu = driver === 'none' ? 'none was asked for' : NEEDS_NATIVE;
    this.read();
    this.#poll = setInterval(() => this.read(), pollMs).unref();
  }

  allocate(request: PreparedAllocation): Answer<Grant> {
    this.#checkGpu();
    const id = ++this.#lastRequest;
    const { bytes, gpus, devices, priority, durationMs, waitMs, preemptible, graceMs, owner, model } = request;
    const own = this.#apply({ event: 'request', request: id, holder: HOLDER, owner, ...(model === undefined ? {} : { model }), bytes, gpus, ...(devices === undefined ? {} : { devices }), priority, duration_ms: durationMs, wait_ms: waitMs, preemptible, grace_ms: graceMs }, id);
    if (own?.decision === 'granted') return this.#grant(own);
    return this.#answer<Grant>(id, own);
  }

  use(model: string, priority: Priority, waitMs: number): Answer<Start> {
    this.#checkGpu();
    const id = ++this.#lastRequest;
    const own = this.#apply({ event: 'use', request: id, holder: HOLDER, model, priority, wait_ms: waitMs }, id);
    if (own?.decision === 'started') return { request: id, lease: own.lease, waitedMs: own.waited_ms };
    return this.#answer<Start>(id, own);
  }

  #answer<T extends Grant | Start>(request: number, own: Decision | undefined): Answer<T> {
    if (own?.decision === 'refused') throw ofRequest(own);
    return this.#pending.wait<T>(request);
  }

  cancel(request: number): void {
    this.#apply({ event: 'cancel', request, holder: HOLDER });
  }

  renew(lease: number, durationMs: number): number {
    const own = this.#apply({ event: 'renew', lease, holder: HOLDER, duration_ms: durationMs }, undefined, lease);
    if (own?.decision !== 'renewed') throw ofLease(lease, this.#ended.get(lease));
    return own.expires_at - this.#manager.now;
  }

  release(lease: number): void {
    const own = this.#apply({ event: 'release', lease, holder: HOLDER }, undefined, lease);
    if (own?.decision !== 'released') throw ofLease(lease, this.#ended.get(lease));
  }

  uuid(device: number): string {
    return this.#readings.last[device]?.uuid ?? '';
  }

  usage(): DeviceUse[] {
    return devicesOf(this.#manager).map((device, index) => {
      const reading = this.#readings.last[index]!;
      return {
        ...device,
        index,
        uuid: reading.uuid,
        name: reading.name,
        utilization: reading.utilization ?? null,
        temperatureC: null,
        powerW: null,
        processes: reading.processes.map(({ pid, used }) => ({ pid, used: used ?? null })),
      };
    });
  }

  held(): Held[] {
    const now = this.#now();
    const leases = leasesOf(this.#manager).map(({ lease, owner, model, priority, shares, expiresAt, isInGrace }): Held => ({ number: lease, owner, model, priority, shares, leftMs: expiresAt === undefined ? Infinity : expiresAt - now, state: isInGrace ? 'grace' : 'active' }));
    const waiting = waitingOf(this.#manager).map(({ request, owner, model, priority, deadline }): Held => ({ number: request, owner, model, priority, shares: [], leftMs: deadline - now, state: 'queued' }));
    return [...leases, ...waiting];
  }

  async estimate(_path: string, _options: PreparedEstimate): Promise<MemoryEstimate> {
    throw noEstimates();
  }

  register({ name, bytes, loadMs, ...more }: PreparedModel): void {
    this.#apply({ event: 'register', holder: HOLDER, model: name, bytes, load_ms: loadMs, ...more });
  }

  done(request: number): void {
    this.#apply({ event: 'done', request, holder: HOLDER });
  }

  loaded(lease: number, tookMs: number): void {
    this.#apply({ event: 'loaded', lease, holder: HOLDER, took_ms: tookMs });
  }

  loadFailed(lease: number): void {
    this.#apply({ event: 'load_failed', lease, holder: HOLDER });
  }

  unloaded(lease: number): void {
    this.#apply({ event: 'unloaded', lease, holder: HOLDER });
    this.read();
  }

  optimize(targetFree: number | undefined, device: number | undefined): Optimized {
    const leases: number[] = [];
    this.#apply({ event: 'optimize', target_free: targetFree ?? null, device: device ?? null }, undefined, undefined, decision => {
      if (decision.decision === 'unload') leases.push(decision.lease);
    });
    return { leases, others: [] };
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#tick?.timer);
    this.#pending.close();
  }

  /** Reads the driver now, not at the next turn. */
  read(): void {
    if (this.#isClosed) return;
    this.#apply({ event: 'devices', devices: this.#readings.take(this.#machine.read()) });
  }

  #checkGpu(): void {
    if (this.#noGpu !== undefined) throw noGpu(this.#noGpu);
    // The same wherever GPUs are made up and there are none of them.
    if (this.#manager.devices.length === 0) throw noGpu(this.#readings.problem ?? 'none was asked for');
  }

  /** Ms since this manager began. */
  #now(): number {
    return Math.floor(performance.now() - this.#began);
  }

  /** Applies an event and has everybody told; gives what was decided about this very request or lease, which nobody else is told. */
  #apply(event: Event, request?: number, lease?: number, show?: (decision: Decision) => void): Decision | undefined {
    const decisions = this.#decisions;
    // Whoever is told may call again meanwhile.
    this.#decisions = [];
    this.#manager.apply(this.#now(), event, decisions);
    let own: Decision | undefined;
    for (const decision of decisions) {
      show?.(decision);
      if (request !== undefined && 'request' in decision && decision.request === request) own = decision;
      else if (lease !== undefined && (decision.decision === 'renewed' || decision.decision === 'released' || decision.decision === 'denied') && decision.lease === lease) own = decision;
      else this.#carryOut(decision);
    }
    decisions.length = 0;
    this.#decisions = decisions;
    this.#schedule();
    return own;
  }

  #carryOut(decision: Decision): void {
    switch (decision.decision) {
      case 'granted': return this.#pending.settle(decision.request)?.resolve(this.#grant(decision));
      case 'started': return this.#pending.settle(decision.request)?.resolve({ request: decision.request, lease: decision.lease, waitedMs: decision.waited_ms });
      case 'refused': return this.#pending.settle(decision.request)?.reject(ofRequest(decision));
      case 'preempt': return this.#say({ kind: 'preempt', lease: decision.lease, leftMs: decision.until - this.#manager.now, by: decision.by });
      case 'ended':
        this.#ended.set(decision.lease, decision.reason);
        if (this.#ended.size > REMEMBERED) this.#ended.delete(this.#ended.keys().next().value!);
        return this.#say({ kind: 'ended', lease: decision.lease });
      case 'load': return this.#say({ kind: 'load', lease: decision.lease, model: decision.model, share: decision.share });
      case 'unload': return this.#say({ kind: 'unload', lease: decision.lease });
      case 'overuse': return this.#say({ kind: 'overuse', device: decision.device, leased: decision.leased, used: decision.used });
      default:
    }
  }

  #grant({ lease, shares, expires_at: expiresAt, waited_ms: waitedMs }: Extract<Decision, { decision: 'granted' }>): Grant {
    return { lease, shares, leftMs: expiresAt - this.#manager.now, waitedMs };
  }


  /** Never from within a call. */
  #say(news: News): void {
    this.#news.push(news);
    if (this.#news.length > 1) return;
    queueMicrotask(() => {
      const all = this.#news;
      this.#news = [];
      for (const one of all) if (!this.#isClosed) this.#tell(one);
    });
  }

  /** A timer that is due too soon is kept: setting one for each lease would cost more than the lease. */
  #schedule(): void {
    const next = this.#manager.nextTick();
    if (next === undefined || next >= ENDLESS || this.#isClosed) return;
    if (this.#tick !== undefined) {
      if (this.#tick.at <= next) return;
      clearTimeout(this.#tick.timer);
    }
    // A later end is looked at again then.
    const wait = Math.min(Math.max(0, next - this.#now()), LONGEST_TIMER_MS);
    const timer = setTimeout(() => {
      this.#tick = undefined;
      this.#apply({ event: 'tick' });
    }, wait).unref();
    this.#tick = { timer, at: next };
  }
}
