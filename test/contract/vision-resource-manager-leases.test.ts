// What leases are, in whichever mode: among the parts of one process, and among processes through a daemon.

import { afterEach, describe, expect, it } from 'vitest';

import { type Allocation, type AllocationRequest, type Preemption, VisionResourceManager } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf } from '../support/errors.js';
import { GpuDaemon } from '../support/gpu-daemon.js';
import { until } from '../support/until.js';

const GIB = 1024;

eachBackend(backend => {
  describe.each(['process', 'host'] as const)('mode %s', mode => {
    const open: VisionResourceManager[] = [];
    const daemons: GpuDaemon[] = [];
    /** A manager of GPUs with so many GiB each, of which nothing is kept. */
    const gpus = async (gib: number[]): Promise<VisionResourceManager> => {
      const totalMb = gib.map(gib => gib * GIB);
      if (mode === 'host') daemons.push(await GpuDaemon.start(totalMb));
      const manager = VisionResourceManager.getInstance(mode === 'host' ? { mode, socketPath: daemons.at(-1)!.socket } : { fakeGpus: totalMb.map(totalMb => ({ totalMb })), headroomMb: 0 });
      open.push(manager);
      return manager;
    };
    afterEach(async () => {
      for (const one of open.splice(0)) await one.close();
      for (const one of daemons.splice(0)) await one.stop();
    });
    /** So many wait. */
    const waiting = (manager: VisionResourceManager, many: number): Promise<void> => until(async () => (await manager.leases()).filter(({ state }) => state === 'queued').length === many);

    describe('leases', () => {
      it('are given out at once where there is room, and say where, for how long and under which number', async () => {
        const manager = await gpus([24]);
        const before = Date.now();
        const allocation = await manager.allocateResources({ vramRequired: 4096, priority: 'high', duration: 30_000 });
        expect(allocation.gpus).toEqual([{ index: 0, uuid: 'GPU-00000000-0000-0000-0000-000000000000', vramMb: 4096 }]);
        expect(allocation.waitedMs).toBe(0);
        expect(allocation.expiresAt - before).toBeGreaterThanOrEqual(29_900);
        expect(allocation.expiresAt).toBeLessThanOrEqual(Date.now() + 30_000);
        expect(manager.backend.kind).toBe(backend);
        const next = await manager.allocateResources({ vramRequired: 1 });
        expect(next.fencingToken).toBeGreaterThan(allocation.fencingToken);
        expect(next.id).not.toBe(allocation.id);
      });

      it('end once: whoever releases twice, or renews what it released, is told', async () => {
        const allocation = await (await gpus([8])).allocateResources({ vramRequired: GIB });
        await allocation.release();
        expect(await errorOf(allocation.release())).toMatchObject({ code: 'UAT_LEASE_EXPIRED', retryable: true });
        expect((await errorOf(allocation.renew())).code).toBe('UAT_LEASE_EXPIRED');
      });

      it('live on when they are renewed, from now', async () => {
        const allocation = await (await gpus([8])).allocateResources({ vramRequired: GIB, duration: 60_000 });
        const end = await allocation.renew(3_600_000);
        expect(end).toBe(allocation.expiresAt);
        expect(end - Date.now()).toBeGreaterThan(3_500_000);
        expect(await allocation.renew() - Date.now()).toBeLessThanOrEqual(60_000);
      });

      it('end by themselves when their time is over, and their memory is given to those that wait', async () => {
        const manager = await gpus([8]);
        const first = await manager.allocateResources({ vramRequired: 8 * GIB, duration: 100 });
        const second = await manager.allocateResources({ vramRequired: 8 * GIB });
        expect(second.waitedMs).toBeGreaterThan(0);
        expect((await errorOf(first.renew())).code).toBe('UAT_LEASE_EXPIRED');
      });

      it('are given back at the end of the block that they are used in', async () => {
        const manager = await gpus([8]);
        {
          await using allocation = await manager.allocateResources({ vramRequired: 8 * GIB });
          expect(allocation.gpus).toHaveLength(1);
          expect(await manager.leases()).toHaveLength(1);
        }
        expect(await manager.leases()).toEqual([]);
      });

      it('that have ended are no trouble at the end of their block', async () => {
        const manager = await gpus([8]);
        const allocation = await manager.allocateResources({ vramRequired: GIB });
        await allocation.release();
        await allocation[Symbol.asyncDispose]();
        const last = await manager.allocateResources({ vramRequired: GIB });
        await manager.close();
        await last[Symbol.asyncDispose]();
        expect((await errorOf(last.release())).code).toBe('UAT_CLOSED');
      });

      it('are listed with whose they are, and so are those that wait', async () => {
        const manager = await gpus([8]);
        await manager.allocateResources({ vramRequired: 6 * GIB, owner: 'search', model: 'clip', priority: 'low' });
        const aborting = new AbortController();
        const waits = manager.allocateResources({ vramRequired: 4 * GIB, owner: 'chat', priority: 'high', waitMs: 60_000, signal: aborting.signal });
        await waiting(manager, 1);
        const [held, queued, ...more] = await manager.leases();
        expect(held).toMatchObject({ owner: 'search', model: 'clip', priority: 'low', gpus: [{ index: 0, vramMb: 6 * GIB }], pid: process.pid, state: 'active' });
        expect(queued).toMatchObject({ owner: 'chat', priority: 'high', gpus: [], pid: process.pid, state: 'queued' });
        expect(queued!.expiresAt - Date.now()).toBeGreaterThan(50_000);
        expect(queued).not.toHaveProperty('model');
        expect(more).toEqual([]);
        aborting.abort();
        await errorOf(waits);
      });
    });

    describe('waiting', () => {
      it('ends when memory comes back, first in line first', async () => {
        const manager = await gpus([8]);
        const first = await manager.allocateResources({ vramRequired: 8 * GIB });
        const order: string[] = [];
        const take = async (name: string, request: Partial<AllocationRequest>): Promise<void> => {
          const allocation = await manager.allocateResources({ vramRequired: 8 * GIB, ...request });
          order.push(name);
          await allocation.release();
        };
        const all = [take('normal', {}), take('low', { priority: 'low' }), take('high', { priority: 'high' })];
        await waiting(manager, 3);
        await first.release();
        await Promise.all(all);
        expect(order).toEqual(['high', 'normal', 'low']);
      });

      it('for nothing is an answer now, which says what is in the way', async () => {
        const manager = await gpus([8, 4]);
        await manager.allocateResources({ vramRequired: 5 * GIB, duration: 60_000 });
        const error = await errorOf(manager.allocateResources({ vramRequired: 6 * GIB, waitMs: 0 }));
        expect(error).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM', retryable: true, details: { askedMb: 6 * GIB, largestFreeMb: 4 * GIB, device: 1, leasedMb: 5 * GIB, externalMb: 0, canEverFit: true } });
        const { expectedWaitMs } = error.details;
        expect(expectedWaitMs).toBeGreaterThan(50_000);
        expect(expectedWaitMs).toBeLessThanOrEqual(60_000);
        expect(error.message).toBe(`6144 MiB were asked for, the largest free block has 4096 MiB (on GPU 1); leases hold 5120 MiB, other programs 0 MiB; what is in its way is expected to end within ${Math.ceil(Number(expectedWaitMs) / 1_000)} s, unless it is renewed; wait longer, ask for less, or release leases`);
      });

      it('is over when it was long enough', async () => {
        const manager = await gpus([8]);
        await manager.allocateResources({ vramRequired: 8 * GIB });
        expect((await errorOf(manager.allocateResources({ vramRequired: GIB, waitMs: 10 }))).code).toBe('UAT_INSUFFICIENT_VRAM');
        expect(await manager.leases()).toHaveLength(1);
      });

      it('is nothing for what can never fit', async () => {
        const error = await errorOf((await gpus([8])).allocateResources({ vramRequired: 9 * GIB, waitMs: 600_000 }));
        expect(error).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM', retryable: false, details: { canEverFit: false } });
      });

      it('ends with the signal, and nothing stays held', async () => {
        const manager = await gpus([8]);
        const first = await manager.allocateResources({ vramRequired: 8 * GIB });
        const aborting = new AbortController();
        const waits = manager.allocateResources({ vramRequired: 8 * GIB, waitMs: 600_000, signal: aborting.signal });
        await waiting(manager, 1);
        const reason = new Error('the user has left');
        aborting.abort(reason);
        expect(await errorOf(waits)).toMatchObject({ code: 'UAT_CANCELLED', cause: reason });
        await first.release();
        expect(await manager.leases()).toEqual([]);
      });

      it('whose lease was granted just before the signal gives it back', async () => {
        const manager = await gpus([8]);
        const first = await manager.allocateResources({ vramRequired: 8 * GIB });
        const aborting = new AbortController();
        const waits = manager.allocateResources({ vramRequired: 8 * GIB, signal: aborting.signal });
        const refused = errorOf(waits);
        await waiting(manager, 1);
        await Promise.all([first.release(), aborting.abort()]);
        expect((await refused).code).toBe('UAT_CANCELLED');
        expect(await manager.leases()).toEqual([]);
      });

      it('does not begin after the signal', async () => {
        const manager = await gpus([8]);
        expect((await errorOf(manager.allocateResources({ vramRequired: GIB, signal: AbortSignal.abort() }))).code).toBe('UAT_CANCELLED');
        expect(await manager.leases()).toEqual([]);
      });
    });

    describe('a lease that is preemptible', () => {
      const told = (allocation: Allocation): Promise<Preemption> => new Promise(resolve => allocation.onPreempt(resolve));

      it('is asked back for a request of higher priority, which gets it when it is released', async () => {
        const manager = await gpus([8]);
        const cheap = await manager.allocateResources({ vramRequired: 8 * GIB, priority: 'low', preemptible: true, graceMs: 60_000, duration: 600_000 });
        const asked = told(cheap);
        const dear = manager.allocateResources({ vramRequired: 8 * GIB, priority: 'critical' });
        const { graceMs, byPriority } = await asked;
        expect(byPriority).toBe('critical');
        expect(graceMs).toBeGreaterThan(59_000);
        expect(graceMs).toBeLessThanOrEqual(60_000);
        expect(cheap.expiresAt).toBeLessThanOrEqual(Date.now() + 60_000);
        expect((await manager.leases()).map(({ state }) => state)).toEqual(['grace', 'queued']);
        // It is told, too, if it asks only now.
        expect((await told(cheap)).byPriority).toBe('critical');
        await cheap.release();
        expect((await dear).waitedMs).toBeGreaterThanOrEqual(0);
      });

      it('ends when its grace is over, and its holder can tell that from an end by time', async () => {
        const manager = await gpus([8]);
        const cheap = await manager.allocateResources({ vramRequired: 8 * GIB, priority: 'low', preemptible: true, graceMs: 10 });
        await manager.allocateResources({ vramRequired: 8 * GIB, priority: 'high' });
        expect(await errorOf(cheap.release())).toMatchObject({ code: 'UAT_PREEMPTED', retryable: true });
        expect((await errorOf(cheap.renew())).code).toBe('UAT_PREEMPTED');
        await cheap[Symbol.asyncDispose]();
      });

      it('stays where no more important one asks, and where it is not preemptible', async () => {
        const manager = await gpus([8]);
        const equal = await manager.allocateResources({ vramRequired: 4 * GIB, preemptible: true, graceMs: 0 });
        const fixed = await manager.allocateResources({ vramRequired: 4 * GIB, priority: 'low' });
        await errorOf(manager.allocateResources({ vramRequired: 4 * GIB, waitMs: 10 }));
        await errorOf(manager.allocateResources({ vramRequired: 8 * GIB, waitMs: 10, priority: 'high' }));
        await fixed.release();
        await equal.release();
      });
    });

    describe('a gang', () => {
      it('gets all of its GPUs or none', async () => {
        const manager = await gpus([8, 8, 4]);
        const pair = await manager.allocateResources({ vramRequired: 6 * GIB, gpus: 2 });
        expect(pair.gpus.map(({ index, vramMb }) => [index, vramMb])).toEqual([[0, 6 * GIB], [1, 6 * GIB]]);
        expect((await errorOf(manager.allocateResources({ vramRequired: 3 * GIB, gpus: 2, waitMs: 0 }))).code).toBe('UAT_INSUFFICIENT_VRAM');
        expect((await manager.usage()).map(({ freeMb }) => freeMb)).toEqual([2 * GIB, 2 * GIB, 4 * GIB]);
      });

      it('can be larger than the machine only in vain', async () => {
        expect(await errorOf((await gpus([8])).allocateResources({ vramRequired: 1, gpus: 40 }))).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM', details: { canEverFit: false } });
      });

      it('goes where it is told to', async () => {
        const manager = await gpus([8, 8, 8, 8]);
        const pair = await manager.allocateResources({ vramRequired: GIB, gpus: 2, devices: [3, 1] });
        expect(pair.gpus.map(({ index }) => index).sort()).toEqual([1, 3]);
        expect(await errorOf(manager.allocateResources({ vramRequired: GIB, devices: [4] }))).toMatchObject({ code: 'UAT_INVALID_INPUT', message: 'request.devices[0]: expected the index of a GPU, 0 to 3, got 4' });
      });
    });

    describe('usage', () => {
      it('can be watched, until the signal', async () => {
        const manager = await gpus([8]);
        const aborting = new AbortController();
        const seen: number[] = [];
        for await (const [gpu] of manager.watch({ intervalMs: 1, signal: aborting.signal })) {
          seen.push(gpu!.leasedMb);
          if (seen.length === 1) await manager.allocateResources({ vramRequired: GIB });
          if (seen.length === 3) aborting.abort();
        }
        expect(seen).toEqual([0, GIB, GIB]);
      });

      it('is no longer watched once the manager is closed, even between two looks', async () => {
        const manager = await gpus([8]);
        let looks = 0;
        for await (const _ of manager.watch({ intervalMs: 1_000_000 })) {
          looks += 1;
          setImmediate(() => void manager.close());
        }
        expect(looks).toBe(1);
      });
    });

    it('a listener that throws keeps no other from being told', async () => {
      const manager = await gpus([8]);
      const cheap = await manager.allocateResources({ vramRequired: 8 * GIB, priority: 'low', preemptible: true });
      // In place of the test runner, which would take it for a failure of the test.
      const others = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      const heard = new Promise<Error>(resolve => process.once('uncaughtException', resolve));
      cheap.onPreempt(() => { throw new Error('a bug of the listener'); });
      const told = new Promise<Preemption>(resolve => cheap.onPreempt(resolve));
      const dear = manager.allocateResources({ vramRequired: 8 * GIB, priority: 'high' });
      expect((await told).byPriority).toBe('high');
      expect((await heard).message).toBe('a bug of the listener');
      for (const other of others) process.on('uncaughtException', other);
      await cheap.release();
      await dear;
    });
  });
});
