import type { BackendInfo } from '../backend.js';
import { invalidInput, UniversalAiError } from '../errors.js';
import { noEstimates, openTypeScriptVisionResourceManager } from '../fallback/vision-resource-manager/service.js';
import { openHostVisionResourceManager } from '../gpu-daemon/backend.js';
import { type NativeBinding, selectBackend } from '../native/loader.js';
import { estimateNatively, openNativeVisionResourceManager } from '../native/vision-resource-manager.js';
import { LeaseAllocation, type Lessor } from './vision-resource-manager-allocation.js';
import { type Grant, isWaiting, type News, type PreparedAllocation, type PreparedManager, type Soon, type Start, type VisionResourceManagerBackend } from './vision-resource-manager-backend.js';
import { WarmModels } from './vision-resource-manager-models.js';
import { differingOption, prepareAllocation, prepareEstimate, prepareManager, prepareModel, prepareOptimizeMemory, prepareUse, prepareWatch } from './vision-resource-manager-request.js';
import type { Allocation, AllocationRequest, EstimateOptions, GpuUsage, LeaseInfo, MemoryEstimate, OptimizedMemory, OptimizeMemoryOptions, ResourceManagerOptions, UseOptions, WarmModel } from './vision-resource-manager-types.js';
import { toLease, toUsage, watching } from './vision-resource-manager-usage.js';
import { cancelled, Waits } from './vision-resource-manager-waits.js';

export type { BackendInfo } from '../backend.js';
export { UniversalAiError, type ErrorCode, type UniversalAiErrorOptions } from '../errors.js';
export type * from './vision-resource-manager-types.js';

const MIB = 2 ** 20;

/** The one of this process, and how it was made. */
let instance: { manager: VisionResourceManager; made: PreparedManager } | undefined;

/**
 * Who may use how much memory of which GPU until when.
 *
 * ```ts
 * const manager = VisionResourceManager.getInstance();
 * await using allocation = await manager.allocateResources({ vramRequired: 4096, priority: 'high', duration: 30_000 });
 * await render(allocation.gpus[0].index);
 * ```
 *
 * Leases are promises among those that ask: what a GPU really holds the driver tells, and memory of other programs is never given
 * out. Every rejection is a {@link UniversalAiError}; `UAT_CLOSED` is one of every method. A manager that nobody waits for does not keep
 * the process alive.
 */
export class VisionResourceManager {
  /** Which implementation answers, and why. */
  readonly backend: BackendInfo;
  readonly #backend: VisionResourceManagerBackend;
  readonly #lessor: Lessor;
  readonly #models: WarmModels;
  readonly #waits = new Waits();
  readonly #isHosted: boolean;
  /** The leases that may be taken back, with a daemon all of them, and what was said of one before its holder has it. */
  readonly #preemptible = new Map<number, LeaseAllocation>();
  readonly #preemptedEarly = new Map<number, Extract<News, { kind: 'preempt' }>>();
  readonly #ended = new AbortController();
  #closing: Promise<void> | undefined;

