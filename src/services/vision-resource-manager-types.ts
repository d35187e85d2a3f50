/** How much a request matters. Each step lets it count as having come ten seconds earlier. */
export type Priority = 'low' | 'normal' | 'high' | 'critical';

/** Memory that is wanted. */
export interface AllocationRequest {
  /** MiB on each GPU; above 0, fractions allowed. */
  vramRequired: number;
  /** Default `normal`. */
  priority?: Priority;
  /** Ms the lease lives unless it is renewed; default 60,000. It may end sooner where it was granted on the promise to end before somebody who waits needs its memory: `expiresAt` says when. */
  duration?: number;
  /** On so many GPUs, all of them or none; default 1. */
  gpus?: number;
  /** How many ms to wait in line; 0: an answer now. Default 30,000. */
  waitMs?: number;
  /** Whether requests of a higher priority may take it back. Default `false`. */
  preemptible?: boolean;
  /** How many ms there are then to give it back; default 5,000. */
  graceMs?: number;
  /** On whose account, for people; default `default`. */
  owner?: string;
  /** What it is for, for people. */
  model?: string;
  /** Only on these, by index; absent: any. */
  devices?: number[];
  /** Ends the waiting with `UAT_CANCELLED`; a lease that was granted just then is given back. */
  signal?: AbortSignal;
}

/** Why and until when a lease is taken back. */
export interface Preemption {
  /** Ms until it ends in any case. */
  graceMs: number;
  /** Of the request that it is for. */
  byPriority: Priority;
}

