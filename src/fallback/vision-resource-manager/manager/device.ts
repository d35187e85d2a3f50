/** The ledger of one device. Bytes. `manager/device.rs`. */

import type { DeviceState } from './event.js';

/** What one holder has of a device. */
export class Holding {
  /** Bytes that its leases say. */
  leased = 0;
  /** Bytes that it uses, where the driver tells. */
  used: number | null = null;
  /** Whether it was reported for using more. */
  isReported = false;

  /** What it has leased and not taken yet. */
  unmet(): number {
    return Math.max(0, this.leased - (this.used ?? 0));
  }
}

/** Less than any room that there is. */
const NOTHING = -(2 ** 63);

/**
 * One device.
 *
 * Free is what the driver calls free, less what holders have leased and not taken yet, less the headroom. What others use is
 * thereby never given out, and a holder that takes more than its lease counts with what it takes.
 */
export class Device {
  total = 0;
  driverFree = 0;
  isLost = false;
  readonly holders = new Map<number, Holding>();
  /** Sum over the holders. */
  leased = 0;
  #unmet = 0;
  /** Whether a holder was reported at the last reading. */
  hasReports = false;
  /** Of leases that are on their way out. */
  returning = 0;
  /** Promised to requests that wait for what is on its way out. */
  claimed = 0;

  /** Takes what the driver says. */
  read({ total, free, used = [], lost = false }: DeviceState): void {
    this.total = total;
    this.driverFree = Math.min(free, total);
    this.isLost = lost;
    for (const holding of this.holders.values()) holding.used = null;
    for (const { holder, bytes } of used) {
      // Whoever has no lease here is one of the others: what it uses is not free, and that is all.
      const holding = this.holders.get(holder);
      if (holding !== undefined) holding.used = bytes;
    }
    this.#unmet = 0;
    for (const holding of this.holders.values()) this.#unmet += holding.unmet();
  }

  /** A holder has so much more. */
  lease(holder: number, bytes: number): void {
    let holding = this.holders.get(holder);
    if (holding === undefined) {
      holding = new Holding();
      this.holders.set(holder, holding);
    }
    const before = holding.unmet();
    holding.leased += bytes;
    this.#unmet += holding.unmet() - before;
    this.leased += bytes;
  }

  /** A holder has so much less. */
  giveBack(holder: number, bytes: number): void {
    const holding = this.holders.get(holder);
    if (holding === undefined) return;
    const before = holding.unmet();
    holding.leased = Math.max(0, holding.leased - bytes);
    this.#unmet += holding.unmet() - before;
    this.leased = Math.max(0, this.leased - bytes);
    if (holding.leased === 0) this.holders.delete(holder);
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
    return this.roomNow(headroom) + this.returning;
  }

  /** That leases do not explain. */
  external(): number {
    let ours = 0;
    for (const { used } of this.holders.values()) ours += used ?? 0;
    return Math.max(0, this.total - this.driverFree - ours);
  }
}
