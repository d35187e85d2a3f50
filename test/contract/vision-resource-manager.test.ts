import { afterEach, describe, expect, it } from 'vitest';

import { type Allocation, type AllocationRequest, type Preemption, type ResourceManagerOptions, VisionResourceManager } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf, thrownBy } from '../support/errors.js';

const GIB = 1024;

eachBackend(backend => {
  const open: VisionResourceManager[] = [];
  /** A manager of GPUs with so many GiB each, of which nothing is kept. */
  const gpus = (gib: number[], options: ResourceManagerOptions = {}): VisionResourceManager => {
    const manager = VisionResourceManager.getInstance({ fakeGpus: gib.map(gib => ({ totalMb: gib * GIB })), headroomMb: 0, ...options });
    open.push(manager);
    return manager;
  };
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });
  const queued = async (manager: VisionResourceManager): Promise<number> => (await manager.leases()).filter(({ state }) => state === 'queued').length;

  describe('leases', () => {
    it('are given out at once where there is room, and say where, for how long and under which number', async () => {
      const manager = gpus([24]);
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
      const allocation = await gpus([8]).allocateResources({ vramRequired: GIB });
      await allocation.release();
      expect(await errorOf(allocation.release())).toMatchObject({ code: 'UAT_LEASE_EXPIRED', retryable: true });
      expect((await errorOf(allocation.renew())).code).toBe('UAT_LEASE_EXPIRED');
    });

    it('live on when they are renewed, from now', async () => {
      const allocation = await gpus([8]).allocateResources({ vramRequired: GIB, duration: 60_000 });
      const end = await allocation.renew(3_600_000);
      expect(end).toBe(allocation.expiresAt);
      expect(end - Date.now()).toBeGreaterThan(3_500_000);
      expect(await allocation.renew() - Date.now()).toBeLessThanOrEqual(60_000);
    });

    it('end by themselves when their time is over, and their memory is given to those that wait', async () => {
      const manager = gpus([8]);
      const first = await manager.allocateResources({ vramRequired: 8 * GIB, duration: 20 });
      const second = await manager.allocateResources({ vramRequired: 8 * GIB });
      expect(second.waitedMs).toBeGreaterThan(0);
      expect((await errorOf(first.renew())).code).toBe('UAT_LEASE_EXPIRED');
    });

    it('are given back at the end of the block that they are used in', async () => {
      const manager = gpus([8]);
      {
        await using allocation = await manager.allocateResources({ vramRequired: 8 * GIB });
        expect(allocation.gpus).toHaveLength(1);
        expect(await manager.leases()).toHaveLength(1);
      }
      expect(await manager.leases()).toEqual([]);
    });

    it('that have ended are no trouble at the end of their block', async () => {
      const manager = gpus([8]);
      const allocation = await manager.allocateResources({ vramRequired: GIB });
      await allocation.release();
      await allocation[Symbol.asyncDispose]();
      const last = await manager.allocateResources({ vramRequired: GIB });
      await manager.close();
      await last[Symbol.asyncDispose]();
      expect((await errorOf(last.release())).code).toBe('UAT_CLOSED');
    });

    it('are listed with whose they are, and so are those that wait', async () => {
      const manager = gpus([8]);
      await manager.allocateResources({ vramRequired: 6 * GIB, owner: 'search', model: 'clip', priority: 'low' });
      const aborting = new AbortController();
      const waits = manager.allocateResources({ vramRequired: 4 * GIB, owner: 'chat', priority: 'high', waitMs: 60_000, signal: aborting.signal });
      const [held, waiting, ...more] = await manager.leases();
      expect(held).toMatchObject({ owner: 'search', model: 'clip', priority: 'low', gpus: [{ index: 0, vramMb: 6 * GIB }], pid: process.pid, state: 'active' });
      expect(waiting).toMatchObject({ owner: 'chat', priority: 'high', gpus: [], pid: process.pid, state: 'queued' });
      expect(waiting!.expiresAt - Date.now()).toBeGreaterThan(50_000);
      expect(waiting).not.toHaveProperty('model');
      expect(more).toEqual([]);
      aborting.abort();
      await errorOf(waits);
    });
  });

  describe('waiting', () => {
    it('ends when memory comes back, first in line first', async () => {
      const manager = gpus([8]);
      const first = await manager.allocateResources({ vramRequired: 8 * GIB });
      const order: string[] = [];
      const take = async (name: string, request: Partial<AllocationRequest>): Promise<void> => {
        const allocation = await manager.allocateResources({ vramRequired: 8 * GIB, ...request });
        order.push(name);
        await allocation.release();
      };
      const all = [take('normal', {}), take('low', { priority: 'low' }), take('high', { priority: 'high' })];
      await first.release();
      await Promise.all(all);
      expect(order).toEqual(['high', 'normal', 'low']);
    });

    it('for nothing is an answer now, which says what is in the way', async () => {
      const manager = gpus([8, 4]);
      await manager.allocateResources({ vramRequired: 5 * GIB });
      const error = await errorOf(manager.allocateResources({ vramRequired: 6 * GIB, waitMs: 0 }));
      expect(error).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM', retryable: true, details: { askedMb: 6 * GIB, largestFreeMb: 4 * GIB, device: 1, leasedMb: 5 * GIB, externalMb: 0, canEverFit: true } });
      expect(error.message).toBe('6144 MiB were asked for, the largest free block has 4096 MiB (on GPU 1); leases hold 5120 MiB, other programs 0 MiB; wait longer, ask for less, or release leases');
    });

    it('is over when it was long enough', async () => {
      const manager = gpus([8]);
      await manager.allocateResources({ vramRequired: 8 * GIB });
      expect((await errorOf(manager.allocateResources({ vramRequired: GIB, waitMs: 10 }))).code).toBe('UAT_INSUFFICIENT_VRAM');
      expect(await queued(manager)).toBe(0);
    });

    it('is nothing for what can never fit', async () => {
      const error = await errorOf(gpus([8]).allocateResources({ vramRequired: 9 * GIB, waitMs: 600_000 }));
      expect(error).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM', retryable: false, details: { canEverFit: false } });
    });

    it('ends with the signal, and nothing stays held', async () => {
      const manager = gpus([8]);
      const first = await manager.allocateResources({ vramRequired: 8 * GIB });
      const aborting = new AbortController();
      const waits = manager.allocateResources({ vramRequired: 8 * GIB, waitMs: 600_000, signal: aborting.signal });
      expect(await queued(manager)).toBe(1);
      const reason = new Error('the user has left');
      aborting.abort(reason);
      expect(await errorOf(waits)).toMatchObject({ code: 'UAT_CANCELLED', cause: reason });
      await first.release();
      expect(await manager.leases()).toEqual([]);
    });

    it('whose lease was granted just before the signal gives it back', async () => {
      const manager = gpus([8]);
      const first = await manager.allocateResources({ vramRequired: 8 * GIB });
      const aborting = new AbortController();
      const waits = manager.allocateResources({ vramRequired: 8 * GIB, signal: aborting.signal });
      await Promise.all([first.release(), aborting.abort()]);
      expect((await errorOf(waits)).code).toBe('UAT_CANCELLED');
      expect(await manager.leases()).toEqual([]);
    });

    it('does not begin after the signal', async () => {
      const manager = gpus([8]);
      expect((await errorOf(manager.allocateResources({ vramRequired: GIB, signal: AbortSignal.abort() }))).code).toBe('UAT_CANCELLED');
      expect(await manager.leases()).toEqual([]);
    });
  });

  describe('a lease that is preemptible', () => {
    const told = (allocation: Allocation): Promise<Preemption> => new Promise(resolve => allocation.onPreempt(resolve));

    it('is asked back for a request of higher priority, which gets it when it is released', async () => {
      const manager = gpus([8]);
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
      const manager = gpus([8]);
      const cheap = await manager.allocateResources({ vramRequired: 8 * GIB, priority: 'low', preemptible: true, graceMs: 10 });
      await manager.allocateResources({ vramRequired: 8 * GIB, priority: 'high' });
      expect(await errorOf(cheap.release())).toMatchObject({ code: 'UAT_PREEMPTED', retryable: true });
      expect((await errorOf(cheap.renew())).code).toBe('UAT_PREEMPTED');
      await cheap[Symbol.asyncDispose]();
    });

    it('stays where no more important one asks, and where it is not preemptible', async () => {
      const manager = gpus([8]);
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
      const manager = gpus([8, 8, 4]);
      const pair = await manager.allocateResources({ vramRequired: 6 * GIB, gpus: 2 });
      expect(pair.gpus.map(({ index, vramMb }) => [index, vramMb])).toEqual([[0, 6 * GIB], [1, 6 * GIB]]);
      expect((await errorOf(manager.allocateResources({ vramRequired: 3 * GIB, gpus: 2, waitMs: 0 }))).code).toBe('UAT_INSUFFICIENT_VRAM');
      expect((await manager.usage()).map(({ freeMb }) => freeMb)).toEqual([2 * GIB, 2 * GIB, 4 * GIB]);
    });

    it('can be larger than the machine only in vain', async () => {
      expect(await errorOf(gpus([8]).allocateResources({ vramRequired: 1, gpus: 40 }))).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM', details: { canEverFit: false } });
    });

    it('goes where it is told to', async () => {
      const manager = gpus([8, 8, 8, 8]);
      const pair = await manager.allocateResources({ vramRequired: GIB, gpus: 2, devices: [3, 1] });
      expect(pair.gpus.map(({ index }) => index).sort()).toEqual([1, 3]);
      expect(await errorOf(manager.allocateResources({ vramRequired: GIB, devices: [4] }))).toMatchObject({ code: 'UAT_INVALID_INPUT', message: 'request.devices[0]: expected the index of a GPU, 0 to 3, got 4' });
    });
  });

  describe('usage', () => {
    it('tells each GPU, what is leased of it and how much is left', async () => {
      const manager = VisionResourceManager.getInstance({ fakeGpus: [{ name: 'Test', totalMb: 24_576 }, { totalMb: 8_192 }], headroomMb: 256 });
      open.push(manager);
      await manager.allocateResources({ vramRequired: 7_500 });
      expect(await manager.usage()).toEqual([
        { index: 0, uuid: 'GPU-00000000-0000-0000-0000-000000000000', name: 'Test', totalMb: 24_576, usedMb: 0, leasedMb: 0, externalMb: 0, freeMb: 24_320, utilization: 0, temperatureC: null, powerW: null, processes: [], pressure: 'ok' },
        { index: 1, uuid: 'GPU-00000000-0000-0000-0000-000000000001', name: 'Fake GPU', totalMb: 8_192, usedMb: 0, leasedMb: 7_500, externalMb: 0, freeMb: 436, utilization: 0, temperatureC: null, powerW: null, processes: [], pressure: 'high' },
      ]);
      await manager.allocateResources({ vramRequired: 400 });
      expect((await manager.usage())[1]!.pressure).toBe('critical');
    });

    it('can be watched, until the signal', async () => {
      const manager = gpus([8]);
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
      const manager = gpus([8]);
      let looks = 0;
      for await (const _ of manager.watch({ intervalMs: 1_000_000 })) {
        looks += 1;
        setImmediate(() => void manager.close());
      }
      expect(looks).toBe(1);
    });
  });

  describe('there is one manager in a process', () => {
    it('for whoever asks without options, or with the same', async () => {
      const manager = gpus([8]);
      expect(VisionResourceManager.getInstance()).toBe(manager);
      expect(VisionResourceManager.getInstance({})).toBe(manager);
      expect(VisionResourceManager.getInstance({ fakeGpus: [{ totalMb: 8 * GIB }], headroomMb: 0 })).toBe(manager);
    });

    it('so other options are a conflict, which names the option', () => {
      gpus([8]);
      const error = thrownBy(() => VisionResourceManager.getInstance({ headroomMb: 512 }));
      expect(error).toMatchObject({ code: 'UAT_CONFLICT', details: { field: 'options.headroomMb' } });
      expect(thrownBy(() => VisionResourceManager.getInstance({ driver: 'none' })).code).toBe('UAT_CONFLICT');
      expect(thrownBy(() => VisionResourceManager.getInstance({ fakeGpus: [{ totalMb: 1 }] })).code).toBe('UAT_CONFLICT');
    });

    it('until it is closed; then another one is made', async () => {
      const manager = gpus([8]);
      const held = await manager.allocateResources({ vramRequired: 8 * GIB });
      const waits = manager.allocateResources({ vramRequired: 8 * GIB });
      const closing = manager.close();
      expect((await errorOf(waits)).code).toBe('UAT_CLOSED');
      await closing;
      expect(await manager.close()).toBeUndefined();
      for (const call of [manager.allocateResources({ vramRequired: 1 }), manager.usage(), manager.leases(), manager.optimizeMemory(), manager.estimateModel('model.gguf'), held.renew()]) {
        expect((await errorOf(call)).code).toBe('UAT_CLOSED');
      }
      expect(thrownBy(() => manager.watch()).code).toBe('UAT_CLOSED');
      const other = gpus([16]);
      expect(other).not.toBe(manager);
      expect(await other.leases()).toEqual([]);
      await other.allocateResources({ vramRequired: 16 * GIB });
    });
  });

  describe('without a GPU', () => {
    it('requests are told what was tried, at once, and everything else works', async () => {
      const manager = VisionResourceManager.getInstance({ driver: 'none' });
      open.push(manager);
      const error = await errorOf(manager.allocateResources({ vramRequired: 1, waitMs: 600_000 }));
      expect(error).toMatchObject({ code: 'UAT_NO_GPU', message: 'there is no GPU: none was asked for' });
      manager.registerModel({ name: 'm', vramMb: 1, load: async () => undefined, unload: async () => undefined });
      expect((await errorOf(manager.withModel('m', async () => undefined))).code).toBe('UAT_NO_GPU');
      expect(await manager.usage()).toEqual([]);
      expect(await manager.leases()).toEqual([]);
    });

    it('is no GPU, too, that NVML does not show', async () => {
      const nvmlPath = '/nowhere/libnvidia-ml.so.1';
      const said = backend === 'native' ? nvmlPath : 'install the native package';
      const error = thrownBy(() => VisionResourceManager.getInstance({ driver: 'nvml', nvmlPath }));
      expect(error.code).toBe('UAT_NO_GPU');
      expect(error.message).toContain(said);
      const manager = VisionResourceManager.getInstance({ driver: 'auto', nvmlPath });
      open.push(manager);
      expect((await errorOf(manager.allocateResources({ vramRequired: 1 }))).message).toContain(said);
    });
  });

  describe('what makes no sense is refused by name', () => {
    it.each<[unknown, string]>([
      [undefined, 'request: expected an object, got undefined'],
      [{}, 'request.vramRequired: expected a number of MiB above 0, at most 8589934592, got undefined'],
      [{ vramRequired: 0 }, 'request.vramRequired: expected a number of MiB above 0, at most 8589934592, got 0'],
      [{ vramRequired: -1 }, 'request.vramRequired: expected a number of MiB above 0, at most 8589934592, got -1'],
      [{ vramRequired: Number.NaN }, 'request.vramRequired: expected a number of MiB above 0, at most 8589934592, got NaN'],
      [{ vramRequired: Infinity }, 'request.vramRequired: expected a number of MiB above 0, at most 8589934592, got Infinity'],
      [{ vramRequired: '1' }, 'request.vramRequired: expected a number of MiB above 0, at most 8589934592, got "1"'],
      [{ vramRequired: 1, vram: 2 }, 'request.vram: expected only vramRequired, priority, duration, gpus, waitMs, preemptible, graceMs, owner, model, devices, signal, got 2'],
      [{ vramRequired: 1, priority: 'urgent' }, 'request.priority: expected one of low, normal, high, critical, got "urgent"'],
      [{ vramRequired: 1, duration: 0 }, 'request.duration: expected a number of ms above 0, got 0'],
      [{ vramRequired: 1, duration: Infinity }, 'request.duration: expected a number of ms above 0, got Infinity'],
      [{ vramRequired: 1, gpus: 0 }, 'request.gpus: expected a whole number from 1 to 1024, got 0'],
      [{ vramRequired: 1, gpus: 1.5 }, 'request.gpus: expected a whole number from 1 to 1024, got 1.5'],
      [{ vramRequired: 1, waitMs: -1 }, 'request.waitMs: expected a number of at least 0 and at most 4503599627370496, got -1'],
      [{ vramRequired: 1, preemptible: 1 }, 'request.preemptible: expected true or false, got 1'],
      [{ vramRequired: 1, graceMs: Number.NaN }, 'request.graceMs: expected a number of at least 0 and at most 4503599627370496, got NaN'],
      [{ vramRequired: 1, owner: '' }, 'request.owner: expected a string that is not empty, got an empty string'],
      [{ vramRequired: 1, model: 7 }, 'request.model: expected a string that is not empty, got 7'],
      [{ vramRequired: 1, devices: [] }, 'request.devices: expected an array of at least one index; leave it out for any GPU, got an empty array'],
      [{ vramRequired: 1, devices: [0, 0] }, 'request.devices[1]: expected each index once, got 0'],
      [{ vramRequired: 1, devices: [-1] }, 'request.devices[0]: expected a whole number from 0 to 1024, got -1'],
      [{ vramRequired: 1, devices: [1] }, 'request.devices[0]: expected the index of the only GPU, 0, got 1'],
      [{ vramRequired: 1, signal: 'stop' }, 'request.signal: expected an AbortSignal, got "stop"'],
    ])('%j: %s', async (request, message) => {
      expect(await errorOf(gpus([8]).allocateResources(request as AllocationRequest))).toMatchObject({ code: 'UAT_INVALID_INPUT', message });
    });

    it.each<[unknown, string, string]>([
      [{ driver: 'cuda' }, 'UAT_INVALID_INPUT', 'options.driver: expected one of auto, nvml, fake, none, got "cuda"'],
      [{ driver: 'none', fakeGpus: [] }, 'UAT_INVALID_INPUT', 'options.fakeGpus: expected nothing with driver none, got an empty array'],
      [{ fakeGpus: [{ totalMb: 0 }] }, 'UAT_INVALID_INPUT', 'options.fakeGpus[0].totalMb: expected a number of MiB above 0, at most 8589934592, got 0'],
      [{ driver: 'fake', nvmlPath: '/x' }, 'UAT_INVALID_INPUT', 'options.nvmlPath: expected nothing with driver fake, got "/x"'],
      [{ pollMs: 0 }, 'UAT_INVALID_INPUT', 'options.pollMs: expected a whole number from 1 to 2147483647, got 0'],
      [{ headroomMb: -1 }, 'UAT_INVALID_INPUT', 'options.headroomMb: expected a number of at least 0 and at most 8589934592, got -1'],
      [{ headroom: 1 }, 'UAT_INVALID_INPUT', 'options.headroom: expected only driver, nvmlPath, fakeGpus, mode, socketPath, redisUrl, headroomMb, pollMs, got 1'],
      [{ mode: 'host' }, 'UAT_UNSUPPORTED', 'options.mode: host is not supported yet; take process, whose leases this process alone sees'],
      [{ mode: 'redis', redisUrl: 'redis://127.0.0.1' }, 'UAT_UNSUPPORTED', 'options.mode: redis is not supported yet; take process, whose leases this process alone sees'],
      [{ socketPath: '/x' }, 'UAT_INVALID_INPUT', 'options.socketPath: expected nothing with mode process, got "/x"'],
    ])('getInstance(%j)', (options, code, message) => {
      expect(thrownBy(() => VisionResourceManager.getInstance(options as ResourceManagerOptions))).toMatchObject({ code, message });
    });

    it('of a lease, and of a watch', async () => {
      const manager = gpus([8]);
      const allocation = await manager.allocateResources({ vramRequired: 1 });
      expect((await errorOf(allocation.renew(Number.NaN))).message).toBe('duration: expected a number of ms above 0, got NaN');
      expect(thrownBy(() => allocation.onPreempt('listener' as never)).message).toBe('listener: expected a function, got "listener"');
      expect(thrownBy(() => manager.watch({ intervalMs: 0 })).code).toBe('UAT_INVALID_INPUT');
    });
  });

  it('a listener that throws keeps no other from being told', async () => {
    const manager = gpus([8]);
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
