/** The ledger of one device. Bytes. `manager/device.rs`. */

import type { DeviceState } from './event.js';

/** What was leased until then. */
interface Past {
  readonly when: number;
  readonly bytes: number;
}

/** What one holder has of a device. */
export class Holding {
  /** Bytes that its leases say. */
  leased = 0;
  /** Bytes that it uses, where the driver tells. */
  used: number | null = null;
  /** Whether it was reported for using more. */
  isReported = false;
  /** What it had leased until it was taken from it: it may have taken that since the driver was read, so that it counts as leased until a reading that began later. */
  ended: Past[] = [];

  /** What it has leased and not taken yet, and what it had leased until just now. */
  unmet(): number {
    let all = this.leased;
    for (const { bytes } of this.ended) all += bytes;
    return Math.max(0, all - (this.used ?? 0));
  }

  /** The same as far as it is of leases that have ended. */
  unmetOfEnded(): number {
    return this.ended.length === 0 ? 0 : this.unmet() - Math.max(0, this.leased - (this.used ?? 0));
  }

  /** Whether nothing is known of it that counts. */
  isEmpty(): boolean {
    return this.leased === 0 && this.ended.length === 0;
  }
}

/** Less than any room that there is. */
const NOTHING = -(2 ** 63);

/**
 * One device.
 *
 * Free is what the driver calls free, less what holders have leased and not taken yet, less the headroom. What others use is
 * thereby never given out, and a holder that takes more than its lease counts with what it takes. What was taken back from a
 * holder counts as leased until the driver was asked again: it may have used it after the last time.
 */
export class Device {
  total = 0;
  driverFree = 0;
  isLost = false;
  readonly holders = new Map<number, Holding>();
  /** Sum over the holders. */
  leased = 0;
  #unmet = 0;
  /** As far as it is of leases that have ended. */
  #unmetOfEnded = 0;
  /** Whether a holder was reported at the last reading. */
  hasReports = false;
  /** Of leases that are on their way out. */
  returning = 0;
  /** Promised to requests that wait for what is on its way out. */
  claimed = 0;

  /** Takes what the driver says that was asked at `began`; left out: now. */
  read({ total, free, used = [], lost = false }: DeviceState, began: number | undefined): void {
    this.total = total;
    this.driverFree = Math.min(free, total);
    this.isLost = lost;
    for (const holding of this.holders.values()) {
      holding.used = null;
      if (!lost && holding.ended.length > 0) holding.ended = began === undefined ? [] : holding.ended.filter(({ when }) => began <= when);
    }
    for (const { holder, bytes } of used) {
      // Whoever has no lease here is one of the others: what it uses is not free, and that is all.
      const holding = this.holders.get(holder);
      if (holding !== undefined) holding.used = bytes;
    }
    [this.#unmet, this.#unmetOfEnded] = [0, 0];
    for (const [holder, holding] of this.holders) {
      if (holding.isEmpty()) this.holders.delete(holder);
      else this.#count(holding, 1);
    }
  }

  #count(holding: Holding, times: 1 | -1): void {
    this.#unmet += times * holding.unmet();
    this.#unmetOfEnded += times * holding.unmetOfEnded();
  }

  /** A holder has so much more. */
  lease(holder: number, bytes: number): void {
    let holding = this.holders.get(holder);
    if (holding === undefined) {
      holding = new Holding();
      this.holders.set(holder, holding);
    }
    this.#count(holding, -1);
    holding.leased += bytes;
    this.#count(holding, 1);
    this.leased += bytes;
  }

  /** A holder has so much less: it said so itself, and is believed, or it was taken from it at `ended`. */
  giveBack(holder: number, bytes: number, ended: number | undefined): void {
    const holding = this.holders.get(holder);
    if (holding === undefined) return;
    this.#count(holding, -1);
    holding.leased = Math.max(0, holding.leased - bytes);
    if (ended !== undefined) holding.ended.push({ when: ended, bytes });
    this.#count(holding, 1);
    this.leased = Math.max(0, this.leased - bytes);
    if (holding.isEmpty()) this.holders.delete(holder);
  }

  /** That may be given out now. */
  free(headroom: number): number {
    return this.isLost ? 0 : Math.max(0, this.driverFree - (this.#unmet + headroom));
  }

  /** That nobody has a claim on now; below zero where claims wait for more. */
  roomNow(headroom: number): number {
    return this.isLost ? NOTHING : this.driverFree - this.#unmet - headroom - this.claimed;
  }

  /** The same when all that is on its way out is out. */
  roomSoon(headroom: number): number {
    return this.roomNow(headroom) + this.returning + this.#unmetOfEnded;
  }

  /** That leases do not explain. */
  external(): number {
    let ours = 0;
    for (const { used } of this.holders.values()) ours += used ?? 0;
    return Math.max(0, this.total - this.driverFree - ours);
  }
}