/** Memory that is held: until it is released, its time is over, or it is taken back. */
export interface Allocation {
  readonly id: string;
  /** Greater than that of every lease before: whoever keeps the greatest one that it has seen can refuse a holder that is late. */
  readonly fencingToken: number;
  readonly gpus: { index: number; uuid: string; vramMb: number }[];
  /** Ms since 1970; `Infinity` of the memory of a warm model. */
  readonly expiresAt: number;
  /** Ms for which it was waited. */
  readonly waitedMs: number;
  /**
   * Lets it live so many ms from now (default: as long as it was asked for), or for as long as the promise allows on which it was granted.
   *
   * @returns Until when, in ms since 1970.
   * @throws {UniversalAiError} `UAT_LEASE_EXPIRED`: it has ended; `UAT_PREEMPTED`: it was taken back; `UAT_CLOSED`.
   */
  renew(duration?: number): Promise<number>;
  /** Gives it back. @throws {UniversalAiError} As `renew`; `UAT_LEASE_EXPIRED` also where it was released before. */
  release(): Promise<void>;
  /**
   * Calls `listener` when the lease is to be given back, which ends then in any case; at once if it has been told already. With mode `host` also,
   * with `graceMs` 0 and `byPriority` `critical`, where the daemon has ended and the one that came after it does not know the lease.
   */
  onPreempt(listener: (info: Preemption) => void): void;
  /** Gives it back where it has not ended: for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A GPU. `null`: the driver does not tell. */
export interface GpuUsage {
  index: number;
  /** Empty where the driver has not told it. */
  uuid: string;
  name: string;
  totalMb: number;
  /** What the driver calls used, by whomever. */
  usedMb: number;
  /** What leases say. */
  leasedMb: number;
  /** What leases do not explain. */
  externalMb: number;
  /** What may be leased now. */
  freeMb: number;
  /** Percent. */
  utilization: number | null;
  temperatureC: number | null;
  powerW: number | null;
  processes: { pid: number; usedMb: number | null }[];
  /** `high`: less than 15 % may be leased; `critical`: less than 5 %, or the GPU has vanished. */
  pressure: 'ok' | 'high' | 'critical';
}

/** A lease, or a request that waits. */
export interface LeaseInfo {
  /** Of a request that waits not that of the lease that it will get. */
  id: string;
  /** Of a warm model its name. */
  owner: string;
  model?: string;
  priority: Priority;
  /** Empty for a request that waits. */
  gpus: { index: number; vramMb: number }[];
  /** Ms since 1970. `queued`: until when it waits. `Infinity`: a warm model. */
  expiresAt: number;
  pid: number;
  /** `grace`: its holder was asked to give it back. `queued`: it waits. */
  state: 'active' | 'grace' | 'queued';
}

/** How a model would be run. */
export interface EstimateOptions {
  /** Tokens that the cache holds; default: as many as the model was trained on. */
  contextTokens?: number;
  /** How keys and values are kept; default `f16`. */
  kvType?: 'f16' | 'q8_0' | 'q4_0';
  /** Tokens that are computed at a time; default 512. */
  batchTokens?: number;
  /** Default `true`. */
  flashAttention?: boolean;
  /** Layers on the GPU, the output counted as one; default: all. */
  gpuLayers?: number;
  /** Conversations at a time, which share the cache; default 1. */
  parallel?: number;
}

/** What a model takes of a GPU; what stays in the machine's own memory does not count. */
export interface MemoryEstimate {
  weightsMb: number;
  kvCacheMb: number;
  computeMb: number;
  totalMb: number;
  confidence: 'exact' | 'formula' | 'calibrated';
  /** Total of each GPU, where there are several. */
  perDevice?: number[];
}

/** Which GPUs there are, and how they are watched. */
export interface ResourceManagerOptions {
  /** `auto` (default): NVML where it is found, else none. `nvml`: NVML or `UAT_NO_GPU`. `fake`: GPUs that are made up. */
  driver?: 'auto' | 'nvml' | 'fake' | 'none';
  /** NVML's library, where it is not at a usual place. */
  nvmlPath?: string;
  /** With `fake`, which it implies; default one of 24,576 MiB. */
  fakeGpus?: { name?: string; totalMb: number }[];
  /** Who shares the GPUs: the parts of this process (default), or with `host` all processes of this user, through `uat gpu daemon` or `uat serve`. `redis` is not supported yet. */
  mode?: 'process' | 'host' | 'redis';
  /** With `host`: the daemon's socket; default `UAT_GPU_SOCKET`, else where `uat gpu daemon` listens without being told. */
  socketPath?: string;
  redisUrl?: string;
  /** MiB of each GPU that are never given out: what drivers and libraries take without being asked. Default 256. */
  headroomMb?: number;
  /** How often the driver is read, in ms; default 500. */
  pollMs?: number;
}

/** A model that is loaded when it is used and unloaded when its memory is needed. */
export interface WarmModel {
  name: string;
  /** MiB of an instance. */
  vramMb: number;
  /** How long a load takes, until one was measured; default 5,000. */
  loadMs?: number;
  /** Puts an instance into the memory that it is given. A rejection reaches one of those that wait for the model. */
  load: (allocation: Allocation) => Promise<void>;
  /** Takes the instance out that was loaded with this allocation. A rejection is a warning of the process (`UAT_UNLOAD_FAILED`); what the instance still takes counts as used by others then. */
  unload: (allocation: Allocation) => Promise<void>;
  /**
   * Instances at most, each on a GPU of its own; default 1, which serves any number of uses at once. Of several each serves one use at a
   * time, and another is loaded where that spares those that wait more than it costs.
   */
  replicas?: number;
}

/** How a model is used. */
export interface UseOptions {
  /** Default `normal`. */
  priority?: Priority;
  /** How many ms to wait; default 30,000. */
  waitMs?: number;
  /** Ends the waiting, not the use. */
  signal?: AbortSignal;
}

/** What shall be free. */
export interface OptimizeMemoryOptions {
  /** MiB on each GPU, or on `device`. Absent: whatever costs less to load again than it blocks goes. */
  targetFreeMb?: number;
  device?: number;
}

/** What was unloaded. */
export interface OptimizedMemory {
  freedMb: number;
  /** The models' names, one for each instance. */
  unloaded: string[];
}
