// Mode host: several processes, and what becomes of leases when one of them, or the daemon, goes.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { type Preemption, VisionResourceManager } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { ROOT } from '../support/built.js';
import { errorOf, thrownBy } from '../support/errors.js';
import { GpuDaemon } from '../support/gpu-daemon.js';
import { until } from '../support/until.js';

const GIB = 1024;
const INDEX = pathToFileURL(join(ROOT, 'dist', 'index.js')).href;

eachBackend(backend => {
  const open: { close(): unknown }[] = [];
  let daemon: GpuDaemon;
  beforeEach(async () => { daemon = await GpuDaemon.start([8 * GIB]); });
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.close();
    await daemon.stop();
  });
  const manager = (socketPath: string = daemon.socket): VisionResourceManager => {
    const one = VisionResourceManager.getInstance({ mode: 'host', socketPath });
    open.push(one);
    return one;
  };

  const text = (code: string): string => `
    import { VisionResourceManager } from ${JSON.stringify(INDEX)};
    const manager = VisionResourceManager.getInstance({ mode: 'host', socketPath: ${JSON.stringify(daemon.socket)} });
    ${code}`;
  /** Runs a process to its end; what it prints. One that does not end fails. */
  const run = async (code: string): Promise<string> => (await promisify(execFile)(process.execPath, ['--input-type=module', '-e', text(code)], { env: { ...process.env, UAT_BACKEND: backend }, timeout: 10_000 })).stdout;
  /** Another process that has a lease of everything, until it is killed. */
  const holder = async (): Promise<ChildProcess> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', text(`await manager.allocateResources({ vramRequired: ${8 * GIB}, duration: 3_600_000 }); console.log('held'); setInterval(() => undefined, 1_000);`)], { env: { ...process.env, UAT_BACKEND: backend }, stdio: ['ignore', 'pipe', 'inherit'] });
    open.push({ close: () => child.kill('SIGKILL') });
    await once(createInterface({ input: child.stdout! }), 'line');
    return child;
  };

  describe('processes', () => {
    it('share what there is: of three that want more than half of a GPU one has it at a time', async () => {
      const mark = JSON.stringify(join(daemon.folder, 'held'));
      const code = `
        import { openSync, closeSync, unlinkSync } from 'node:fs';
        for (let turn = 0; turn < 25; turn += 1) {
          const lease = await manager.allocateResources({ vramRequired: ${5 * GIB} });
          closeSync(openSync(${mark}, 'wx'));
          await new Promise(resolve => setImmediate(resolve));
          unlinkSync(${mark});
          await lease.release();
        }
        console.log('done');`;
      expect(await Promise.all([run(code), run(code), run(code)])).toEqual(['done\n', 'done\n', 'done\n']);
    });

    it('see each other\'s leases, with whose they are', async () => {
      const child = await holder();
      const one = manager();
      expect(await one.leases()).toMatchObject([{ pid: child.pid, owner: 'default', gpus: [{ index: 0, vramMb: 8 * GIB }], state: 'active' }]);
      expect(await errorOf(one.allocateResources({ vramRequired: 1, waitMs: 0 }))).toMatchObject({ code: 'UAT_INSUFFICIENT_VRAM', retryable: true, details: { askedMb: 1, largestFreeMb: 0, leasedMb: 8 * GIB, canEverFit: true, expectedWaitMs: expect.any(Number) } });
    });

    it('that are killed give back what they had at once', async () => {
      const took: number[] = [];
      for (let turn = 0; turn < 3; turn += 1) {
        const child = await holder();
        const waits = manager().allocateResources({ vramRequired: 8 * GIB });
        await until(async () => (await manager().leases()).length === 2);
        const killed = performance.now();
        child.kill('SIGKILL');
        await (await waits).release();
        took.push(performance.now() - killed);
      }
      // The goal is 100 ms, on a machine that has nothing else to do; tests have to hold on one that has.
      expect(Math.min(...took)).toBeLessThan(1_000);
    });

    it('end by themselves while they have a lease, and with them their leases', async () => {
      expect(await run(`await manager.allocateResources({ vramRequired: ${8 * GIB}, duration: 3_600_000 }); console.log('held');`)).toBe('held\n');
      await (await manager().allocateResources({ vramRequired: 8 * GIB })).release();
    });

    it('end by themselves when the daemon has gone', async () => {
      const child = run(`await manager.allocateResources({ vramRequired: 1 }); const alive = setInterval(() => undefined, 1_000); process.once('warning', () => { clearInterval(alive); console.log('gone'); });`);
      await until(async () => (await manager().leases()).length === 1);
      await daemon.kill();
      expect(await child).toBe('gone\n');
    });

    it('do not end while they wait', async () => {
      const first = await manager().allocateResources({ vramRequired: 8 * GIB });
      const child = run(`manager.allocateResources({ vramRequired: 1 }).then(() => console.log('served'));`);
      await until(async () => (await manager().leases()).length === 2);
      await first.release();
      expect(await child).toBe('served\n');
    });
  });

  describe('a manager', () => {
    it('shows the GPUs of its daemon', async () => {
      expect(await manager().usage()).toEqual([{ index: 0, uuid: 'GPU-00000000-0000-0000-0000-000000000000', name: 'Fake GPU', totalMb: 8 * GIB, usedMb: 0, leasedMb: 0, externalMb: 0, freeMb: 8 * GIB, utilization: 0, temperatureC: null, powerW: null, processes: [], pressure: 'ok' }]);
      expect(manager().backend.kind).toBe(backend);
    });

    it('gives everything back when it is closed, and ends what waits', async () => {
      const one = manager();
      const held = await one.allocateResources({ vramRequired: 8 * GIB });
      const waits = errorOf(one.allocateResources({ vramRequired: 8 * GIB }));
      await until(async () => (await one.leases()).length === 2);
      await one.close();
      expect((await waits).code).toBe('UAT_CLOSED');
      expect((await errorOf(held.renew())).code).toBe('UAT_CLOSED');
      const other = manager();
      await until(async () => (await other.leases()).length === 0);
      await other.allocateResources({ vramRequired: 8 * GIB });
    });

    it('is one of its process: other options are a conflict', () => {
      manager();
      expect(thrownBy(() => VisionResourceManager.getInstance({ driver: 'none' }))).toMatchObject({ code: 'UAT_CONFLICT', details: { field: 'options.driver' } });
      expect(thrownBy(() => VisionResourceManager.getInstance({ mode: 'process' })).details).toEqual({ field: 'options.mode' });
      expect(thrownBy(() => VisionResourceManager.getInstance({ mode: 'host', socketPath: '/elsewhere' })).details).toEqual({ field: 'options.socketPath' });
      expect(VisionResourceManager.getInstance()).toBe(VisionResourceManager.getInstance({ mode: 'host', socketPath: daemon.socket }));
    });

    it(backend === 'native' ? 'reads model files itself' : 'reads no model files', async () => {
      expect((await errorOf(manager().estimateModel('/nowhere/model.gguf'))).code).toBe(backend === 'native' ? 'UAT_STORAGE' : 'UAT_UNSUPPORTED');
    });
  });

  describe('when the daemon is killed', () => {
    it('holders hear it at once, nothing hangs, and leases live on with the next one', async () => {
      const one = manager();
      const [held, unwanted] = [await one.allocateResources({ vramRequired: 4 * GIB }), await one.allocateResources({ vramRequired: 2 * GIB })];
      const preempted = vi.fn();
      held.onPreempt(preempted);
      const waits = errorOf(one.allocateResources({ vramRequired: 8 * GIB, waitMs: 600_000 }));
      await until(async () => (await one.leases()).length === 3);
      const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
      const killed = performance.now();
      await daemon.kill();
      expect(await waits).toMatchObject({ code: 'UAT_UPSTREAM', retryable: true });
      await until(() => warned.mock.calls.length > 0);
      for (const call of [() => one.allocateResources({ vramRequired: 1 }), () => held.renew(), () => one.usage(), () => one.leases()]) expect(await errorOf(call())).toMatchObject({ code: 'UAT_UPSTREAM', retryable: true, details: { socket: daemon.socket } });
      // Nobody could get it meanwhile: it is given back when a daemon is there.
      await unwanted.release();
      expect(warned).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('the 2 leases of this process live on'), expect.objectContaining({ code: 'UAT_GPU_DAEMON_AWAY' }));
      warned.mockRestore();
      expect(performance.now() - killed).toBeLessThan(1_000);
      await daemon.start();
      // Without a call of ours: the daemon gives nothing out before it has heard of us.
      const other = await run(`const lease = await manager.allocateResources({ vramRequired: ${4 * GIB}, waitMs: 5_000 }); console.log(lease.gpus[0].vramMb);`);
      expect(other).toBe(`${4 * GIB}\n`);
      expect((await one.leases()).map(({ id }) => id)).toEqual([held.id]);
      expect(await held.renew(120_000)).toBeGreaterThan(Date.now() + 60_000);
      await held.release();
      expect(preempted).not.toHaveBeenCalled();
    });

    it('and the next one does not know a lease, its holder is told that it is over', async () => {
      const one = manager();
      const held = await one.allocateResources({ vramRequired: 4 * GIB });
      const told = new Promise<Preemption>(resolve => held.onPreempt(resolve));
      const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
      await daemon.kill();
      rmSync(join(daemon.folder, 'state'), { recursive: true });
      await daemon.start();
      expect(await told).toEqual({ graceMs: 0, byPriority: 'critical' });
      warned.mockRestore();
      expect(held.expiresAt).toBeLessThanOrEqual(Date.now());
      expect((await errorOf(held.renew())).code).toBe('UAT_LEASE_EXPIRED');
      await held[Symbol.asyncDispose]();
    });
  });

  describe('a socket', () => {
    let folder: string;
    let socket: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'uat-no-gpu-'));
      socket = join(folder, 's');
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));
    const listen = async (server: Server): Promise<void> => {
      const sockets = new Set<Socket>();
      server.on('connection', socket => sockets.add(socket));
      server.listen(socket);
      await once(server, 'listening');
      open.push({ close: () => { for (const socket of sockets) socket.destroy(); server.close(); } });
    };

    it('that is not there is said, with what to do', async () => {
      const error = await errorOf(manager(socket).allocateResources({ vramRequired: 1 }));
      expect(error).toMatchObject({ code: 'UAT_UPSTREAM', retryable: true, details: { socket } });
      expect(error.message).toBe(`no GPU daemon answers at ${socket}: there is no such socket; start \`uat gpu daemon\`, or \`uat serve\` with a [gpu] section`);
    });

    it('at which something else listens is no daemon', async () => {
      await listen(createServer(socket => socket.end('220 mail.example ESMTP\r\n')));
      expect(await errorOf(manager(socket).usage())).toMatchObject({ code: 'UAT_UPSTREAM', retryable: false, message: expect.stringContaining('is no GPU daemon of this version: it does not speak HTTP') });
    });

    it('at which another server listens is none either', async () => {
      await listen(createHttpServer((_, response) => response.writeHead(404).end('<h1>nothing here</h1>')));
      expect(await errorOf(manager(socket).allocateResources({ vramRequired: 1 }))).toMatchObject({ code: 'UAT_UPSTREAM', retryable: false, message: expect.stringContaining('no GPU daemon') });
    });

    it('at which nobody answers is given up after five seconds', async () => {
      await listen(createServer(() => undefined));
      expect(await errorOf(manager(socket).allocateResources({ vramRequired: 1 }))).toMatchObject({ code: 'UAT_UPSTREAM', retryable: true, message: expect.stringContaining('did not answer within 5000 ms') });
    });

    it.skipIf(process.getuid?.() !== 0)('of another user is said nothing to', async () => {
      await listen(createServer(() => { throw new Error('it was spoken to'); }));
      chownSync(socket, 65_534, 65_534);
      expect(await errorOf(manager(socket).usage())).toMatchObject({ code: 'UAT_FORBIDDEN', message: `the socket ${socket} belongs to user 65534, expected 0: nothing is said to it` });
    });

    it('that nobody names is where `uat gpu daemon` listens, unless others could enter that folder', async () => {
      const before = { XDG_RUNTIME_DIR: process.env['XDG_RUNTIME_DIR'], UAT_GPU_SOCKET: process.env['UAT_GPU_SOCKET'] };
      const unnamed = async (env: Record<string, string>): Promise<string> => {
        for (const name of Object.keys(before)) delete process.env[name];
        Object.assign(process.env, env);
        const one = VisionResourceManager.getInstance({ mode: 'host' });
        const { message } = await one.usage().then(() => ({ message: 'there' }), (error: Error) => error);
        await one.close();
        return message;
      };
      try {
        expect(await unnamed({ UAT_GPU_SOCKET: daemon.socket })).toBe('there');
        expect(await unnamed({ XDG_RUNTIME_DIR: folder })).toContain(`no GPU daemon answers at ${join(folder, 'uat', 'gpu.sock')}: there is no such socket`);
        mkdirSync(join(folder, 'uat'), { mode: 0o755 });
        chmodSync(join(folder, 'uat'), 0o755);
        socket = join(folder, 'uat', 'gpu.sock');
        await listen(createServer());
        expect(await unnamed({ XDG_RUNTIME_DIR: folder })).toBe(`${join(folder, 'uat')} cannot hold the GPU daemon's socket: its mode is 0755, expected 0700: others could reach the GPU daemon; run \`chmod 700 ${join(folder, 'uat')}\``);
      } finally {
        for (const [name, value] of Object.entries(before)) {
          if (value === undefined) delete process.env[name];
          else process.env[name] = value;
        }
      }
    });
  });
});
