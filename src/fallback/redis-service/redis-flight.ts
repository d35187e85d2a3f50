import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { UniversalAiError } from '../../errors.js';
import type { FlightTurn } from '../../services/redis-service-backend.js';
import type { CacheValue } from '../../services/redis-service-types.js';
import { AWAY, type Away, type Link } from './link.js';
import { isPassing } from './replies.js';
import { DELETE_IF_EQUAL, RENEW_IF_EQUAL } from './scripts.js';

/** Who computes a value of `getOrCompute`, decided among all processes by a lock in Redis that ends with its holder. */

/** A leader that died is missed for at most this long. */
const LEASE_MS = 5_000;
/** How often followers look: soon at first, as most values are computed quickly. */
const FIRST_POLL_MS = 10;
const LONGEST_POLL_MS = 100;

export interface Looked {
  value: CacheValue;
  /** `Infinity` for no expiry. */
  leftMs: number;
}

export class RedisFlights {
  readonly #link: Link;
  readonly #lockOf: (key: string) => string;
  readonly #look: (key: string) => Promise<Looked | undefined | Away>;

  /** @param look The value of a key, `undefined` for a miss. */
  constructor(link: Link, keyPrefix: string, look: (key: string) => Promise<Looked | undefined | Away>) {
    this.#link = link;
    this.#lockOf = key => `${keyPrefix}~uat:lock:${key}`;
    this.#look = look;
  }

  async begin(key: string, staleMs: number): Promise<FlightTurn> {
    for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_POLL_MS)) {
      const found = await this.#look(key);
      if (found === AWAY) return { state: 'alone' };
      if (found !== undefined && found.leftMs > staleMs) return { state: 'fresh', value: found.value };
      const lease = await this.#lock(key);
      if (lease === AWAY) return found === undefined ? { state: 'alone' } : { state: 'stale', value: found.value, lease: null };
      if (found !== undefined) return { state: 'stale', value: found.value, lease };
      if (lease !== null) return await this.#recheck(key, lease, staleMs);
      await sleep(pauseMs * (0.5 + Math.random() / 2));
    }
  }

  async renew(key: string, lease: string): Promise<boolean> {
    const kept = await this.#link.ask(() => this.#link.eval(RENEW_IF_EQUAL, this.#lockOf(key), lease, LEASE_MS));
    return kept !== 0;
  }

  async release(key: string, lease: string): Promise<void> {
    await this.#link.ask(() => this.#link.eval(DELETE_IF_EQUAL, this.#lockOf(key), lease));
  }

  /** The leader before may have finished between our look and our lock. */
  async #recheck(key: string, lease: string, staleMs: number): Promise<FlightTurn> {
    const found = await this.#look(key);
    if (found === AWAY || found === undefined || found.leftMs <= staleMs) return { state: 'lead', lease };
    await this.release(key, lease);
    return { state: 'fresh', value: found.value };
  }

  async #lock(key: string): Promise<string | null | Away> {
    const token = randomBytes(16).toString('hex');
    try {
      const reply = await this.#link.ask(() => this.#link.send('set', this.#lockOf(key), token, 'PX', LEASE_MS, 'NX'));
      if (reply === AWAY) return AWAY;
      return reply === null ? null : token;
    } catch (error) {
      // A full Redis or a replica takes no lock either.
      if (error instanceof UniversalAiError && isPassing(error)) return AWAY;
      throw error;
    }
  }
}
