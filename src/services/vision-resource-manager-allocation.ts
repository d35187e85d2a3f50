import { UniversalAiError } from '../errors.js';
import type { Grant, News, Share, Soon } from './vision-resource-manager-backend.js';
import { aFunction, checkDuration } from './vision-resource-manager-request.js';
import type { Allocation, Preemption } from './vision-resource-manager-types.js';

const MIB = 2 ** 20;

/** What a lease needs of its manager. */
export interface Lessor {
  /** What is left then, in ms. @throws `UAT_LEASE_EXPIRED`, `UAT_PREEMPTED`, `UAT_CLOSED`. */
  renew(lease: number, durationMs: number): Soon<number>;
  /** @throws As `renew`. */
  release(lease: number): Soon<void>;
  uuid(device: number): string;
}

/** A lease has ended in one of these ways: there is nothing to give back. */
const ENDED = new Set(['UAT_LEASE_EXPIRED', 'UAT_PREEMPTED', 'UAT_CLOSED']);

/** A lease. */
export class LeaseAllocation implements Allocation {
  readonly id: string;
  readonly fencingToken: number;
  readonly gpus: { index: number; uuid: string; vramMb: number }[];
  readonly waitedMs: number;
  readonly #lessor: Lessor;
  readonly #durationMs: number;
  #expiresAt: number;
  #listeners: ((info: Preemption) => void)[] | undefined;
  #preempted: Extract<News, { kind: 'preempt' }> | undefined;

  constructor(lessor: Lessor, { lease, shares, leftMs, waitedMs }: Grant, durationMs: number) {
    this.id = String(lease);
    this.fencingToken = lease;
    this.gpus = gpusOf(lessor, shares);
    this.waitedMs = waitedMs;
    this.#lessor = lessor;
    this.#durationMs = durationMs;
    this.#expiresAt = Date.now() + leftMs;
  }

  get expiresAt(): number {
    return this.#expiresAt;
  }

  async renew(duration?: number): Promise<number> {
    const durationMs = duration === undefined ? this.#durationMs : checkDuration('duration', duration);
    const leftMs = await this.#lessor.renew(this.fencingToken, durationMs);
    this.#expiresAt = Date.now() + leftMs;
    return this.#expiresAt;
  }

  async release(): Promise<void> {
    return this.#lessor.release(this.fencingToken);
  }

  onPreempt(listener: (info: Preemption) => void): void {
    aFunction('listener', listener);
    (this.#listeners ??= []).push(listener);
    if (this.#preempted !== undefined) queueMicrotask(() => this.#tell(listener));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#lessor.release(this.fencingToken);
    } catch (error) {
      if (!(error instanceof UniversalAiError && ENDED.has(error.code))) throw error;
    }
  }

  /** @internal The manager wants it back. */
  preempt(news: Extract<News, { kind: 'preempt' }>): void {
    this.#preempted = news;
    this.#expiresAt = Date.now() + news.leftMs;
    for (const listener of this.#listeners ?? []) this.#tell(listener);
  }

  /** A listener that throws keeps nobody else from being told, and is heard of as from any event of Node's. */
  #tell(listener: (info: Preemption) => void): void {
    try {
      listener({ graceMs: Math.max(0, this.#expiresAt - Date.now()), byPriority: this.#preempted!.by });
    } catch (error) {
      process.nextTick(() => { throw error; });
    }
  }
}

/** The memory of a warm model's instance, which the manager takes back when nobody uses it: there is nothing to renew or release. */
export class ModelAllocation implements Allocation {
  readonly id: string;
  readonly fencingToken: number;
  readonly gpus: { index: number; uuid: string; vramMb: number }[];
  readonly expiresAt = Number.POSITIVE_INFINITY;
  readonly waitedMs: number;
  readonly #model: string;

  constructor(model: string, lease: number, gpus: Allocation['gpus'], waitedMs: number) {
    [this.id, this.fencingToken, this.gpus, this.waitedMs, this.#model] = [String(lease), lease, gpus, waitedMs, model];
  }

  async renew(duration?: number): Promise<number> {
    if (duration !== undefined) checkDuration('duration', duration);
    return this.expiresAt;
  }

  async release(): Promise<void> {
    throw new UniversalAiError('UAT_CONFLICT', `this memory belongs to the warm model \`${this.#model}\`, which is unloaded when its memory is needed; call optimizeMemory() to have idle models unloaded now`);
  }

  /** Nobody is preempted who uses a warm model. */
  onPreempt(listener: (info: Preemption) => void): void {
    aFunction('listener', listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** What users see of shares. */
export function gpusOf(lessor: Pick<Lessor, 'uuid'>, shares: readonly Share[]): Allocation['gpus'] {
  return shares.map(({ device, bytes }) => ({ index: device, uuid: lessor.uuid(device), vramMb: bytes / MIB }));
}
