import { UniversalAiError } from '../errors.js';
import { gpusOf, type Lessor, ModelAllocation } from './vision-resource-manager-allocation.js';
import type { News, Optimized, PreparedModel, Soon, Start, VisionResourceManagerBackend } from './vision-resource-manager-backend.js';
import type { Allocation, OptimizedMemory, WarmModel } from './vision-resource-manager-types.js';

const MIB = 2 ** 20;

/** A model that was registered. */
interface Model extends Pick<WarmModel, 'load' | 'unload'> {
  readonly name: string;
  /** Why it could not be loaded the last time. */
  failure?: unknown;
}

/** A model in memory, or on its way there or out. */
interface Instance {
  readonly model: Model;
  readonly allocation: ModelAllocation;
  uses: number;
  isLoaded: boolean;
  /** The daemon that was to know it does not: it is used no more, and unloaded when its uses have ended. */
  isGone: boolean;
  /** It is unloaded once, whoever wants that. */
  unloading: Promise<void> | undefined;
  /** Whoever waits until it is out. */
  readonly whenOut: ((went: Went) => void)[];
}

/** What came of unloading a model. */
interface Went {
  readonly model: string;
  readonly mb: number;
  readonly isWell: boolean;
}

/** The warm models of this process: the manager says when, the callbacks of their owners load and unload. */
export class WarmModels {
  readonly #backend: VisionResourceManagerBackend;
  readonly #lessor: Lessor;
  readonly #models = new Map<string, Model>();
  readonly #instances = new Map<number, Instance>();
  /** What came of unloads while somebody makes room: the daemon may say whom it told to go when they are out already. */
  readonly #went = new Map<number, Went>();
  #optimizing = 0;
  #isClosed = false;

