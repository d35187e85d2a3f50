import { UniversalAiError } from '../errors.js';
import type { FlightTurn, RedisServiceBackend } from './redis-service-backend.js';
import type { CacheValue } from './redis-service-types.js';

/**
 * `getOrCompute`: one computation for any number of callers. In this process callers of one key join the flight that is
 * under way; across processes the backend's lease decides who computes. Shared by both backends, since `compute` is the
 * caller's JavaScript in either case.
 */

/** The lease lasts five seconds; three renewals fit into it, so that two may be late. */
const RENEW_EVERY_MS = 1_500;
/** Keys that were written together shall not expire together. */
const LARGEST_JITTER = 0.05;

type FlightBackend = Pick<RedisServiceBackend, 'flightBegin' | 'flightRenew' | 'flightFinish' | 'flightAbandon'>;
type Compute = () => Promise<CacheValue> | CacheValue;

export class Flights {
  readonly #backend: FlightBackend;
  readonly #check: (value: unknown) => CacheValue;
  readonly #random: () => number;
  readonly #flights = new Map<string, Promise<CacheValue>>();
  readonly #refreshing = new Set<string>();
  readonly #renewals = new Set<NodeJS.Timeout>();
  /** Refreshes in the background that failed; their callers had the old value. */
  failedRefreshes = 0;

  /**
   * @param check Refuses what cannot be stored.
   * @param random From 0 up to 1, for the jitter.
   */
  constructor(backend: FlightBackend, check: (value: unknown) => CacheValue, random: () => number = Math.random) {
    this.#backend = backend;
    this.#check = check;
    this.#random = random;
  }

  async getOrCompute(key: string, ttlMs: number, compute: Compute, staleMs: number): Promise<CacheValue> {
    const joined = this.#flights.get(key);
    if (joined !== undefined) return await joined;
    const flight = this.#fly(key, ttlMs, compute, staleMs).finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return await flight;
  }

  /** Lets the leases go with time. What is being computed goes on, as it is the caller's. */
  close(): void {
    for (const timer of this.#renewals) clearInterval(timer);
    this.#renewals.clear();
  }

  async #fly(key: string, ttlMs: number, compute: Compute, staleMs: number): Promise<CacheValue> {
    const turn: FlightTurn = await this.#backend.flightBegin(key, staleMs);
    switch (turn.state) {
      case 'fresh':
        return turn.value;
      case 'stale':
        if (turn.lease !== null) this.#refresh(key, turn.lease, ttlMs, compute, staleMs);
        return turn.value;
      case 'lead':
        return await this.#lead(key, turn.lease, ttlMs, compute, staleMs);
      case 'alone': {
        const value = this.#check(await compute());
        await this.#finish(key, null, value, ttlMs, staleMs);
        return value;
      }
    }
  }

  /** Not awaited by anybody: its failure is counted, and the next caller tries again. */
  #refresh(key: string, lease: string, ttlMs: number, compute: Compute, staleMs: number): void {
    // The lease may have been given although we still refresh, where ours ran out.
    if (this.#refreshing.has(key)) return;
    this.#refreshing.add(key);
    this.#lead(key, lease, ttlMs, compute, staleMs)
      .catch(() => { this.failedRefreshes += 1; })
      .finally(() => this.#refreshing.delete(key));
  }

  async #lead(key: string, lease: string, ttlMs: number, compute: Compute, staleMs: number): Promise<CacheValue> {
    const renewing = this.#renew(key, lease);
    let value: CacheValue;
    try {
      value = this.#check(await compute());
    } catch (error) {
      await this.#abandon(key, lease);
      throw error;
    } finally {
      clearInterval(renewing);
      this.#renewals.delete(renewing);
    }
    await this.#finish(key, lease, value, ttlMs, staleMs);
    return value;
  }

  async #finish(key: string, lease: string | null, value: CacheValue, ttlMs: number, staleMs: number): Promise<void> {
    try {
      await this.#backend.flightFinish(key, lease, value, this.#lifetime(ttlMs, staleMs));
    } catch (error) {
      if (lease !== null) await this.#abandon(key, lease);
      // A full Redis takes no value; the caller has it nevertheless.
      if (!(error instanceof UniversalAiError && error.code === 'UAT_STORAGE')) throw error;
    }
  }

  /** Where it fails, the lease ends by itself in five seconds. */
  async #abandon(key: string, lease: string): Promise<void> {
    await this.#backend.flightAbandon(key, lease).catch(() => undefined);
  }

  #renew(key: string, lease: string): NodeJS.Timeout {
    const timer = setInterval(() => {
      this.#backend.flightRenew(key, lease).then(ours => { if (!ours) clearInterval(timer); }, () => undefined); // Tried again in a moment.
    }, RENEW_EVERY_MS);
    timer.unref();
    this.#renewals.add(timer);
    return timer;
  }

  #lifetime(ttlMs: number, staleMs: number): number {
    return Math.max(1, Math.round(ttlMs * (1 - LARGEST_JITTER * this.#random()))) + staleMs;
  }
}
