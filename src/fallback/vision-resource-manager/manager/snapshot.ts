/** What there is, for those who look. `manager/snapshot.rs`. */

import type { Share } from './decision.js';
import type { Priority } from './event.js';
import type { Manager } from './manager.js';

/** A device, as it is given out. Bytes. */
export interface DeviceView {
  readonly total: number;
  /** What the driver calls used. */
  readonly used: number;
  /** What leases say. */
  readonly leased: number;
  /** What leases do not explain. */
  readonly external: number;
  /** What may be given out. */
  readonly free: number;
  /** Whether it has vanished. */
  readonly isLost: boolean;
}

/** A lease, for people. */
export interface LeaseView {
  /** Its number and fencing token. */
  readonly lease: number;
  readonly holder: number;
  /** On whose account. */
  readonly owner: string;
  /** What for. */
  readonly model: string | undefined;
  readonly priority: Priority;
  readonly shares: readonly Share[];
  /** When it ends, in ms; instances of warm models have no end. */
  readonly expiresAt: number | undefined;
  /** Whether its holder was asked to give it back. */
  readonly isInGrace: boolean;
  /** Whether it is a warm model, and how many use it. */
  readonly uses: number | undefined;
  /** Whether it is a warm model that is being loaded. */
  readonly isLoading: boolean;
  /** Whether its device has vanished. */
  readonly isLost: boolean;
}

/** One that waits. Times in ms. */
export interface WaitingView {
  readonly request: number;
  readonly holder: number;
  /** On whose account. */
  readonly owner: string;
  /** What for. */
  readonly model: string | undefined;
  readonly priority: Priority;
  /** Bytes on each device. */
  readonly bytes: number;
  /** On how many. */
  readonly gpus: number;
  readonly since: number;
  readonly deadline: number;
}

/** The devices, in the driver's order. */
export function devicesOf({ devices, settings: { headroom } }: Manager): DeviceView[] {
  return devices.map(device => ({
    total: device.total,
    used: device.total - device.driverFree,
    leased: device.leased,
    external: device.external(),
    free: device.free(headroom),
    isLost: device.isLost,
  }));
}

/** The leases, oldest first. */
export function leasesOf({ leases }: Manager): LeaseView[] {
  return [...leases.values()].map(({ id, holder, owner, model, priority, shares, expiresAt, preemptedBy, lost, instance }) => ({
    lease: id,
    holder,
    owner,
    model,
    priority,
    shares,
    expiresAt,
    isInGrace: preemptedBy !== undefined,
    uses: instance?.uses.length,
    isLoading: instance?.state === 'loading',
    isLost: lost,
  }));
}

/** Those that wait, first in line first. */
export function waitingOf(manager: Manager): WaitingView[] {
  return manager.waiting.map(({ request, priority, since, deadline, want }) => {
    const { bytes, gpus } = manager.wanted(want);
    const { model } = want.lease ?? manager.models[want.model]!.of;
    return { request, holder: manager.asker(want), owner: manager.ownerOf(want), model, priority, bytes, gpus, since, deadline };
  });
}

/** Bytes of a device that a holder has leased, where it has any. */
export function leasedOn({ devices }: Manager, holder: number, device: number): number | undefined {
  const leased = devices[device]?.holders.get(holder)?.leased;
  return leased === 0 ? undefined : leased;
}
