/** The backend of `VisionResourceManager` where a daemon gives memory out to all processes of a user: the same one with the addon and without. */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { UniversalAiError } from '../errors.js';
import { ofLease } from '../fallback/vision-resource-manager/refusal.js';
import type { DeviceUse, Grant, Held, News, Optimized, PreparedAllocation, PreparedEstimate, PreparedModel, Start, VisionResourceManagerBackend, Waiting } from '../services/vision-resource-manager-backend.js';
import type { MemoryEstimate, Priority } from '../services/vision-resource-manager-types.js';
import { ANSWER_MS, Connection, isAway } from './connection.js';
import { Link } from './link.js';
import { HostModels } from './models.js';
import type { WireGpus, WireLease, WireLeases, WireNotice, WireOptimized, WireUse } from './wire.js';

/** A request that was taken back before the daemon had it is taken back again so soon. */
const AGAIN_MS = 5;
/** So long is waited for models that make room: an unload takes seconds at most. */
const UNLOAD_MS = 30_000;

/** A request that is under way. */
interface Asking {
  readonly hangUp: AbortController;
  isCancelled: boolean;
  isSent: boolean;
}

/** Opens nothing: the daemon is met by the first call. */
export function openHostVisionResourceManager(socket: string, tell: (news: News) => void, estimate: (path: string, options: PreparedEstimate) => Promise<MemoryEstimate>): VisionResourceManagerBackend {
  return new HostVisionResourceManager(socket, tell, estimate);
}

class HostVisionResourceManager implements VisionResourceManagerBackend {
  readonly #connection: Connection;
  readonly #link: Link;
  readonly #tell: (news: News) => void;
  readonly estimate: (path: string, options: PreparedEstimate) => Promise<MemoryEstimate>;
  readonly #asking = new Map<number, Asking>();
  readonly #leases = new Set<number>();
  readonly #models: HostModels;
  readonly #uuids: string[] = [];
  #lastRequest = 0;
  #isClosed = false;

  constructor(socket: string, tell: (news: News) => void, estimate: (path: string, options: PreparedEstimate) => Promise<MemoryEstimate>) {
    [this.#tell, this.estimate] = [tell, estimate];
    this.#connection = new Connection(socket, `node-${randomUUID()}`);
    this.#link = new Link(this.#connection, {
      held: () => ({ leases: [...this.#leases], instances: this.#models.held() }),
      asks: () => this.#asking.size > 0,
      hear: notice => this.#hear(notice),
      away: () => this.#away(),
      gone: lease => {
        this.#leases.delete(lease);
        this.#models.gone(lease);
        tell({ kind: 'gone', lease });
      },
    });
    this.#models = new HostModels(this.#connection, this.#link);
  }

  allocate(wanted: PreparedAllocation): Waiting<Grant> {
    return this.#ask((request, asking) => this.#allocate(request, asking, wanted));
  }

  /** A request that can be taken back. */
  #ask<T>(answer: (request: number, asking: Asking) => Promise<T>): Waiting<T> {
    const request = ++this.#lastRequest;
    const asking: Asking = { hangUp: new AbortController(), isCancelled: false, isSent: false };
    this.#asking.set(request, asking);
    return { request, answer: answer(request, asking).finally(() => this.#asking.delete(request)) };
  }

  /** As long as the request is wanted: sends it to the daemon, and says what came of it. */
  async #sent<T>(asking: Asking, prepare: () => Promise<unknown> | undefined, send: () => Promise<T>): Promise<T> {
    try {
      await this.#link.ready();
      await prepare();
      if (asking.isCancelled) throw cancelled();
      if (this.#isClosed) throw closed();
      asking.isSent = true;
      return await send();
    } catch (error) {
      if (this.#isClosed) throw closed();
      // Whoever does not want it any longer need not know that the daemon went meanwhile.
      throw asking.isCancelled && isAway(error) ? cancelled() : error;
    }
  }

  async #allocate(request: number, asking: Asking, { bytes, gpus, devices, priority, durationMs, waitMs, preemptible, graceMs, owner, model }: PreparedAllocation): Promise<Grant> {
    const body = {
      request, bytes, gpus, ...(devices === undefined ? {} : { devices }), priority, duration_ms: durationMs, wait_ms: waitMs, preemptible, grace_ms: graceMs, owner,
      ...(model === undefined ? {} : { model }),
    };
    return await this.#sent(asking, () => undefined, async () => {
      const { lease, gpus: given, expires_in_ms: leftMs, waited_ms: waitedMs } = await this.#connection.call<WireLease>('POST', '/v1/leases', body, { timeoutMs: waitMs + ANSWER_MS, signal: asking.hangUp.signal });
      for (const { index, uuid } of given) this.#uuids[index] = uuid ?? '';
      this.#leases.add(lease);
      return { lease, shares: given.map(({ index, bytes }) => ({ device: index, bytes })), leftMs, waitedMs };
    });
  }

  cancel(request: number): void {
    const asking = this.#asking.get(request);
    if (asking === undefined || asking.isCancelled) return;
    asking.isCancelled = true;
    if (asking.isSent) void this.#takeBack(request, asking);
  }

  /** By its number and not by hanging up, so that its answer says whether it was served before. */
  async #takeBack(request: number, asking: Asking): Promise<void> {
    while (this.#asking.has(request)) {
      try {
        await this.#connection.call('DELETE', `/v1/requests/${request}`);
        return;
      } catch (error) {
        // It was answered just now, or this overtook it on another connection.
        if (!(error instanceof UniversalAiError && error.code === 'UAT_NOT_FOUND')) return asking.hangUp.abort();
      }
      await sleep(AGAIN_MS);
    }
  }

