/** What owners may have at once. `manager/quota.rs`. */

import type { Decision, Refusal, Share } from './decision.js';
import type { Priority, WarmModel } from './event.js';
import { letGo } from './expiry.js';
import { isEvictable, isIdle, isReturning } from './lease.js';
import type { Manager } from './manager.js';
import { regretOf } from './models.js';
import type { Pass } from './waiting.js';

/** On whose account the instances of a model are. */
export function ownerOf({ owner, model }: WarmModel): string {
  return owner ?? model;
}

/** What is beyond the quota of an owner that gets so many bytes more. */
export function beyondQuota(manager: Manager, owner: string, bytes: number): number {
  const quota = manager.quotas.get(owner);
  return quota === undefined ? 0 : Math.max(0, manager.chargedTo(owner) + bytes - quota);
}

/** Why an owner will never get so many bytes at once. */
export function neverInQuota(manager: Manager, owner: string, bytes: number): Refusal | undefined {
  const quota = manager.quotas.get(owner);
  return quota === undefined || bytes <= quota ? undefined : { why: 'quota', quota, leased: manager.chargedTo(owner) };
}

/** Lets idle instances of an owner go until so many bytes of its quota are free, those first that cost others the least waiting. Where all of them do not do, or cost more than `worth` ms, all stay. */
export function makeQuota(manager: Manager, owner: string, bytes: number, priority: Priority, model: number | undefined, worth: number, pass: Pass, out: Decision[]): void {
  const { now, settings: { hold_ms: holdMs } } = manager;
  let missing = bytes;
  let most = 0;
  const idle: { cost: number; lease: number; has: number }[] = [];
  for (const lease of manager.leases.values()) {
    const { instance } = lease;
    if (lease.owner !== owner || instance === undefined) continue;
    const has = sum(lease.shares);
    if (isReturning(lease)) {
      missing -= has;
    } else if (isEvictable(instance, now, holdMs) && instance.model !== model) {
      idle.push({ cost: regretOf(manager, instance.model), lease: lease.id, has });
      most += has;
    } else if (isIdle(instance)) {
      pass.wakeAt(instance.last + holdMs);
    }
  }
  if (missing > most) return;
  idle.sort((a, b) => a.cost - b.cost || a.lease - b.lease);
  let [freed, costs] = [0, 0];
  const goes: number[] = [];
  for (const { cost, lease, has } of idle) {
    if (freed >= missing) break;
    freed += has;
    costs += cost;
    goes.push(lease);
  }
  if (costs >= worth) return;
  for (const lease of goes) letGo(manager, lease, priority, out);
}

export function sum(shares: readonly Share[]): number {
  let bytes = 0;
  for (const share of shares) bytes += share.bytes;
  return bytes;
}
