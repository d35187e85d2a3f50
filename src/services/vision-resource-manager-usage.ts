import { onAbort } from '../abort.js';
import type { DeviceUse, Held, Soon } from './vision-resource-manager-backend.js';
import type { GpuUsage, LeaseInfo } from './vision-resource-manager-types.js';

const MIB = 2 ** 20;
/** Below which share of free memory a GPU is under pressure: the next large model does not fit, or hardly anything does. */
const HIGH = 0.15;
const CRITICAL = 0.05;

export function toUsage({ index, uuid, name, total, used, leased, external, free, isLost, utilization, temperatureC, powerW, processes }: DeviceUse): GpuUsage {
  const share = isLost || total === 0 ? 0 : free / total;
  return {
    index,
    uuid,
    name,
    totalMb: total / MIB,
    usedMb: used / MIB,
    leasedMb: leased / MIB,
    externalMb: external / MIB,
    freeMb: free / MIB,
    utilization,
    temperatureC,
    powerW,
    processes: processes.map(({ pid, used }) => ({ pid, usedMb: used === null ? null : used / MIB })),
    pressure: share < CRITICAL ? 'critical' : share < HIGH ? 'high' : 'ok',
  };
}

export function toLease({ number, pid, owner, model, priority, shares, leftMs, state }: Held): LeaseInfo {
  return {
    id: state === 'queued' ? `queued-${number}` : String(number),
    owner,
    ...(model === undefined ? {} : { model }),
    priority,
    gpus: shares.map(({ device, bytes }) => ({ index: device, vramMb: bytes / MIB })),
    expiresAt: Date.now() + leftMs,
    pid: pid ?? process.pid,
    state,
  };
}

/** What `look` sees, at once and then every `intervalMs`, until one of the signals aborts. */
export async function* watching<T>(look: () => Soon<T>, intervalMs: number, signals: (AbortSignal | undefined)[]): AsyncGenerator<T, void, undefined> {
  const isOver = (): boolean => signals.some(signal => signal?.aborted === true);
  while (!isOver()) {
    yield await look();
    if (!isOver()) await pause(intervalMs, signals);
  }
}

async function pause(ms: number, signals: (AbortSignal | undefined)[]): Promise<void> {
  let letGo: (() => void)[] = [];
  await new Promise<void>(resolve => {
    const timer = setTimeout(resolve, ms);
    letGo = signals.map(signal => onAbort(signal, () => {
      clearTimeout(timer);
      resolve();
    }));
  });
  for (const go of letGo) go();
}