  async renew(lease: number, durationMs: number): Promise<number> {
    const { expires_in_ms: leftMs } = await this.#ofLease(lease, () => this.#connection.call<{ expires_in_ms: number }>('POST', `/v1/leases/${lease}/renew`, { duration_ms: durationMs }));
    return leftMs;
  }

  /** Where the daemon is away it is told when it is back that this lease is not held any longer, so that nobody has to wait for that here. */
  async release(lease: number): Promise<void> {
    // Whatever comes of it, it is not held here any longer.
    this.#leases.delete(lease);
    try {
      await this.#ofLease(lease, () => this.#connection.call('DELETE', `/v1/leases/${lease}`));
    } catch (error) {
      if (!isAway(error)) throw error;
    }
  }

  async #ofLease<T>(lease: number, call: () => Promise<T>): Promise<T> {
    try {
      await this.#link.ready();
      return await call();
    } catch (error) {
      const code = error instanceof UniversalAiError ? error.code : undefined;
      if (code !== 'UAT_LEASE_EXPIRED' && code !== 'UAT_PREEMPTED') throw error;
      this.#leases.delete(lease);
      throw ofLease(lease, code === 'UAT_PREEMPTED' ? 'preempted' : undefined);
    }
  }

  uuid(device: number): string {
    return this.#uuids[device] ?? '';
  }

  async usage(): Promise<DeviceUse[]> {
    await this.#link.ready();
    const { gpus } = await this.#connection.call<WireGpus>('GET', '/v1/gpus');
    return gpus.map(gpu => ({
      index: gpu.index,
      uuid: gpu.uuid ?? '',
      name: gpu.name ?? '',
      total: gpu.total_bytes,
      used: gpu.used_bytes,
      leased: gpu.leased_bytes,
      external: gpu.external_bytes,
      free: gpu.free_bytes,
      isLost: gpu.closed !== null,
      utilization: gpu.utilization,
      temperatureC: gpu.temperature_c,
      powerW: gpu.power_w,
      processes: gpu.processes.map(({ pid, used_bytes: used }) => ({ pid, used })),
    }));
  }

  async held(): Promise<Held[]> {
    await this.#link.ready();
    const { leases } = await this.#connection.call<WireLeases>('GET', '/v1/leases');
    return leases.map(({ lease, request, state, pid, owner, model, priority, gpus, expires_in_ms: leftMs }) => ({
      number: lease ?? request ?? 0,
      pid,
      owner,
      model: model ?? undefined,
      priority,
      shares: gpus.map(({ index, bytes }) => ({ device: index, bytes })),
      leftMs: leftMs ?? Number.POSITIVE_INFINITY,
      // Of a GPU that has vanished it is held nevertheless.
      state: state === 'lost' ? 'active' : state,
    }));
  }

  /** The daemon hears of it with its first use. */
  register(model: PreparedModel): void {
    this.#models.register(model);
  }

  use(model: string, priority: Priority, waitMs: number): Waiting<Start> {
    return this.#ask((request, asking) => this.#sent(asking, () => this.#models.known(model), async () => {
      const body = { request, priority, wait_ms: waitMs };
      try {
        const { lease, waited_ms: waitedMs } = await this.#connection.call<WireUse>('POST', `/v1/models/${encodeURIComponent(model)}/uses`, body, { timeoutMs: waitMs + ANSWER_MS, signal: asking.hangUp.signal });
        this.#models.began(request, lease);
        return { request, lease, waitedMs };
      } catch (error) {
        if (isAway(error)) this.#models.unsure(request);
        throw error;
      }
    }));
  }

  done(request: number): void {
    this.#models.done(request);
  }

  loaded(lease: number, tookMs: number): void {
    this.#models.loaded(lease, tookMs);
  }

  loadFailed(lease: number): void {
    this.#models.loadFailed(lease);
  }

  unloaded(lease: number): void {
    this.#models.unloaded(lease);
  }

  async optimize(targetFree: number | undefined, device: number | undefined): Promise<Optimized> {
    await this.#link.ready();
    // A use that has ended here is no reason for a model to stay.
    await this.#models.told();
    const body = { wait_ms: UNLOAD_MS, ...(targetFree === undefined ? {} : { target_free_bytes: targetFree }), ...(device === undefined ? {} : { device }) };
    const { unloaded } = await this.#connection.call<WireOptimized>('POST', '/v1/optimize', body, { timeoutMs: UNLOAD_MS + ANSWER_MS });
    const isOurs = ({ pid }: { pid: number }): boolean => pid === process.pid;
    return {
      leases: unloaded.filter(isOurs).map(({ lease }) => lease),
      others: unloaded.filter(going => !isOurs(going)).map(({ model, bytes }) => ({ model: model ?? '', bytes })),
    };
  }

  async close(unloaded: Promise<void>): Promise<void> {
    this.#isClosed = true;
    for (const { hangUp } of this.#asking.values()) hangUp.abort();
    const hadLeases = this.#leases.size > 0 || this.#asking.size > 0;
    this.#leases.clear();
    try {
      // What is held, and what is just being granted, is given back; a daemon that is away learns it from this process's end.
      if (this.#link.wasUp && hadLeases) await this.#connection.call('POST', '/v1/attach', { leases: [], instances: this.#models.held() });
    } catch (error) {
      if (!isAway(error)) throw error;
    } finally {
      await unloaded;
      this.#models.close();
      // Whatever waits for a daemon that is away waits no longer.
      this.#link.close();
      await this.#models.told();
      // A model that is in use is unloaded when that ends.
      this.#models.whenTold(() => this.#connection.close());
    }
  }

  #hear(notice: WireNotice): void {
    switch (notice.event) {
      case 'preempt': return this.#tell({ kind: 'preempt', lease: notice.lease, leftMs: notice.grace_ms, by: notice.by_priority });
      case 'ended':
        this.#leases.delete(notice.lease);
        return this.#tell({ kind: 'ended', lease: notice.lease });
      case 'load': case 'unload': {
        if (notice.event === 'load') this.#uuids[notice.gpu.index] = notice.gpu.uuid ?? '';
        const news = this.#models.hear(notice);
        return news === undefined ? undefined : this.#tell(news);
      }
      case 'overuse': return this.#tell({ kind: 'overuse', device: notice.device, leased: notice.leased, used: notice.used });
      default:
    }
  }

  #away(): void {
    const [leases, models] = [this.#leases.size, this.#models.size];
    if (leases === 0 && models === 0) return;
    const held = [
      ...(leases === 0 ? [] : [`the ${leases} leases of this process live on until their time is over, and cannot be renewed before a daemon is back`]),
      ...(models === 0 ? [] : [`its ${models} warm models stay loaded, and cannot be used anew before a daemon is back`]),
    ];
    process.emitWarning(`the GPU daemon at ${this.#connection.socket} has gone: ${held.join('; ')}`, { type: 'UniversalAiToolsWarning', code: 'UAT_GPU_DAEMON_AWAY' });
  }
}

function cancelled(): UniversalAiError {
  return new UniversalAiError('UAT_CANCELLED', 'the request was cancelled');
}

function closed(): UniversalAiError {
  return new UniversalAiError('UAT_CLOSED', 'the resource manager is closed');
}
