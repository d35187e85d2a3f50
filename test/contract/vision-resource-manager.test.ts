import { afterEach, describe, expect, it } from 'vitest';

import { type AllocationRequest, type ResourceManagerOptions, VisionResourceManager } from '../../src/index.js';
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
      [{ mode: 'host', driver: 'none' }, 'UAT_INVALID_INPUT', 'options.driver: expected nothing with mode host, since the daemon is told that, got "none"'],
      [{ mode: 'host', socketPath: `/${'x'.repeat(107)}` }, 'UAT_INVALID_INPUT', "options.socketPath: expected a path of at most 107 bytes, as many as a Unix socket's may have, got a string of 108 characters"],
      [{ mode: 'redis', redisUrl: 'redis://127.0.0.1' }, 'UAT_UNSUPPORTED', 'options.mode: redis is not supported yet; take host, whose leases all processes of this user on this machine share'],
      [{ mode: 'host', redisUrl: 'redis://127.0.0.1' }, 'UAT_INVALID_INPUT', 'options.redisUrl: expected nothing with mode host, got "redis://127.0.0.1"'],
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

});
