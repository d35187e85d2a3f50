/** The ledger of one device. Bytes. `manager/device.rs`. */

import type { DeviceState } from './event.js';

/** What was leased until then. */
interface Past {
  readonly when: number;
  readonly bytes: number;
}

function sumOf(pasts: readonly Past[]): number {
  let sum = 0;
  for (const { bytes } of pasts) sum += bytes;
  return sum;
}

/** What is left of the past when the driver was asked at `began`. */
function since(pasts: Past[], began: number | undefined): Past[] {
  if (pasts.length === 0) return pasts;
  return began === undefined ? [] : pasts.filter(({ when }) => began <= when);
}

/** What one holder has of a device. */
export class Holding {
  /** Bytes that its leases say. */
  leased = 0;
  /** Bytes that it uses, where the driver tells. */
  used: number | null = null;
  /** Whether it used more at the last reading, which it is then known for until another one says otherwise, whether it has a lease or not. */
  isReported = false;
  /** What it had leased until it was taken from it: it may have taken that since the driver was read, so that it counts as leased until a reading that began later. */
  ended: Past[] = [];
  /** What it gave back that the driver was not asked about since. Nobody says that it still uses it. */
  returned: Past[] = [];

  /** What it has leased and not taken yet, and what it had leased until just now. */
  unmet(): number {
    return Math.max(0, this.leased + sumOf(this.ended) - (this.used ?? 0));
  }

  /** The same as far as it is of leases that have ended. */
  unmetOfEnded(): number {
    return this.ended.length === 0 ? 0 : this.unmet() - Math.max(0, this.leased - (this.used ?? 0));
  }

  /** Whether nothing is known of it that counts. */
  isEmpty(): boolean {
    return this.leased === 0 && this.ended.length === 0 && this.returned.length === 0 && !this.isReported;
  }

  /** Whether it uses more than it has, or had when the driver was asked. */
  usesMore(headroom: number): boolean {
    return (this.used ?? 0) > this.leased + sumOf(this.ended) + sumOf(this.returned) + headroom;
  }

  /** Gives so much back, of which it uses no more than it did. */
  returns(when: number, given: number): void {
    const bytes = Math.min(given, Math.max(0, (this.used ?? 0) - sumOf(this.returned)));
    if (bytes > 0) this.returned.push({ when, bytes });
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
    if (lost) return;
    for (const holding of this.holders.values()) {
      holding.used = null;
      holding.ended = since(holding.ended, began);
      holding.returned = since(holding.returned, began);
    }
    for (const { holder, bytes } of used) {
      // Whoever has no lease here is one of the others: what it uses is not free, and that is all.
      const holding = this.holders.get(holder);
      if (holding !== undefined) holding.used = bytes;
    }
    [this.#unmet, this.#unmetOfEnded] = [0, 0];
    for (const holding of this.holders.values()) this.#count(holding, 1);
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

  /** A holder has so much less: it said so itself, and is believed, or it was taken from it. */
  giveBack(holder: number, bytes: number, now: number, isReturned: boolean): void {
    const holding = this.holders.get(holder);
    if (holding === undefined) return;
    this.#count(holding, -1);
    holding.leased = Math.max(0, holding.leased - bytes);
    if (isReturned) holding.returns(now, bytes);
    else holding.ended.push({ when: now, bytes });
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
    // Nobody knows.
    if (this.isLost) return 0;
    let ours = 0;
    for (const { leased, used } of this.holders.values()) if (leased > 0) ours += used ?? 0;
    return Math.max(0, this.total - this.driverFree - ours);
  }
}
