// What warm models are, in whichever mode: of one process alone, and beside those of others through a daemon.

import { afterEach, describe, expect, it, vi } from 'vitest';

import { type Allocation, type UniversalAiError, VisionResourceManager, type WarmModel } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf, thrownBy } from '../support/errors.js';
import { GpuDaemon } from '../support/gpu-daemon.js';
import { until } from '../support/until.js';

const GIB = 1024;

eachBackend(backend => {
  describe.each(['process', 'host'] as const)('mode %s', mode => {
    const open: VisionResourceManager[] = [];
    const daemons: GpuDaemon[] = [];
    const gpus = async (gib: number[]): Promise<VisionResourceManager> => {
      const totalMb = gib.map(gib => gib * GIB);
      if (mode === 'host') daemons.push(await GpuDaemon.start(totalMb));
      const manager = VisionResourceManager.getInstance(mode === 'host' ? { mode, socketPath: daemons.at(-1)!.socket } : { fakeGpus: totalMb.map(totalMb => ({ totalMb })), headroomMb: 0, pollMs: 5 });
      open.push(manager);
      return manager;
    };
    /** What happens to models, in order. */
    const happened: string[] = [];
    afterEach(async () => {
      for (const one of open.splice(0)) await one.close();
      for (const one of daemons.splice(0)) await one.stop();
      happened.length = 0;
    });

    const model = (name: string, gib: number, more: Partial<WarmModel> = {}): WarmModel => ({
      name,
      vramMb: gib * GIB,
      load: async () => { happened.push(`load ${name}`); },
      unload: async () => { happened.push(`unload ${name}`); },
      ...more,
    });
    /** A use that goes on until it is told to end. */
    const using = (manager: VisionResourceManager, name: string): { began: Promise<Allocation>; end: () => Promise<void> } => {
      let end = (): void => undefined;
      let begin: (allocation: Allocation) => void;
      const began = new Promise<Allocation>(resolve => { begin = resolve; });
      const ends = new Promise<void>(resolve => { end = resolve; });
      const used = manager.withModel(name, allocation => {
        begin(allocation);
        return ends;
      });
      return { began, end: () => { end(); return used; } };
    };

    describe('a warm model', () => {
      it('is loaded for its first use and stays for the next', async () => {
        const manager = await gpus([8]);
        manager.registerModel(model('chat', 6));
        expect(await manager.withModel('chat', async () => { happened.push('use'); return 7; })).toBe(7);
        await manager.withModel('chat', async () => { happened.push('use'); });
        expect(happened).toEqual(['load chat', 'use', 'use']);
        expect(await manager.leases()).toMatchObject([{ owner: 'chat', model: 'chat', gpus: [{ index: 0, vramMb: 6 * GIB }], expiresAt: Infinity, state: 'active' }]);
      });

      it('knows where it is, and its memory is the manager\'s to take back', async () => {
        const manager = await gpus([4, 8]);
        const seen: Allocation[] = [];
        manager.registerModel(model('chat', 6, { load: async allocation => { seen.push(allocation); } }));
        await manager.withModel('chat', async allocation => { seen.push(allocation); });
        for (const { gpus, expiresAt } of seen) expect({ gpus, expiresAt }).toEqual({ gpus: [{ index: 1, uuid: 'GPU-00000000-0000-0000-0000-000000000001', vramMb: 6 * GIB }], expiresAt: Infinity });
        expect(seen[0]!.fencingToken).toBe(seen[1]!.fencingToken);
        expect(await seen[0]!.renew()).toBe(Infinity);
        expect((await errorOf(seen[0]!.release())).code).toBe('UAT_CONFLICT');
        await seen[0]![Symbol.asyncDispose]();
        expect(await manager.leases()).toHaveLength(1);
      });

      it('is loaded once for all that want it at the same time', async () => {
        const manager = await gpus([8]);
        manager.registerModel(model('chat', 6));
        await Promise.all(Array.from({ length: 5 }, () => manager.withModel('chat', async () => { happened.push('use'); })));
        expect(happened).toEqual(['load chat', 'use', 'use', 'use', 'use', 'use']);
      });

      it('is unloaded when a lease needs its memory, and not while it is used', async () => {
        const manager = await gpus([8]);
        manager.registerModel(model('chat', 6));
        const { began, end } = using(manager, 'chat');
        await began;
        const wants = manager.allocateResources({ vramRequired: 6 * GIB });
        wants.then(() => happened.push('lease'), () => undefined);
        expect((await errorOf(manager.allocateResources({ vramRequired: 5 * GIB, waitMs: 20 }))).code).toBe('UAT_INSUFFICIENT_VRAM');
        expect(happened).toEqual(['load chat']);
        await end();
        await (await wants).release();
        expect(happened).toEqual(['load chat', 'unload chat', 'lease']);
      });

      it('makes room for another one', async () => {
        const manager = await gpus([8]);
        manager.registerModel(model('chat', 6));
        manager.registerModel(model('image', 6));
        await manager.withModel('chat', async () => undefined);
        await manager.withModel('image', async () => { happened.push('use image'); });
        expect(happened).toEqual(['load chat', 'unload chat', 'load image', 'use image']);
      });

      it('that cannot be loaded is that for the caller that waits, and is tried again for the next', async () => {
        const manager = await gpus([8]);
        const cause = new Error('the file is cut');
        let isCut = true;
        manager.registerModel(model('chat', 6, { load: async () => { if (isCut) throw cause; } }));
        const error = await errorOf(manager.withModel('chat', async () => undefined));
        expect(error).toMatchObject({ code: 'UAT_ENGINE_UNAVAILABLE', retryable: true, cause, details: { model: 'chat' } });
        expect(error.message).toContain('the file is cut');
        expect(await manager.leases()).toEqual([]);
        isCut = false;
        expect(await manager.withModel('chat', async () => 'answer')).toBe('answer');
      });

      it('whose load throws before it returns a promise is no different', async () => {
        const manager = await gpus([8]);
        manager.registerModel(model('chat', 6, { load: () => { throw new Error('at once'); } }));
        expect((await errorOf(manager.withModel('chat', async () => undefined))).code).toBe('UAT_ENGINE_UNAVAILABLE');
      });

      it('that cannot be unloaded is warned of, and keeps nobody waiting', async () => {
        const manager = await gpus([8]);
        manager.registerModel(model('chat', 6, { unload: async () => { throw new Error('it hangs'); } }));
        await manager.withModel('chat', async () => undefined);
        const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
        await manager.allocateResources({ vramRequired: 8 * GIB });
        expect(warned).toHaveBeenCalledWith(expect.stringContaining('the model `chat` could not be unloaded: it hangs'), expect.objectContaining({ code: 'UAT_UNLOAD_FAILED' }));
        warned.mockRestore();
      });

      it('gives what its use throws, and is idle afterwards', async () => {
        const manager = await gpus([8]);
        manager.registerModel(model('chat', 8));
        const bug = new Error('a bug of the caller');
        await expect(manager.withModel('chat', async () => { throw bug; })).rejects.toBe(bug);
        await manager.allocateResources({ vramRequired: 8 * GIB });
        expect(happened).toEqual(['load chat', 'unload chat']);
      });

      it('with replicas serves one use at a time with each, on a GPU of its own, and each is unloaded by the allocation that it was loaded with', async () => {
        const manager = await gpus([8, 8]);
        const [loaded, unloaded]: number[][] = [[], []];
        manager.registerModel(model('chat', 6, {
          replicas: 2,
          load: async ({ fencingToken }) => { loaded!.push(fencingToken); },
          unload: async ({ fencingToken }) => { unloaded!.push(fencingToken); },
        }));
        const uses = [using(manager, 'chat'), using(manager, 'chat'), using(manager, 'chat')];
        const places: number[] = [];
        for (const { began } of uses) void began.then(({ gpus }) => places.push(gpus[0]!.index));
        // Which two they are is not said: through a daemon whoever asks first is not always heard first.
        await until(() => places.length === 2);
        expect(places.sort()).toEqual([0, 1]);
        await Promise.all(uses.map(({ end }) => end()));
        expect(await manager.optimizeMemory({ targetFreeMb: 8 * GIB })).toEqual({ freedMb: 12 * GIB, unloaded: ['chat', 'chat'] });
        expect(loaded).toHaveLength(2);
        expect(unloaded!.sort()).toEqual(loaded!.sort());
      });

      it('is waited for no longer than its caller wants', async () => {
        const manager = await gpus([8]);
        await manager.allocateResources({ vramRequired: 8 * GIB });
        manager.registerModel(model('chat', 6));
        expect((await errorOf(manager.withModel('chat', async () => undefined, { waitMs: 10 }))).code).toBe('UAT_INSUFFICIENT_VRAM');
        const aborting = new AbortController();
        const waits = manager.withModel('chat', async () => undefined, { waitMs: 600_000, signal: aborting.signal });
        await until(async () => (await manager.leases()).length === 2);
        expect(await manager.leases()).toMatchObject([{ state: 'active' }, { owner: 'chat', model: 'chat', state: 'queued' }]);
        const reason = new Error('the user has left');
        aborting.abort(reason);
        expect(await errorOf(waits)).toMatchObject({ code: 'UAT_CANCELLED', cause: reason });
        expect(await manager.leases()).toHaveLength(1);
        expect((await errorOf(manager.withModel('chat', async () => undefined, { signal: AbortSignal.abort() }))).code).toBe('UAT_CANCELLED');
      });

      it('that was loaded for a caller who has left stays for the next', async () => {
        const manager = await gpus([8]);
        let isLoaded = (): void => undefined;
        const loading = new Promise<void>(resolve => { isLoaded = resolve; });
        let began = (): void => undefined;
        const begun = new Promise<void>(resolve => { began = resolve; });
        manager.registerModel(model('chat', 6, { load: () => { began(); return loading; } }));
        const aborting = new AbortController();
        const waits = manager.withModel('chat', async () => { happened.push('use of who has left'); }, { signal: aborting.signal });
        await begun;
        aborting.abort();
        isLoaded();
        expect((await errorOf(waits)).code).toBe('UAT_CANCELLED');
        await manager.withModel('chat', async () => { happened.push('use'); });
        expect(happened).toEqual(['use']);
      });
    });

    describe('optimizeMemory', () => {
      it('unloads as many idle models as are needed, and none in use', async () => {
        const manager = await gpus([12]);
        for (const name of ['a', 'b', 'c']) manager.registerModel(model(name, 4));
        for (const name of ['a', 'b']) await manager.withModel(name, async () => undefined);
        const { began, end } = using(manager, 'c');
        await began;
        expect(await manager.optimizeMemory({ targetFreeMb: 4 * GIB })).toMatchObject({ freedMb: 4 * GIB, unloaded: [expect.any(String)] });
        const { freedMb, unloaded } = await manager.optimizeMemory({ targetFreeMb: 12 * GIB });
        expect([freedMb, unloaded.length]).toEqual([4 * GIB, 1]);
        expect(happened.filter(event => event.startsWith('unload')).sort()).toEqual(['unload a', 'unload b']);
        expect((await manager.leases()).map(({ owner }) => owner)).toEqual(['c']);
        await end();
      });

      it('looks at one GPU alone where it is named', async () => {
        const manager = await gpus([8, 6]);
        manager.registerModel(model('large', 8));
        manager.registerModel(model('small', 6));
        for (const name of ['large', 'small']) await manager.withModel(name, async () => undefined);
        expect(await manager.optimizeMemory({ targetFreeMb: 6 * GIB, device: 1 })).toEqual({ freedMb: 6 * GIB, unloaded: ['small'] });
        expect(await errorOf(manager.optimizeMemory({ device: 2 }))).toMatchObject({ code: 'UAT_INVALID_INPUT', message: 'options.device: expected the index of a GPU, 0 to 1, got 2' });
      });

      it('keeps what costs more to load again than it blocks', async () => {
        const manager = await gpus([100]);
        manager.registerModel(model('dear', 1, { loadMs: 10_000_000 }));
        manager.registerModel(model('cheap', 50, { loadMs: 0 }));
        for (const name of ['dear', 'cheap']) await manager.withModel(name, async () => undefined);
        expect(await manager.optimizeMemory()).toEqual({ freedMb: 50 * GIB, unloaded: ['cheap'] });
      });

      it('does not count what could not be unloaded', async () => {
        const manager = await gpus([8]);
        manager.registerModel(model('chat', 6, { unload: async () => { throw new Error('it hangs'); } }));
        await manager.withModel('chat', async () => undefined);
        const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
        expect(await manager.optimizeMemory({ targetFreeMb: 8 * GIB })).toEqual({ freedMb: 0, unloaded: [] });
        expect(warned).toHaveBeenCalledOnce();
        warned.mockRestore();
      });

      it('has nothing to do where nothing is warm', async () => {
        expect(await (await gpus([8])).optimizeMemory()).toEqual({ freedMb: 0, unloaded: [] });
      });
    });

    describe('close', () => {
      it('unloads what is idle before it resolves, and what is in use when that ends', async () => {
        const manager = await gpus([16]);
        manager.registerModel(model('idle', 4));
        manager.registerModel(model('busy', 4));
        await manager.withModel('idle', async () => undefined);
        const { began, end } = using(manager, 'busy');
        await began;
        await manager.close();
        expect(happened).toEqual(['load idle', 'load busy', 'unload idle']);
        await end();
        expect(happened).toEqual(['load idle', 'load busy', 'unload idle', 'unload busy']);
      });

      it('may be called by whoever uses a model', async () => {
        const manager = await gpus([8]);
        manager.registerModel(model('chat', 4));
        expect(await manager.withModel('chat', async () => { await manager.close(); return 'done'; })).toBe('done');
        expect(happened).toEqual(['load chat', 'unload chat']);
      });

      it('rejects those that wait for a model, and unloads one that was loading', async () => {
        const manager = await gpus([8]);
        let isLoaded = (): void => undefined;
        const loading = new Promise<void>(resolve => { isLoaded = resolve; });
        let began = (): void => undefined;
        const begun = new Promise<void>(resolve => { began = resolve; });
        const unloaded = new Promise<void>(resolve => {
          manager.registerModel(model('chat', 6, { load: () => { began(); return loading; }, unload: async () => resolve() }));
        });
        const waits = manager.withModel('chat', async () => undefined);
        await begun;
        const closing = manager.close();
        expect((await errorOf(waits)).code).toBe('UAT_CLOSED');
        await closing;
        isLoaded();
        await unloaded;
      });
    });

    describe('what makes no sense is refused by name', () => {
      it('of a model', async () => {
        const manager = await gpus([8]);
        const check = (wrong: object): UniversalAiError => thrownBy(() => manager.registerModel({ ...model('chat', 1), ...wrong } as WarmModel));
        expect(check({ name: '' }).message).toBe('model.name: expected a string that is not empty, got an empty string');
        expect(check({ vramMb: Number.NaN }).message).toBe('model.vramMb: expected a number of MiB above 0, at most 8589934592, got NaN');
        expect(check({ load: undefined }).message).toBe('model.load: expected a function, got undefined');
        expect(check({ replicas: 0 }).message).toBe('model.replicas: expected a whole number from 1 to 1024, got 0');
        expect(check({ loadMs: -1 }).code).toBe('UAT_INVALID_INPUT');
        expect(check({ size: 1 }).code).toBe('UAT_INVALID_INPUT');
      });

      it('of a use, and a name that nobody registered', async () => {
        const manager = await gpus([8]);
        expect(await errorOf(manager.withModel('chat', async () => undefined))).toMatchObject({ code: 'UAT_NOT_FOUND', details: { known: [] } });
        manager.registerModel(model('chat', 6));
        expect((await errorOf(manager.withModel('chta', async () => undefined))).message).toContain('registered are chat');
        expect((await errorOf(manager.withModel('chat', 'use' as never))).message).toBe('use: expected a function, got "use"');
        expect((await errorOf(manager.withModel('chat', async () => undefined, { waitMs: Number.NaN }))).code).toBe('UAT_INVALID_INPUT');
        expect(thrownBy(() => manager.registerModel(model('chat', 6))).code).toBe('UAT_CONFLICT');
      });

      it('a model that no GPU can hold, when it is used', async () => {
        const manager = await gpus([8]);
        manager.registerModel(model('huge', 9));
        expect(await errorOf(manager.withModel('huge', async () => undefined))).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM', retryable: false });
      });
    });

    describe('estimateModel', () => {
      it(backend === 'native' ? 'says what is wrong with a file' : 'is not there', async () => {
        const manager = await gpus([8]);
        expect((await errorOf(manager.estimateModel('/nowhere/model.gguf'))).code).toBe(backend === 'native' ? 'UAT_STORAGE' : 'UAT_UNSUPPORTED');
        expect((await errorOf(manager.estimateModel(''))).message).toBe('path: expected a string that is not empty, got an empty string');
        expect((await errorOf(manager.estimateModel('m.gguf', { kvType: 'q8_0', flashAttention: false }))).code).toBe('UAT_INVALID_INPUT');
        expect((await errorOf(manager.estimateModel('m.gguf', { contextTokens: 0 }))).code).toBe('UAT_INVALID_INPUT');
      });
    });
  });
});
