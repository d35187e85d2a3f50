import type { Answer, DeviceUse, Grant, Held, News, Optimized, PreparedAllocation, PreparedEstimate, PreparedManager, PreparedModel, Share, Start, VisionResourceManagerBackend } from '../services/vision-resource-manager-backend.js';
import type { MemoryEstimate, Priority } from '../services/vision-resource-manager-types.js';
import { PendingRequests } from '../services/vision-resource-manager-pending.js';
import { DEFAULT_OWNER } from '../services/vision-resource-manager-request.js';
import type { GpuNews, VisionResourceManager } from './binding.js';
import { LONGEST_TIMER_MS } from '../timers.js';
import { attempt } from './call.js';
import { asking, fromNative } from './errors.js';
import type { NativeBinding } from './loader.js';

const MIB = 2 ** 20;
/** As the addon counts them. */
const PRIORITIES: readonly Priority[] = ['low', 'normal', 'high', 'critical'];
/** The addon writes a lease as its number, the ms that are left of it, and a device and its bytes for each GPU. */
const BEFORE_SHARES = 2;
/** A gang of so many needs no array of its own; a question has fewer numbers, too. */
const FEW_GPUS = 8;

/** Opens the manager of the Rust core, which reads the driver. */
export function openNativeVisionResourceManager(binding: NativeBinding, prepared: PreparedManager, tell: (news: News) => void): VisionResourceManagerBackend {
  return new NativeVisionResourceManager(binding, prepared, tell);
}

/** What a model takes, where leases are another process's: the core reads its file with no GPU in sight. */
export async function estimateNatively(binding: NativeBinding, path: string, options: PreparedEstimate): Promise<MemoryEstimate> {
  const manager = new NativeVisionResourceManager(binding, { mode: 'process', socket: undefined, driver: 'none', fakeGpus: [], headroom: 0, pollMs: LONGEST_TIMER_MS }, () => undefined);
  try {
    return await manager.estimate(path, options);
  } finally {
    manager.close();
  }
}

/** Converts, calls, converts back. */
class NativeVisionResourceManager implements VisionResourceManagerBackend {
  readonly #native: VisionResourceManager;
  readonly #tell: (news: News) => void;
  readonly #pending = new PendingRequests();
  /** Where the addon reads what is asked, and writes what it grants. */
  readonly #numbers = new Float64Array(BEFORE_SHARES + 2 * FEW_GPUS);
  /** What the driver calls the devices, whose places never change. */
  #uuids: string[] = [];

  constructor(binding: NativeBinding, prepared: PreparedManager, tell: (news: News) => void) {
    this.#tell = tell;
    this.#native = attempt(() => new binding.VisionResourceManager(prepared, news => this.#hear(news)));
  }

  allocate(request: PreparedAllocation): Answer<Grant> {
    const { bytes, gpus, devices, priority, durationMs, waitMs, preemptible, graceMs, owner, model } = request;
    const numbers = gpus <= FEW_GPUS ? this.#numbers : new Float64Array(BEFORE_SHARES + 2 * gpus);
    numbers[0] = bytes;
    numbers[1] = gpus;
    numbers[2] = PRIORITIES.indexOf(priority);
    numbers[3] = durationMs;
    numbers[4] = waitMs;
    numbers[5] = preemptible ? graceMs : -1;
    const isPlain = owner === DEFAULT_OWNER && model === undefined && devices === undefined;
    let waiting: number;
    try {
      waiting = this.#native.allocate(numbers, isPlain ? undefined : { owner, ...(model === undefined ? {} : { model }), ...(devices === undefined ? {} : { devices }) });
    } catch (error) {
      throw fromNative(error);
    }
    if (waiting !== 0) return this.#pending.wait<Grant>(waiting);
    const shares: Share[] = [];
    for (let place = BEFORE_SHARES; shares.length < gpus; place += 2) shares.push({ device: numbers[place]!, bytes: numbers[place + 1]! });
    return { lease: numbers[0]!, shares, leftMs: numbers[1]!, waitedMs: 0 };
  }

