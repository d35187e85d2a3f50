/** From what a driver reads to what the manager is told. `vision-resource-manager/src/service/readings.rs`. */

import type { DeviceReading } from './fake-machine.js';
import type { DeviceState } from './manager/event.js';

/** The devices; a fake machine's keep their places. */
export class Readings {
  /** What was read last of each. */
  readonly last: DeviceReading[] = [];
  /** Why nothing was read, where that is so. */
  problem: string | undefined;
  readonly #holder: number;

  /** @param holder Who holds what this process uses. */
  constructor(holder: number) {
    this.#holder = holder;
  }

  take(read: readonly DeviceReading[] | { readonly problem: string }): DeviceState[] {
    this.problem = 'problem' in read ? read.problem : undefined;
    const readings = 'problem' in read ? [] : read;
    for (const reading of readings) this.last[reading.index] = reading;
    return this.last.map(({ index }) => this.#state(readings[index], index));
  }

  #state(reading: DeviceReading | undefined, index: number): DeviceState {
    if (reading?.memory === undefined) return { total: this.last[index]?.memory?.total ?? 0, free: 0, lost: true };
    const { total, free } = reading.memory;
    const own = reading.processes.find(({ pid }) => pid === process.pid);
    return { total, free, ...(own === undefined ? {} : { used: [{ holder: this.#holder, bytes: own.used ?? null }] }) };
  }
}
