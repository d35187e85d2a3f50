/** What is said on the daemon's socket: sizes in bytes, times in ms. `vision-resource-manager/src/host/wire.rs`. */

import type { Refusal } from '../fallback/vision-resource-manager/manager/decision.js';
import type { Priority } from '../services/vision-resource-manager-types.js';

export interface WireLease {
  readonly lease: number;
  readonly gpus: readonly { readonly index: number; readonly uuid: string | null; readonly bytes: number }[];
  readonly expires_in_ms: number;
  readonly waited_ms: number;
}

export interface WireGpus {
  readonly gpus: readonly {
    readonly index: number;
    readonly uuid: string | null;
    readonly name: string | null;
    readonly total_bytes: number;
    readonly used_bytes: number;
    readonly leased_bytes: number;
    readonly external_bytes: number;
    readonly free_bytes: number;
    readonly utilization: number | null;
    readonly temperature_c: number | null;
    readonly power_w: number | null;
    readonly processes: readonly { readonly pid: number; readonly used_bytes: number | null }[];
    readonly closed: string | null;
  }[];
}

export interface WireHeld {
  readonly lease: number | null;
  readonly request: number | null;
  readonly state: 'active' | 'grace' | 'lost' | 'queued';
  readonly pid: number;
  readonly owner: string;
  readonly model: string | null;
  readonly priority: Priority;
  readonly gpus: WireLease['gpus'];
  readonly expires_in_ms: number | null;
}

export interface WireLeases {
  readonly leases: readonly WireHeld[];
}

/** `POST /v1/models`. */
export interface WireModel {
  readonly name: string;
  readonly bytes: number;
  readonly load_ms: number;
  readonly replicas: number;
  readonly concurrency?: number;
}

/** The answer to `POST /v1/models/{model}/uses`. */
export interface WireUse {
  readonly use: number;
  readonly lease: number;
  readonly waited_ms: number;
}

/** A warm model in memory, as `POST /v1/attach` tells of it. */
export interface WireInstance {
  readonly lease: number;
  readonly model: WireModel;
  readonly state: 'loading' | 'ready' | 'unloading';
  readonly uses: readonly number[];
}

/** `POST /v1/attach`. */
export interface WireAttach {
  readonly leases: readonly number[];
  readonly instances: readonly WireInstance[];
}

/** The answer to `POST /v1/optimize`. */
export interface WireOptimized {
  readonly unloaded: readonly { readonly lease: number; readonly pid: number; readonly model: string | null; readonly bytes: number }[];
}

export interface WireAttached {
  readonly leases: readonly number[];
  readonly ended: readonly number[];
}

export interface WireProblem {
  readonly error: { readonly code: string; readonly message: string; readonly retryable: boolean; readonly refusal?: Refusal };
}

/** A line of `GET /v1/events`. */
export type WireNotice =
  | { readonly event: 'listening'; readonly daemon: number }
  | { readonly event: 'preempt'; readonly lease: number; readonly grace_ms: number; readonly by_priority: Priority }
  | { readonly event: 'ended'; readonly lease: number; readonly reason: string }
  | { readonly event: 'lost' | 'found'; readonly lease: number }
  | { readonly event: 'load'; readonly lease: number; readonly model: string; readonly gpu: WireLease['gpus'][number] }
  | { readonly event: 'unload'; readonly lease: number }
  | { readonly event: 'overuse'; readonly device: number; readonly leased: number; readonly used: number };
