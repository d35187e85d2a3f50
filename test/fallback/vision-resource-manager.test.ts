import { afterEach, describe, expect, it } from 'vitest';

import { FakeMachine } from '../../src/fallback/vision-resource-manager/fake-machine.js';
import { TypeScriptVisionResourceManager } from '../../src/fallback/vision-resource-manager/service.js';
import { type Grant, isWaiting, type News, type PreparedAllocation } from '../../src/services/vision-resource-manager-backend.js';
import { errorOf, thrownBy } from '../support/errors.js';

const GIB = 2 ** 30;

/** What happens to GPUs is told by their driver; here the tests are the driver's. */
describe('the TypeScript manager over a driver', () => {
  const open: TypeScriptVisionResourceManager[] = [];
  const over = (...gib: number[]): { machine: FakeMachine; manager: TypeScriptVisionResourceManager; news: News[] } => {
    const machine = new FakeMachine(gib.map(gib => ({ total: gib * GIB })));
    const news: News[] = [];
    const manager = new TypeScriptVisionResourceManager(machine, { driver: 'fake', headroom: 0, pollMs: 1_000_000 }, one => news.push(one));
    open.push(manager);
    return { machine, manager, news };
  };
  afterEach(() => { for (const one of open.splice(0)) one.close(); });
  const ask = (gib: number, more: Partial<PreparedAllocation> = {}): PreparedAllocation => ({ bytes: gib * GIB, gpus: 1, devices: undefined, priority: 'normal', durationMs: 60_000, waitMs: 0, preemptible: false, graceMs: 0, owner: 'default', model: undefined, ...more });

  it('gives out nothing of what other programs use, until they give it back', async () => {
    const { machine, manager } = over(8);
    machine.useUnlisted(0, 5 * GIB);
    manager.read();
    const error = thrownBy(() => manager.allocate(ask(6)));
    expect(error).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM', details: { largestFreeMb: 3072, externalMb: 5120 } });
    expect(error.message).toContain('other programs have the rest');
    const waits = manager.allocate(ask(6, { waitMs: 60_000 }));
    if (!isWaiting<Grant>(waits)) throw new Error('there is no room');
    machine.useUnlisted(0, 0);
    manager.read();
    expect((await waits.answer).shares).toEqual([{ device: 0, bytes: 6 * GIB }]);
  });

  it('tells a process that takes more than its lease, and gives it no more', async () => {
    const { machine, manager, news } = over(24);
    manager.allocate(ask(4));
    machine.hold(0, process.pid, 8 * GIB);
    manager.read();
    await Promise.resolve();
    expect(news).toEqual([{ kind: 'overuse', device: 0, leased: 4 * GIB, used: 8 * GIB }]);
    expect(thrownBy(() => manager.allocate(ask(1))).message).toContain('this process uses 8192 MiB of GPU 0 and has leased 4096 MiB there');
    expect(manager.usage()[0]).toMatchObject({ used: 8 * GIB, leased: 4 * GIB, external: 0, free: 16 * GIB, processes: [{ pid: process.pid, used: 8 * GIB }] });
  });

  it('does not take for nothing what a driver does not tell', () => {
    const { machine, manager } = over(24);
    machine.hold(0, 1, 2 * GIB);
    machine.tellProcesses(0, false);
    manager.read();
    expect(manager.usage()[0]).toMatchObject({ external: 2 * GIB, free: 22 * GIB, processes: [{ pid: 1, used: null }] });
  });

  it('gives out nothing of a GPU that is lost, or while the driver is gone, and keeps what is leased there', async () => {
    const { machine, manager } = over(8, 8);
    const held = manager.allocate(ask(4, { devices: [0] })) as Grant;
    machine.lose(0);
    manager.read();
    expect(manager.usage().map(({ isLost, free, utilization }) => [isLost, free, utilization])).toEqual([[true, 0, null], [false, 8 * GIB, 0]]);
    expect(manager.allocate(ask(4))).toMatchObject({ shares: [{ device: 1 }] });
    machine.vanish('unloaded');
    manager.read();
    expect(thrownBy(() => manager.allocate(ask(1))).code).toBe('UAT_INSUFFICIENT_VRAM');
    machine.find(0);
    machine.restore();
    manager.read();
    expect(manager.usage()[0]).toMatchObject({ isLost: false, leased: 4 * GIB, free: 4 * GIB });
    expect(manager.renew(held.lease, 1_000)).toBe(1_000);
  });

  it('answers all that wait when it is closed', async () => {
    const { manager } = over(8);
    manager.allocate(ask(8));
    const waits = manager.allocate(ask(8, { waitMs: 60_000 }));
    if (!isWaiting<Grant>(waits)) throw new Error('there is no room');
    manager.close();
    expect((await errorOf(waits.answer)).code).toBe('UAT_CLOSED');
  });
});

describe('a fake machine', () => {
  it('has no more than it has', () => {
    const machine = new FakeMachine([{ total: 8 }]);
    machine.hold(0, 1, 6);
    machine.hold(0, 1, 7);
    expect(thrownBy(() => machine.hold(0, 2, 2)).message).toContain('out of memory: 2 bytes asked for, 1 free');
    machine.hold(0, 1, 0);
    machine.useUnlisted(0, 8);
    expect(thrownBy(() => machine.lose(1)).message).toBe('expected the index of one of 1 fake GPUs, got 1');
  });
});
