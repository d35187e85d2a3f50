// Unmodified tools for GPUs on the fake libnvidia-ml.so of crates/fake-nvml: what they show is what the script says, so that the
// library may stand in for a real one in other tests.

import { execFile, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { built, ROOT } from '../support/built.js';

const GIB = 2 ** 30;
const venv = join(ROOT, '.cache', 'gpu-tools');
const run = promisify(execFile);

// This test's own process is on the first GPU: tools leave out those that do not run.
const device = {
  name: 'NVIDIA A100-SXM4-40GB', uuid: 'GPU-11111111-2222-4333-8444-555555555555', total: 40 * GIB, used: 8 * GIB, reserved: GIB,
  processes: [{ pid: process.pid, used: 7 * GIB, type: 'compute' }], utilization: 97, temperature: 61, power: 284.5, power_limit: 400, mig: false,
};
const script = {
  driver_version: '570.86.15',
  devices: [
    device,
    { name: 'NVIDIA L4', total: 24 * GIB, lost: true },
    { name: 'NVIDIA L40S', total: 48 * GIB, processes: [{ pid: process.pid, used: null, type: 'compute' }] },
  ],
};

let folder: string;
let env: Record<string, string>;

function say(content: unknown): void {
  writeFileSync(join(folder, 'next.json'), JSON.stringify(content));
  renameSync(join(folder, 'next.json'), join(folder, 'script.json'));
}

beforeAll(async () => {
  if (!existsSync(join(venv, 'bin', 'python'))) await run('python3', ['-m', 'venv', venv]);
  // Changes nothing, and asks nobody, when the pinned versions are there.
  await run(join(venv, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', join(ROOT, 'test', 'e2e', 'python', 'gpu-requirements.txt')]);
  folder = mkdtempSync(join(tmpdir(), 'uat-gpu-tools-'));
  copyFileSync(built('libfake_nvml.so'), join(folder, 'libnvidia-ml.so.1'));
  env = { ...process.env, LD_LIBRARY_PATH: folder, FAKE_NVML_SCRIPT: join(folder, 'script.json') } as Record<string, string>;
  say(script);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('tools that read NVIDIA GPUs', () => {
  it('gpustat shows names, memory and processes, and the lost device beside the others', async () => {
    const { stdout } = await run(join(venv, 'bin', 'gpustat'), ['--json'], { env });
    const { driver_version, gpus } = JSON.parse(stdout);
    expect(driver_version).toBe('570.86.15');
    // Of memory it shows what is allocated, without what is reserved.
    expect(gpus[0]).toMatchObject({ name: device.name, uuid: device.uuid, 'memory.used': 8192, 'memory.total': 40960, 'utilization.gpu': 97, 'temperature.gpu': 61, 'power.draw': 284, 'enforced.power.limit': 400 });
    expect(gpus[0].processes).toMatchObject([{ pid: process.pid, gpu_memory_usage: 7168 }]);
    expect(gpus[1].name).toContain('GPU is lost');
    expect(gpus[2].processes).toMatchObject([{ pid: process.pid, gpu_memory_usage: null }]);
  });

  it('nvitop draws them', async () => {
    const { stdout } = await run(join(venv, 'bin', 'nvitop'), ['-1', '--ascii'], { env: { ...env, COLUMNS: '120', LINES: '60' } });
    for (const words of ['A100-SXM4-40GB', 'Driver Version: 570.86.15', '8192MiB / 40.00GiB', '97%', '284W / 400W', 'GPU is Lost', 'L40S', '7168MiB']) expect(stdout).toContain(words);
    expect(stdout).toMatch(new RegExp(`\\b${process.pid} C\\b`));
  });

  it("NVIDIA's own bindings read both versions, and a changed script while they run", async () => {
    const child = spawn(join(venv, 'bin', 'python'), [join(ROOT, 'test', 'e2e', 'python', 'gpu_reads.py')], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<Record<string, unknown>[]> => JSON.parse((await lines.next()).value as string);
    const [first, lost, third] = await next();
    expect(first).toEqual({
      name: device.name, uuid: device.uuid, bus: '00000000:01:00.0', busy: 97, warm: 61,
      first: [40 * GIB, 9 * GIB, 31 * GIB], second: [40 * GIB, 8 * GIB, 31 * GIB, GIB], processes: [[process.pid, 7 * GIB]],
    });
    expect(lost).toEqual({ error: 'GPU is lost' });
    expect(third).toMatchObject({ processes: [[process.pid, null]] });

    say({ devices: [{ ...device, used: 20 * GIB }] });
    child.stdin.write('again\n');
    expect(await next()).toMatchObject([{ second: [40 * GIB, 20 * GIB, 19 * GIB, GIB] }]);
    child.stdin.end();
    expect(await new Promise(resolve => child.once('exit', resolve))).toBe(0);
    say(script);
  });
});