  constructor(backend: VisionResourceManagerBackend, lessor: Lessor) {
    [this.#backend, this.#lessor] = [backend, lessor];
  }

  register({ load, unload, ...prepared }: PreparedModel & Pick<WarmModel, 'load' | 'unload'>): void {
    const { name } = prepared;
    if (this.#models.has(name)) throw new UniversalAiError('UAT_CONFLICT', `the model \`${name}\` is registered already; take another name`);
    this.#backend.register(prepared);
    this.#models.set(name, { name, load, unload });
  }

  /** @throws {UniversalAiError} `UAT_NOT_FOUND` with the names that there are. */
  check(name: string): void {
    if (this.#models.has(name)) return;
    const known = [...this.#models.keys()];
    throw new UniversalAiError('UAT_NOT_FOUND', `there is no model \`${name}\`; ${known.length === 0 ? 'none is registered' : `registered are ${known.join(', ')}`}: call registerModel() first`, { details: { model: name, known } });
  }

  /** What a use was refused with, as its caller is to see it: of a load that failed with what went wrong there. */
  refusal(name: string, error: unknown): unknown {
    const model = this.#models.get(name);
    if (!(model !== undefined && 'failure' in model && error instanceof UniversalAiError && error.code === 'UAT_ENGINE_UNAVAILABLE')) return error;
    const cause = model.failure;
    return new UniversalAiError('UAT_ENGINE_UNAVAILABLE', `the model \`${name}\` could not be loaded: ${messageOf(cause)}; its \`load\` rejected, and is called again for the next that wants to use it`, { cause, retryable: true, details: { model: name } });
  }

  async use<T>({ lease, request, waitedMs }: Start, use: (allocation: Allocation) => Promise<T>): Promise<T> {
    const instance = this.#instances.get(lease);
    if (instance === undefined) throw new UniversalAiError('UAT_INTERNAL', `a use began with instance ${lease}, which was never loaded; please report this`);
    const { model, allocation } = instance;
    instance.uses += 1;
    try {
      return await use(new ModelAllocation(model.name, lease, allocation.gpus, waitedMs));
    } finally {
      instance.uses -= 1;
      this.#backend.done(request);
      if ((this.#isClosed || instance.isGone) && instance.uses === 0) void this.#unload(lease, instance);
    }
  }

  load({ lease, model: name, share }: Extract<News, { kind: 'load' }>): void {
    const model = this.#models.get(name);
    if (model === undefined || this.#isClosed) return;
    const allocation = new ModelAllocation(name, lease, gpusOf(this.#lessor, [share]), 0);
    const instance: Instance = { model, allocation, uses: 0, isLoaded: false, isGone: false, unloading: undefined, whenOut: [] };
    this.#instances.set(lease, instance);
    void this.#load(lease, instance);
  }

  async #load(lease: number, instance: Instance): Promise<void> {
    const { model, allocation } = instance;
    const began = performance.now();
    try {
      await model.load(allocation);
    } catch (error) {
      model.failure = error;
      this.#instances.delete(lease);
      this.#backend.loadFailed(lease);
      return;
    }
    instance.isLoaded = true;
    delete model.failure;
    this.#backend.loaded(lease, Math.round(performance.now() - began));
    if (this.#isClosed || instance.isGone) await this.#unload(lease, instance);
  }

  unload(lease: number): void {
    const instance = this.#instances.get(lease);
    if (instance !== undefined) void this.#unload(lease, instance);
  }

  /** Nobody has its memory on record any longer. */
  gone(lease: number): void {
    const instance = this.#instances.get(lease);
    if (instance === undefined) return;
    instance.isGone = true;
    if (instance.isLoaded && instance.uses === 0) void this.#unload(lease, instance);
  }

  /** Once; where that goes wrong, whoever reads the process's warnings is told. */
  #unload(lease: number, instance: Instance): Promise<void> {
    return instance.unloading ??= this.#unloadOnce(lease, instance);
  }

  async #unloadOnce(lease: number, { model, allocation, whenOut }: Instance): Promise<void> {
    let isWell = true;
    try {
      await model.unload(allocation);
    } catch (error) {
      isWell = false;
      process.emitWarning(`the model \`${model.name}\` could not be unloaded: ${messageOf(error)}; what it still takes of the GPU counts as used by others`, { type: 'UniversalAiToolsWarning', code: 'UAT_UNLOAD_FAILED', detail: error instanceof Error ? error.stack ?? '' : '' });
    }
    this.#instances.delete(lease);
    // Where it went wrong, too: the driver tells whether the memory is free, and nobody would get it back otherwise.
    this.#backend.unloaded(lease);
    const went: Went = { model: model.name, mb: allocation.gpus.reduce((sum, { vramMb }) => sum + vramMb, 0), isWell };
    if (this.#optimizing > 0) this.#went.set(lease, went);
    for (const tell of whenOut) tell(went);
  }

  /** Has models make room, and waits until they are out. */
  async optimize(ask: () => Soon<Optimized>): Promise<OptimizedMemory> {
    this.#optimizing += 1;
    try {
      const { leases, others } = await ask();
      const ours = await Promise.all(leases.map(lease => this.#outcome(lease)));
      const done: OptimizedMemory = { freedMb: 0, unloaded: [] };
      for (const { model, mb } of [...ours.filter((went): went is Went => went?.isWell === true), ...others.map(({ model, bytes }) => ({ model, mb: bytes / MIB }))]) {
        done.unloaded.push(model);
        done.freedMb += mb;
      }
      return done;
    } finally {
      this.#optimizing -= 1;
      if (this.#optimizing === 0) this.#went.clear();
    }
  }

  async #outcome(lease: number): Promise<Went | undefined> {
    const instance = this.#instances.get(lease);
    if (instance === undefined) return this.#went.get(lease);
    return await new Promise<Went>(resolve => instance.whenOut.push(resolve));
  }

  /** Unloads what nobody uses and waits for it; what is in use, or loading, is unloaded when that ends. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const idle = [...this.#instances].filter(([, { uses, isLoaded }]) => isLoaded && uses === 0);
    await Promise.all(idle.map(([lease, instance]) => this.#unload(lease, instance)));
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