  private constructor(prepared: PreparedManager) {
    const { info, native } = selectBackend('VisionResourceManager');
    this.backend = info;
    const tell = (news: News): void => this.#hear(news);
    this.#isHosted = prepared.mode === 'host';
    this.#backend = opened(native, prepared, tell);
    this.#lessor = {
      renew: (lease, durationMs) => this.#open().renew(lease, durationMs),
      release: lease => this.#release(lease),
      uuid: device => this.#backend.uuid(device),
    };
    this.#models = new WarmModels(this.#backend, this.#lessor);
  }

  /**
   * The manager of this process, which is made at the first call, and anew after `close()`.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT` names the option; `UAT_CONFLICT`: there is one that was made with other options;
   *   `UAT_NO_GPU`: `nvml` is wanted and not there; `UAT_UNSUPPORTED`: a mode that is not there yet; `UAT_CONFIG`: `UAT_BACKEND` forces a
   *   backend that is missing.
   */
  static getInstance(options?: ResourceManagerOptions): VisionResourceManager {
    if (instance === undefined) {
      const made = prepareManager(options);
      instance = { manager: new VisionResourceManager(made), made };
    } else if (options !== undefined) {
      const differing = differingOption(options, instance.made);
      if (differing !== undefined) throw new UniversalAiError('UAT_CONFLICT', `options.${differing}: this process has a VisionResourceManager that was made otherwise; call getInstance() without options for it, or close() it first`, { details: { field: `options.${differing}` } });
    }
    return instance.manager;
  }

  /**
   * Leases memory, at once or when it is there.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT` names the field; `UAT_NO_GPU` says what was tried; `UAT_INSUFFICIENT_VRAM`: it was not there in
   *   time, or never can be, and the largest free block and what holds the rest stand in `details`; `UAT_OVERLOADED`: as many wait as may;
   *   `UAT_CANCELLED`: by the signal.
   */
  async allocateResources(request: AllocationRequest): Promise<Allocation> {
    const prepared = prepareAllocation(request);
    const { signal } = request;
    if (prepared.devices !== undefined) await this.#checkDevices(prepared.devices, place => `request.devices[${place}]`);
    const backend = this.#open();
    if (signal?.aborted === true) throw cancelled(signal);
    const answer = backend.allocate(prepared);
    if (!isWaiting(answer)) return this.#allocation(answer, prepared);
    const grant = await this.#waits.answer(answer, signal, waiting => this.#cancel(waiting), late => this.#giveBack(late));
    // Granted just before it was closed: with the manager the lease is gone.
    this.#open();
    return this.#allocation(grant, prepared);
  }

  /** The GPUs, as the driver was read last; none where there is no driver. */
  async usage(): Promise<GpuUsage[]> {
    return (await this.#open().usage()).map(toUsage);
  }

  /**
   * The same at once and then every `intervalMs` (default 1,000), until the signal aborts, the manager is closed or the loop is left. It
   * keeps the process alive.
   */
  watch(options?: { intervalMs?: number; signal?: AbortSignal }): AsyncIterable<GpuUsage[]> {
    const { intervalMs, signal } = prepareWatch(options);
    const backend = this.#open();
    return watching(async () => (await backend.usage()).map(toUsage), intervalMs, [signal, this.#ended.signal]);
  }

  /** Leases, oldest first, and then those that wait, first in line first. */
  async leases(): Promise<LeaseInfo[]> {
    return (await this.#open().held()).map(toLease);
  }

  /**
   * How much memory a model takes on a GPU, from the header of its file: GGUF (in parts, too), an mmproj file, or safetensors.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT`: no sound model file, `details.offset` says where; `UAT_STORAGE`: it cannot be read;
   *   `UAT_UNSUPPORTED`: a kind of model that cannot be estimated, or the TypeScript backend.
   */
  async estimateModel(path: string, options?: EstimateOptions): Promise<MemoryEstimate> {
    const prepared = prepareEstimate(path, options);
    return await this.#open().estimate(prepared.path, prepared.options);
  }

  /**
   * Names a model that {@link withModel} uses. `load` and `unload` are the caller's; the manager decides when and where, and counts memory as
   * free when the driver says so. With mode `host` the daemon decides among the models of all processes; each has its own, whatever their
   * names.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT` names the field; `UAT_CONFLICT`: the name is taken.
   */
  registerModel(model: WarmModel): void {
    const prepared = prepareModel(model);
    this.#open();
    this.#models.register(prepared);
  }

  /**
   * Uses a model, which is loaded where it is not. Any number of callers use an instance at once, and none is unloaded meanwhile.
   *
   * @returns What `use` returns; what it throws is thrown.
   * @throws {UniversalAiError} `UAT_NOT_FOUND`: it was not registered; `UAT_ENGINE_UNAVAILABLE`: `load` rejected, with that as `cause`; and as
   *   `allocateResources`.
   */
  async withModel<T>(name: string, use: (allocation: Allocation) => Promise<T>, options?: UseOptions): Promise<T> {
    const prepared = prepareUse(name, use, options);
    const backend = this.#open();
    const { priority, waitMs, signal } = prepared;
    this.#models.check(name);
    if (signal?.aborted === true) throw cancelled(signal);
    let start: Start;
    try {
      const answer = backend.use(name, priority, waitMs);
      start = isWaiting(answer) ? await this.#waits.answer(answer, signal, waiting => this.#cancel(waiting), ({ request }) => this.#done(request)) : answer;
    } catch (error) {
      throw this.#models.refusal(name, error);
    }
    this.#open();
    return await this.#models.use(start, use);
  }

  /**
   * Unloads warm models that nobody uses, least worth for their size first, until so much is free; those whose `unload` rejects are not
   * counted. With mode `host` those of other processes, too; what is not out within half a minute is not counted.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT`: no such GPU.
   */
  async optimizeMemory(options?: OptimizeMemoryOptions): Promise<OptimizedMemory> {
    const { targetFree, device } = prepareOptimizeMemory(options);
    if (device !== undefined) await this.#checkDevices([device], () => 'options.device');
    return await this.#waits.during(this.#models.optimize(() => this.#open().optimize(targetFree, device)));
  }

  /**
   * Ends all leases, rejects what waits with `UAT_CLOSED`, and unloads the warm models: those that nobody uses before it resolves, the others
   * when their use ends. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (instance?.manager === this) instance = undefined;
    this.#ended.abort();
    const unloaded = this.#models.close();
    this.#preemptible.clear();
    const closed = this.#backend.close(unloaded);
    await this.#waits.during(Promise.all([unloaded, closed]));
  }

  #open(): VisionResourceManagerBackend {
    if (this.#ended.signal.aborted) throw new UniversalAiError('UAT_CLOSED', 'this VisionResourceManager was closed; call getInstance() for another one');
    return this.#backend;
  }

  #allocation(grant: Grant, { durationMs, preemptible }: PreparedAllocation): LeaseAllocation {
    const allocation = new LeaseAllocation(this.#lessor, grant, durationMs);
    if (!preemptible && !this.#isHosted) return allocation;
    this.#preemptible.set(grant.lease, allocation);
    const early = this.#preemptedEarly.get(grant.lease);
    if (early !== undefined) allocation.preempt(early);
    this.#preemptedEarly.delete(grant.lease);
    return allocation;
  }

  #release(lease: number): Soon<void> {
    const released = this.#open().release(lease);
    this.#preemptible.delete(lease);
    return released;
  }

  #cancel(request: number): void {
    if (!this.#ended.signal.aborted) this.#backend.cancel(request);
  }

  #done(request: number): void {
    if (!this.#ended.signal.aborted) this.#backend.done(request);
  }

  /** Nobody wants it any longer; where it has ended it is gone already. */
  async #giveBack({ lease }: Grant): Promise<void> {
    try {
      await this.#release(lease);
    } catch (error) {
      if (!(error instanceof UniversalAiError)) throw error;
    }
  }

  async #checkDevices(devices: readonly number[], field: (place: number) => string): Promise<void> {
    const gpus = (await this.#open().usage()).length;
    // Where there is none at all, requests say what was tried.
    const place = gpus > 0 ? devices.findIndex(device => device >= gpus) : -1;
    if (place >= 0) throw invalidInput(field(place), gpus === 1 ? 'the index of the only GPU, 0' : `the index of a GPU, 0 to ${gpus - 1}`, devices[place]);
  }

  #hear(news: News): void {
    if (this.#ended.signal.aborted) return;
    switch (news.kind) {
      case 'preempt': {
        const allocation = this.#preemptible.get(news.lease);
        if (allocation === undefined) this.#preemptedEarly.set(news.lease, news);
        else allocation.preempt(news);
        return;
      }
      case 'ended':
        this.#preemptible.delete(news.lease);
        this.#preemptedEarly.delete(news.lease);
        return;
      case 'gone':
        this.#models.gone(news.lease);
        this.#preemptible.get(news.lease)?.preempt({ kind: 'preempt', lease: news.lease, leftMs: 0, by: 'critical' });
        this.#preemptible.delete(news.lease);
        this.#preemptedEarly.delete(news.lease);
        return;
      case 'load': return this.#models.load(news);
      case 'unload': return this.#models.unload(news.lease);
      case 'overuse': return void process.emitWarning(`this process uses ${Math.round(news.used / MIB)} MiB of GPU ${news.device} and has leased ${Math.round(news.leased / MIB)} MiB there; it gets no further lease until it gives some back`, { type: 'UniversalAiToolsWarning', code: 'UAT_OVERUSE' });
    }
  }
}

function opened(native: NativeBinding | undefined, prepared: PreparedManager, tell: (news: News) => void): VisionResourceManagerBackend {
  if (prepared.socket !== undefined) return openHostVisionResourceManager(prepared.socket, tell, native === undefined ? async () => { throw noEstimates(); } : (path, options) => estimateNatively(native, path, options));
  return native === undefined ? openTypeScriptVisionResourceManager(prepared, tell) : openNativeVisionResourceManager(native, prepared, tell);
}
