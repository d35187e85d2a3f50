/** GPUs that stand in memory, for trying things out where there are none. `gpu-driver/src/fake.rs`, without MIG instances and links, which nobody asks of this backend. */

import { UniversalAiError } from '../../errors.js';

/** One GPU at one moment. Bytes. */
export interface DeviceReading {
  readonly index: number;
  readonly uuid: string;
  readonly name: string;
  /** `undefined`: the device is lost. */
  readonly memory: { readonly total: number; readonly used: number; readonly free: number } | undefined;
  /** Percent. */
  readonly utilization: number | undefined;
  /** `used`: `undefined` where it does not tell. */
  readonly processes: readonly { readonly pid: number; readonly used: number | undefined }[];
}

interface Gpu {
  readonly name: string;
  readonly total: number;
  /** Used by nobody who is listed. */
  unlisted: number;
  readonly held: Map<number, number>;
  tellsProcesses: boolean;
  utilization: number;
  isLost: boolean;
}

/** The GPUs and what happens to them. */
export class FakeMachine {
  readonly #gpus: Gpu[];
  #vanished: string | undefined;

  constructor(gpus: readonly { readonly name?: string; readonly total: number }[]) {
    this.#gpus = gpus.map(({ name = 'Fake GPU', total }) => ({ name, total, unlisted: 0, held: new Map(), tellsProcesses: true, utilization: 0, isLost: false }));
  }

  /** A process holds so much from now on, in place of what it held; 0: it is gone. */
  hold(index: number, pid: number, bytes: number): void {
    const gpu = this.#gpu(index);
    check(index, gpu, gpu.held.get(pid) ?? 0, bytes);
    if (bytes === 0) gpu.held.delete(pid);
    else gpu.held.set(pid, bytes);
  }

  /** So much is used by nobody who is listed: a process in another container, say. */
  useUnlisted(index: number, bytes: number): void {
    const gpu = this.#gpu(index);
    check(index, gpu, gpu.unlisted, bytes);
    gpu.unlisted = bytes;
  }

  /** Whether the GPU tells how much each process uses; some drivers do not. */
  tellProcesses(index: number, tells: boolean): void {
    this.#gpu(index).tellsProcesses = tells;
  }

  /** How busy it is, in percent. */
  setUtilization(index: number, percent: number): void {
    this.#gpu(index).utilization = Math.min(percent, 100);
  }

  /** One GPU falls off the bus; what was on it is gone. */
  lose(index: number): void {
    const gpu = this.#gpu(index);
    gpu.isLost = true;
    gpu.held.clear();
    gpu.unlisted = 0;
  }

  /** A lost GPU is back, empty. */
  find(index: number): void {
    this.#gpu(index).isLost = false;
  }

  /** The driver goes, with this reason: every reading fails until it is back. */
  vanish(reason: string): void {
    this.#vanished = reason;
  }

  /** The driver is back, with all that was there. */
  restore(): void {
    this.#vanished = undefined;
  }

  /** All devices as they are now, or why there are none. */
  read(): DeviceReading[] | { readonly problem: string } {
    if (this.#vanished !== undefined) return { problem: `the driver behind the fake machine has gone: ${this.#vanished}; it is tried again at each reading` };
    return this.#gpus.map((gpu, index) => ({
      index,
      uuid: `GPU-00000000-0000-0000-0000-${index.toString(16).padStart(12, '0')}`,
      name: gpu.name,
      memory: gpu.isLost ? undefined : { total: gpu.total, used: used(gpu), free: Math.max(0, gpu.total - used(gpu)) },
      utilization: gpu.isLost ? undefined : gpu.utilization,
      processes: gpu.isLost ? [] : [...gpu.held].sort(([a], [b]) => a - b).map(([pid, held]) => ({ pid, used: gpu.tellsProcesses ? held : undefined })),
    }));
  }

  #gpu(index: number): Gpu {
    const gpu = this.#gpus[index];
    if (gpu === undefined) throw new UniversalAiError('UAT_INVALID_INPUT', `expected the index of one of ${this.#gpus.length} fake GPUs, got ${index}`);
    return gpu;
  }
}

function used({ unlisted, held }: Gpu): number {
  let sum = unlisted;
  for (const bytes of held.values()) sum += bytes;
  return sum;
}

/** Whether `asked` bytes fit in place of the `had` that are among the used ones. */
function check(index: number, gpu: Gpu, had: number, asked: number): void {
  const free = gpu.total - used(gpu) + had;
  if (asked > free) throw new UniversalAiError('UAT_INVALID_INPUT', `fake GPU ${index} is out of memory: ${asked} bytes asked for, ${free} free`);
}
