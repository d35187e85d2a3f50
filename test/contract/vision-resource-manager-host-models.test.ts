// Mode host: warm models of several processes on the same GPUs, and what becomes of them when one of these, or the daemon, goes.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { VisionResourceManager, type WarmModel } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { ROOT } from '../support/built.js';
import { errorOf } from '../support/errors.js';
import { GpuDaemon } from '../support/gpu-daemon.js';
import { until } from '../support/until.js';

const GIB = 1024;
const INDEX = pathToFileURL(join(ROOT, 'dist', 'index.js')).href;

/** Another process, which says what it does. */
class Other {
  readonly child: ChildProcess;
  readonly said: string[] = [];

  constructor(code: string, backend: string) {
    this.child = spawn(process.execPath, ['--input-type=module', '-e', code], { env: { ...process.env, UAT_BACKEND: backend, NODE_NO_WARNINGS: '1' }, stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface({ input: this.child.stdout! }).on('line', line => this.said.push(line));
  }

  async says(line: string): Promise<void> {
    await until(() => this.said.includes(line));
  }
}

eachBackend(backend => {
  const happened: string[] = [];
  const open: { close(): unknown }[] = [];
  let daemon: GpuDaemon;
  beforeEach(async () => {
    daemon = await GpuDaemon.start([8 * GIB]);
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  });
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.close();
    await daemon.stop();
    happened.length = 0;
    vi.restoreAllMocks();
  });
  const manager = (): VisionResourceManager => {
    const one = VisionResourceManager.getInstance({ mode: 'host', socketPath: daemon.socket });
    open.push(one);
    return one;
  };
  const model = (name: string, gib: number, more: Partial<WarmModel> = {}): WarmModel => ({
    name,
    vramMb: gib * GIB,
    load: async () => { happened.push(`load ${name}`); },
    unload: async () => { happened.push(`unload ${name}`); },
    ...more,
  });
  /** A process with a model `m`, which does the rest then. */
  const other = (gib: number, code: string): Other => {
    const one = new Other(`
      import { VisionResourceManager } from ${JSON.stringify(INDEX)};
      const manager = VisionResourceManager.getInstance({ mode: 'host', socketPath: ${JSON.stringify(daemon.socket)} });
      manager.registerModel({ name: 'm', vramMb: ${gib * GIB}, load: async () => console.log('load'), unload: async () => console.log('unload') });
      const alive = setInterval(() => undefined, 1_000);
      ${code}`, backend);
    open.push({ close: () => one.child.kill('SIGKILL') });
    return one;
  };
  const USED_ONCE = `await manager.withModel('m', async () => console.log('use')); console.log('idle');`;
  const IN_USE = `await manager.withModel('m', () => { console.log('use'); return new Promise(() => undefined); });`;
  /** A use that goes on until it is told to end. */
  const using = async (one: VisionResourceManager, name: string): Promise<() => Promise<void>> => {
    let end = (): void => undefined;
    const ends = new Promise<void>(resolve => { end = resolve; });
    let used = Promise.resolve();
    await new Promise<void>((resolve, reject) => { used = one.withModel(name, async () => { resolve(); await ends; }); used.catch(reject); });
    return async () => { end(); await used; };
  };

  describe('models of two processes', () => {
    it('push each other out when they are idle, though they have one name', async () => {
      const theirs = other(6, USED_ONCE);
      await theirs.says('idle');
      const one = manager();
      one.registerModel(model('m', 6));
      await one.withModel('m', async () => { happened.push('use'); });
      expect(theirs.said).toEqual(['load', 'use', 'idle', 'unload']);
      expect(happened).toEqual(['load m', 'use']);
      expect(await one.leases()).toMatchObject([{ pid: process.pid, model: 'm', gpus: [{ index: 0, vramMb: 6 * GIB }], expiresAt: Infinity }]);
      expect(await one.usage()).toMatchObject([{ leasedMb: 6 * GIB, freeMb: 2 * GIB }]);
    });

    it('wait for each other while they are in use, no longer than they want to', async () => {
      const theirs = other(6, IN_USE);
      await theirs.says('use');
      const one = manager();
      one.registerModel(model('m', 6));
      expect(await errorOf(one.withModel('m', async () => undefined, { waitMs: 700 }))).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM', retryable: true });
      expect(theirs.said).toEqual(['load', 'use']);
      const waits = one.withModel('m', async () => { happened.push('use'); });
      await until(async () => (await one.leases()).length === 2);
      // What it had goes with it: the use, the model, and its memory.
      theirs.child.kill('SIGKILL');
      await waits;
      expect(happened).toEqual(['load m', 'use']);
      expect(await one.leases()).toHaveLength(1);
    });

    it('make room for whoever tidies up in one of them', async () => {
      const theirs = other(3, USED_ONCE);
      await theirs.says('idle');
      const one = manager();
      one.registerModel(model('ours', 2));
      await one.withModel('ours', async () => undefined);
      expect(await one.optimizeMemory({ targetFreeMb: 8 * GIB })).toEqual({ freedMb: 5 * GIB, unloaded: ['ours', 'm'] });
      expect(theirs.said.at(-1)).toBe('unload');
    });

    it('of which one is killed while it loads leave the other its turn', async () => {
      const theirs = other(6, `manager.registerModel({ name: 'hangs', vramMb: ${6 * GIB}, load: () => { console.log('hangs'); return new Promise(() => undefined); }, unload: async () => undefined }); await manager.withModel('hangs', async () => undefined);`);
      await theirs.says('hangs');
      const one = manager();
      one.registerModel(model('m', 6));
      const waits = one.withModel('m', async () => { happened.push('use'); });
      await until(async () => (await one.leases()).filter(({ state }) => state === 'queued').length === 2);
      theirs.child.kill('SIGKILL');
      await waits;
      expect(happened).toEqual(['load m', 'use']);
    });
  });

  describe('when the daemon is killed', () => {
    it('models stay loaded and in use, and the next daemon gives their memory to nobody', async () => {
      const one = manager();
      for (const name of ['busy', 'idle']) one.registerModel(model(name, 3));
      const end = await using(one, 'busy');
      await one.withModel('idle', async () => undefined);
      await daemon.kill();
      await until(() => vi.mocked(process.emitWarning).mock.calls.length > 0);
      expect(process.emitWarning).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('its 2 warm models stay loaded'), expect.objectContaining({ code: 'UAT_GPU_DAEMON_AWAY' }));
      expect(await errorOf(one.withModel('busy', async () => undefined))).toMatchObject({ code: 'UAT_UPSTREAM', retryable: true });
      await daemon.start();
      const theirs = other(5, USED_ONCE);
      // Ours comes back by itself, and the model that is idle makes room; the one that is in use stays.
      await theirs.says('idle');
      expect(await errorOf(one.allocateResources({ vramRequired: 6 * GIB, waitMs: 0 }))).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM', details: { leasedMb: 8 * GIB } });
      await one.withModel('busy', async () => { happened.push('use busy'); });
      await end();
      expect(happened).toEqual(['load busy', 'load idle', 'unload idle', 'use busy']);
    });

    it('a use that ends meanwhile, and a load, are known to the next', async () => {
      const one = manager();
      let isLoaded = (): void => undefined;
      const loading = new Promise<void>(resolve => { isLoaded = resolve; });
      one.registerModel(model('busy', 3));
      one.registerModel(model('slow', 3, { load: () => { happened.push('load slow'); return loading; } }));
      const end = await using(one, 'busy');
      const waits = errorOf(one.withModel('slow', async () => undefined));
      await until(() => happened.includes('load slow'));
      await daemon.kill();
      expect((await waits).code).toBe('UAT_UPSTREAM');
      await end();
      isLoaded();
      await daemon.start();
      await until(async () => (await one.leases().catch(() => [])).length === 2);
      await one.withModel('slow', async () => { happened.push('use slow'); });
      expect(happened).toEqual(['load busy', 'load slow', 'use slow']);
      expect((await one.optimizeMemory({ targetFreeMb: 8 * GIB })).unloaded.sort()).toEqual(['busy', 'slow']);
    });

    it('and the next one does not know a model, it is unloaded when its use has ended, and loaded anew', async () => {
      const one = manager();
      one.registerModel(model('m', 6));
      const end = await using(one, 'm');
      await daemon.kill();
      rmSync(join(daemon.folder, 'state'), { recursive: true });
      await daemon.start();
      await until(async () => (await one.leases().catch(() => [1])).length === 0);
      expect(happened).toEqual(['load m']);
      await end();
      await until(() => happened.length === 2);
      await one.withModel('m', async () => undefined);
      expect(happened).toEqual(['load m', 'unload m', 'load m']);
    });

    it('again and again, models of three processes together never take more than there is', async () => {
      const log = join(daemon.folder, 'taken');
      const turns = `
        import { appendFileSync } from 'node:fs';
        const take = gib => appendFileSync(${JSON.stringify(log)}, gib + '\\n');
        const moment = () => new Promise(resolve => setImmediate(resolve));
        for (const [name, gib] of [['two', 2], ['four', 4]]) manager.registerModel({ name, vramMb: gib * ${GIB}, load: async () => { take(gib); await moment(); }, unload: async () => { await moment(); take(-gib); } });
        for (let turn = 0; turn < 12; turn += 1) {
          try {
            await manager.withModel(turn % 3 === 0 ? 'four' : 'two', moment, { waitMs: 1_500 });
          } catch (error) {
            if (!error.retryable) throw error;
            await new Promise(resolve => setTimeout(resolve, 50));
          }
        }
        console.log('done');`;
      const all = [other(1, turns), other(1, turns), other(1, turns)];
      for (let kill = 0; kill < 5; kill += 1) {
        const before = existsSync(log) ? readFileSync(log, 'utf8').length : 0;
        await until(() => (existsSync(log) && readFileSync(log, 'utf8').length > before) || all.every(({ said }) => said.includes('done')));
        await daemon.kill();
        await daemon.start();
      }
      await Promise.all(all.map(one => until(() => one.said.includes('done'), 20_000)));
      const [most] = readFileSync(log, 'utf8').trim().split('\n').reduce(([most, taken], line) => [Math.max(most!, taken! + Number(line)), taken! + Number(line)], [0, 0]);
      expect(most).toBeGreaterThan(4);
      expect(most).toBeLessThanOrEqual(8);
    }, 40_000);

    it('a process that died with it holds nothing when the next one begins', async () => {
      const theirs = other(6, IN_USE);
      await theirs.says('use');
      await daemon.kill();
      theirs.child.kill('SIGKILL');
      await daemon.start();
      await manager().allocateResources({ vramRequired: 8 * GIB, waitMs: 5_000 });
    });
  });

  describe('close', () => {
    it('keeps the memory of a model that is in use until it is unloaded', async () => {
      const one = manager();
      one.registerModel(model('m', 6));
      const end = await using(one, 'm');
      await one.close();
      const next = manager();
      expect(await errorOf(next.allocateResources({ vramRequired: 6 * GIB, waitMs: 0 }))).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM' });
      const waits = next.allocateResources({ vramRequired: 6 * GIB });
      await end();
      await (await waits).release();
      expect(happened).toEqual(['load m', 'unload m']);
    });

    it('waits for no daemon that is away', async () => {
      const one = manager();
      for (const name of ['busy', 'idle']) one.registerModel(model(name, 3));
      const end = await using(one, 'busy');
      await one.withModel('idle', async () => undefined);
      await daemon.kill();
      await end();
      await one.close();
      expect(happened.filter(event => event.startsWith('unload')).sort()).toEqual(['unload busy', 'unload idle']);
    });
  });
});