  use(model: string, priority: Priority, waitMs: number): Answer<Start> {
    const waiting = attempt(() => this.#native.useModel(this.#numbers, model, PRIORITIES.indexOf(priority), waitMs));
    return waiting === 0 ? { request: this.#numbers[0]!, lease: this.#numbers[1]!, waitedMs: 0 } : this.#pending.wait<Start>(waiting);
  }

  cancel(request: number): void {
    attempt(() => this.#native.cancel(request));
  }

  renew(lease: number, durationMs: number): number {
    return attempt(() => this.#native.renew(lease, durationMs));
  }

  release(lease: number): void {
    try {
      this.#native.release(lease);
    } catch (error) {
      throw fromNative(error);
    }
  }

  uuid(device: number): string {
    // One that came later, or whose name was not known, is asked for again.
    if (!this.#uuids[device]) this.#uuids = this.usage().map(({ uuid }) => uuid);
    return this.#uuids[device] ?? '';
  }

  usage(): DeviceUse[] {
    return attempt(() => this.#native.usage()).map(({ utilization, temperatureC, powerW, processes, ...device }) => ({
      ...device,
      utilization: utilization ?? null,
      temperatureC: temperatureC ?? null,
      powerW: powerW ?? null,
      processes: processes.map(({ pid, used }) => ({ pid, used: used ?? null })),
    }));
  }

  held(): Held[] {
    const now = this.#now();
    return attempt(() => this.#native.held()).map(({ number, owner, model, priority, shares, endsAt, state }) => ({
      number,
      owner,
      model,
      priority: priority as Priority,
      shares,
      leftMs: endsAt === undefined ? Infinity : endsAt - now,
      state: state as Held['state'],
    }));
  }

  async estimate(path: string, options: PreparedEstimate): Promise<MemoryEstimate> {
    const { weights, cache, compute, confidence } = await asking(() => this.#native.estimate(path, options));
    return { weightsMb: weights / MIB, kvCacheMb: cache / MIB, computeMb: compute / MIB, totalMb: (weights + cache + compute) / MIB, confidence: confidence as MemoryEstimate['confidence'] };
  }

  register(model: PreparedModel): void {
    attempt(() => this.#native.register(model));
  }

  done(request: number): void {
    attempt(() => this.#native.done(request));
  }

  loaded(lease: number, tookMs: number): void {
    attempt(() => this.#native.loaded(lease, tookMs));
  }

  loadFailed(lease: number): void {
    attempt(() => this.#native.loadFailed(lease));
  }

  unloaded(lease: number): void {
    attempt(() => this.#native.unloaded(lease));
  }

  optimize(targetFree: number | undefined, device: number | undefined): Optimized {
    return { leases: attempt(() => this.#native.optimize(targetFree, device)), others: [] };
  }

  close(): void {
    attempt(() => this.#native.close());
    // Whatever else is on its way comes too late.
    this.#pending.close();
  }

  #now(): number {
    return attempt(() => this.#native.now());
  }

  #hear(news: GpuNews): void {
    const { kind, request = 0, lease = 0, shares = [], endsAt = 0, waitedMs = 0 } = news;
    switch (kind) {
      case 'granted': return this.#pending.settle(request)?.resolve({ lease, shares, leftMs: endsAt - this.#now(), waitedMs });
      case 'started': return this.#pending.settle(request)?.resolve({ request, lease, waitedMs });
      case 'failed': return this.#pending.settle(request)?.reject(fromNative(new Error(news.error)));
      case 'preempt': return this.#tell({ kind, lease, leftMs: endsAt - this.#now(), by: news.by as Priority });
      case 'ended': case 'unload': return this.#tell({ kind, lease });
      case 'load': return this.#tell({ kind, lease, model: news.model!, share: shares[0]! });
      case 'overuse': return this.#tell({ kind, device: news.device!, leased: news.leased!, used: news.used! });
    }
  }

}
