import type { EstimateOptions, MemoryEstimate, Priority } from './vision-resource-manager-types.js';

/** Checked, with the defaults filled in. Sizes here and below are bytes. */
export interface PreparedManager {
  /** `host`: the daemon on `socket` decides, and what follows is its own. */
  mode: 'process' | 'host';
  /** Exactly with `host`. */
  socket: string | undefined;
  driver: 'auto' | 'nvml' | 'fake' | 'none';
  nvmlPath?: string;
  /** Exactly with `fake`. */
  fakeGpus: { name?: string; total: number }[];
  headroom: number;
  pollMs: number;
}

/** Checked, with the defaults filled in; times are whole ms. */
export interface PreparedAllocation {
  bytes: number;
  gpus: number;
  /** Absent: any. */
  devices: number[] | undefined;
  priority: Priority;
  durationMs: number;
  waitMs: number;
  preemptible: boolean;
  graceMs: number;
  owner: string;
  model: string | undefined;
}

/** Checked, with the defaults filled in. */
export interface PreparedModel {
  name: string;
  bytes: number;
  loadMs: number;
  replicas: number;
  /** Uses of an instance at once; absent: any number. */
  concurrency?: number;
}

/** Checked, with the defaults filled in. */
export type PreparedEstimate = Required<Omit<EstimateOptions, 'contextTokens' | 'gpuLayers'>> & Pick<EstimateOptions, 'contextTokens' | 'gpuLayers'>;

/** Memory of one device. */
export interface Share {
  readonly device: number;
  readonly bytes: number;
}

/** A lease that was granted. `leftMs`: what is left of it now. */
export interface Grant {
  readonly lease: number;
  readonly shares: readonly Share[];
  readonly leftMs: number;
  readonly waitedMs: number;
}

/** A use of a model that may begin, with this instance. */
export interface Start {
  readonly request: number;
  readonly lease: number;
  readonly waitedMs: number;
}

/** A request that waits. The answer comes in any case, to a request that is cancelled as `UAT_CANCELLED` unless it was served before. */
export interface Waiting<T> {
  readonly request: number;
  readonly answer: Promise<T>;
}

/** What a backend in this process says at once, and one that has to ask another process later. */
export type Soon<T> = T | Promise<T>;

/** What is known at once, or waited for. */
export type Answer<T> = T | Waiting<T>;

export function isWaiting<T extends object>(answer: Answer<T>): answer is Waiting<T> {
  return 'answer' in answer;
}

/** What a manager says without having been asked; never from within a call. */
export type News =
  /** A lease is to be given back, and ends after `leftMs` in any case. */
  | { readonly kind: 'preempt'; readonly lease: number; readonly leftMs: number; readonly by: Priority }
  | { readonly kind: 'ended'; readonly lease: number }
  /** The daemon that gave it out has gone, and the next one does not know it: it has ended before its time. */
  | { readonly kind: 'gone'; readonly lease: number }
  /** An instance of a model is to be loaded: then call `loaded` or `loadFailed`. */
  | { readonly kind: 'load'; readonly lease: number; readonly model: string; readonly share: Share }
  /** It is to be unloaded: then call `unloaded`. */
  | { readonly kind: 'unload'; readonly lease: number }
  /** This process uses more of a device than it has leased. */
  | { readonly kind: 'overuse'; readonly device: number; readonly leased: number; readonly used: number };

/** A device, as it was read last. */
export interface DeviceUse {
  readonly index: number;
  readonly uuid: string;
  readonly name: string;
  readonly total: number;
  readonly used: number;
  readonly leased: number;
  readonly external: number;
  readonly free: number;
  /** It has vanished, or cannot be given out. */
  readonly isLost: boolean;
  readonly utilization: number | null;
  readonly temperatureC: number | null;
  readonly powerW: number | null;
  readonly processes: readonly { readonly pid: number; readonly used: number | null }[];
}

/** Warm models that were told to make room. */
export interface Optimized {
  /** Of this process: they are to be unloaded, or were. */
  readonly leases: readonly number[];
  /** Of other processes, as far as they are out. */
  readonly others: readonly { readonly model: string; readonly bytes: number }[];
}

/** A lease, or a request that waits. `leftMs`: until it ends, or is refused; `Infinity` for a warm model. */
export interface Held {
  /** Of the lease, or of the request. */
  readonly number: number;
  /** Absent: this process. */
  readonly pid?: number;
  readonly owner: string;
  readonly model: string | undefined;
  readonly priority: Priority;
  readonly shares: readonly Share[];
  readonly leftMs: number;
  readonly state: 'active' | 'grace' | 'queued';
}

/**
 * What the native adapter, the TypeScript fallback and the client of a daemon each implement, so that the compiler tells when they drift.
 *
 * Everything throws or rejects with a `UniversalAiError`. Arguments have been checked as said. After `close` nothing is called but `close`, and `done`,
 * `loaded`, `loadFailed` and `unloaded` of models that were in use then, or being loaded. Nothing here keeps the process alive but a call to a daemon that is under way.
 */
export interface VisionResourceManagerBackend {
  /** @throws `UAT_NO_GPU`, `UAT_INSUFFICIENT_VRAM`, `UAT_OVERLOADED`, `UAT_INVALID_INPUT`; the answer rejects with the same. */
  allocate(request: PreparedAllocation): Answer<Grant>;
  /** Of `allocate` and `use`: the caller does not want it any longer. */
  cancel(request: number): void;
  /** What is left of the lease then, in ms. @throws `UAT_LEASE_EXPIRED`, `UAT_PREEMPTED`. */
  renew(lease: number, durationMs: number): Soon<number>;
  /** @throws As `renew`. */
  release(lease: number): Soon<void>;
  /** The driver's name of a device; empty where it has not told it. */
  uuid(device: number): string;
  usage(): Soon<DeviceUse[]>;
  /** Leases, oldest first, and then those that wait, first in line first. */
  held(): Soon<Held[]>;
  estimate(path: string, options: PreparedEstimate): Promise<MemoryEstimate>;
  /** A model of a name that was not registered. @throws `UAT_INVALID_INPUT`. */
  register(model: PreparedModel): void;
  /** @throws As `allocate`; the answer also `UAT_ENGINE_UNAVAILABLE` where a load failed. */
  use(model: string, priority: Priority, waitMs: number): Answer<Start>;
  /** A use has ended. */
  done(request: number): void;
  loaded(lease: number, tookMs: number): void;
  /** One of those that wait for the model is told. */
  loadFailed(lease: number): void;
  unloaded(lease: number): void;
  /** Has idle models unloaded; `undefined`: see `OptimizeMemoryOptions`. */
  optimize(targetFree: number | undefined, device: number | undefined): Soon<Optimized>;
  /** Rejects whatever waits with `UAT_CLOSED`. @param unloaded When the models that nobody uses are unloaded. */
  close(unloaded: Promise<void>): Soon<void>;
}
