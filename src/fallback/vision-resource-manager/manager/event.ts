/**
 * What a manager is told, in the form in which the Rust core writes it down. `manager/event.rs`.
 *
 * All numbers are whole, at least 0 and below 2^53: bytes of 8 PiB at most, and ms of 285,000 years. Whoever makes events
 * sees to that.
 */

/** How much a request matters. Each step lets it count as having come `Settings.aging_ms` earlier. */
export type Priority = 'low' | 'normal' | 'high' | 'critical';

/** The steps of priorities. */
export const RANK: Readonly<Record<Priority, number>> = { low: 0, normal: 1, high: 2, critical: 3 };

/** What is asked for with a `request`. */
export interface LeaseRequest {
  /** Its number: unique among those that wait or use a model. */
  readonly request: number;
  /** Who will hold it. */
  readonly holder: number;
  /** On whose account, for quotas and for people. */
  readonly owner: string;
  /** What it is for, for people. */
  readonly model?: string;
  /** Bytes on each device. */
  readonly bytes: number;
  /** On how many devices: all of them or none. */
  readonly gpus: number;
  /** Only on these; any where it is empty. */
  readonly devices?: readonly number[];
  readonly priority?: Priority;
  /** How long the lease lives unless it is renewed, in ms. */
  readonly duration_ms: number;
  /** How long to wait, in ms; 0: an answer now. */
  readonly wait_ms: number;
  /** Whether requests of a higher priority may take it back. */
  readonly preemptible?: boolean;
  /** How long its holder has then, in ms. */
  readonly grace_ms?: number;
}

/** What a process that uses memory takes of a device, in bytes; `null` where the driver cannot tell, which counts as 0. */
export interface Used {
  readonly holder: number;
  readonly bytes: number | null;
}

/** What a driver says of one device. Bytes. */
export interface DeviceState {
  readonly total: number;
  /** That nobody uses. */
  readonly free: number;
  /** What those take that hold leases; others are what is not free. */
  readonly used?: readonly Used[];
  /** Whether it has vanished. */
  readonly lost?: boolean;
}

/** A model that is loaded when somebody uses it and unloaded when its memory is needed. */
export interface WarmModel {
  /** The process that loads and unloads it. */
  readonly holder: number;
  /** Its name in that process. */
  readonly model: string;
  /** On whose account its instances are, for quotas and for people; its name where it is left out. */
  readonly owner?: string;
  /** Bytes of an instance. */
  readonly bytes: number;
  /** How long a load takes, in ms, until one was measured. */
  readonly load_ms: number;
  /** Instances at most. */
  readonly replicas: number;
  /** Uses of an instance at once; any number where it is left out. */
  readonly concurrency?: number;
}

/** What a manager is told. Times come beside it. */
export type Event =
  /** What the driver reads, device by device and always in the same order. `began_at`: when it was asked, where that was not now; what leases had that ended later is not given out yet. */
  | { readonly event: 'devices'; readonly devices: readonly DeviceState[]; readonly began_at?: number }
  /** Somebody wants a lease. */
  | ({ readonly event: 'request' } & LeaseRequest)
  /** Somebody does not want it any longer: of a lease or of a model's use. */
  | { readonly event: 'cancel'; readonly request: number; readonly holder: number }
  /** A lease shall live on, from now, for so many ms. */
  | { readonly event: 'renew'; readonly lease: number; readonly holder: number; readonly duration_ms: number }
  /** A lease is given back. */
  | { readonly event: 'release'; readonly lease: number; readonly holder: number }
  /** A process is gone, and what it held with it. */
  | { readonly event: 'holder_gone'; readonly holder: number }
  /** A process has a model that can be used. While it is in memory, or on its way there, a model that is registered again differs in `load_ms`, `replicas` and `concurrency` only. */
  | ({ readonly event: 'register' } & WarmModel)
  /** A process has a model no longer: not while it is in use or being loaded. Whoever waits for it is refused, and idle instances are unloaded. */
  | { readonly event: 'unregister'; readonly holder: number; readonly model: string }
  /** Somebody wants to use one, and waits so many ms. */
  | { readonly event: 'use'; readonly request: number; readonly holder: number; readonly model: string; readonly priority?: Priority; readonly wait_ms: number }
  /** A use has ended. */
  | { readonly event: 'done'; readonly request: number; readonly holder: number }
  /** An instance is loaded, which took so many ms. */
  | { readonly event: 'loaded'; readonly lease: number; readonly holder: number; readonly took_ms: number }
  /** It could not be loaded. Those that wait for it go on waiting, and it is tried again for the next that asks. */
  | { readonly event: 'load_failed'; readonly lease: number; readonly holder: number }
  /** An instance is unloaded: one that was to be, or that nobody uses. */
  | { readonly event: 'unloaded'; readonly lease: number; readonly holder: number }
  /** Idle models shall make room: so many bytes on each device, or on one. `null`: whatever costs less to load again than it blocks goes. */
  | { readonly event: 'optimize'; readonly target_free: number | null; readonly device: number | null }
  /** Time has passed. */
  | { readonly event: 'tick' };
