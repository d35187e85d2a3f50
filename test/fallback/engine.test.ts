import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ENGINE_CHOOSES } from '../../src/fallback/fast-llm-coordinator/config-check.js';
import { Engine } from '../../src/fallback/fast-llm-coordinator/engine.js';
import { findEngine } from '../../src/fallback/fast-llm-coordinator/engine-place.js';

/** Stands in for uat-engine: notes each start, answers anything, and goes with its last client. */
const FAKE = `#!${process.execPath}
const fs = require('node:fs');
fs.appendFileSync(__filename + '.starts', process.argv.slice(2).join(' ') + '\\n');
let clients = 0;
const server = require('node:net').createServer(socket => {
  clients += 1;
  socket.on('data', () => socket.write('HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n'));
  socket.on('error', () => undefined);
  socket.on('close', () => { if (--clients === 0) { fs.appendFileSync(__filename + '.ends', 'x'); process.exit(); } });
});
server.listen(process.argv[3], () => fs.chmodSync(process.argv[3], 0o600));
`;

let folder: string;
let program: string;
let env: NodeJS.ProcessEnv;
const held: Engine[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'uat-'));
  program = join(folder, 'uat-engine');
  env = { ...process.env, XDG_RUNTIME_DIR: folder, UAT_ENGINE_PATH: program };
  fake(FAKE);
});
afterEach(async () => {
  held.splice(0).forEach(engine => engine.close());
  await ends();
  rmSync(folder, { recursive: true, force: true });
});

function fake(text: string): void {
  writeFileSync(program, text);
  chmodSync(program, 0o755);
}

function engine(settings: object = {}): Engine {
  const made = new Engine({ ...ENGINE_CHOOSES, enabled: true, model: 'm', idle_exit_s: 7, ...settings }, [], env);
  held.push(made);
  return made;
}

const lines = (file: string): string[] => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []);
const starts = (): string[] => lines(`${program}.starts`);

/** Waits until every fake that was started has ended. */
async function ends(): Promise<void> {
  await expect.poll(() => (existsSync(`${program}.ends`) ? statSync(`${program}.ends`).size : 0)).toBeGreaterThanOrEqual(Math.min(1, starts().length));
}

describe('the engine', () => {
  it('is started once for all who want it at the same time', async () => {
    const sockets = await Promise.all(Array.from({ length: 6 }, () => engine().socket()));
    expect(new Set(sockets).size).toBe(1);
    expect(starts()).toHaveLength(1);
  });

  it('gets its socket, how long to stay, and what is configured', async () => {
    const socket = await engine({ threads: 2, slots: 4, queue: 0, kv_type: 'q8_0', gpu_layers: 0, unload_after_s: 0, memory_mb: 900 }).socket();
    expect(starts()).toEqual([`--socket ${socket} --idle-exit-s 7 --threads 2 --slots 4 --queue 0 --kv-type q8_0 --gpu-layers 0 --unload-after-s 0 --memory-mb 900`]);
    expect(socket.startsWith(join(folder, 'uat', 'engine-'))).toBe(true);
    expect(statSync(join(folder, 'uat')).mode & 0o777).toBe(0o700);
  });

  it('is let go by close()', async () => {
    const one = engine();
    await one.socket();
    one.close();
    await ends();
  });

  it('is started again when it has died, and its socket is replaced', async () => {
    const one = engine();
    const socket = await one.socket();
    // The fake goes with its last client; the lease that sees it go is the engine's own.
    const [first] = held.splice(0);
    first!.close();
    await ends();
    expect(existsSync(socket)).toBe(true);
    expect(await engine().socket()).toBe(socket);
    expect(starts()).toHaveLength(2);
  });

  it('that ends at once is told with its last words, and after three times is left alone', async () => {
    fake('#!/bin/sh\necho "no such luck" >&2\nexit 3\n');
    const one = engine();
    for (let attempt = 0; attempt < 3; attempt++) {
      await expect(one.socket()).rejects.toMatchObject({ retryable: true, message: expect.stringMatching(/ended while starting \(exit status 3\).*no such luck/) });
    }
    await expect(one.socket()).rejects.toMatchObject({ retryable: true, message: expect.stringMatching(/ended 3 times soon after its start/) });
  });

  it('waits for another process that holds the lock', async () => {
    const place = findEngine([], env);
    mkdirSync(place.dir, { mode: 0o700 });
    const holder = spawn('flock', [place.lock, 'sh', '-c', 'echo; exec cat'], { stdio: ['pipe', 'pipe', 'ignore'] });
    const gone = once(holder, 'exit');
    await once(holder.stdout, 'data');
    const waiting = engine().socket();
    // What the other process starts is found without starting another.
    const server = createServer(socket => void socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\n\r\n')).on('error', () => undefined));
    await once(server.listen(place.socket), 'listening');
    holder.stdin.end();
    expect(await waiting).toBe(place.socket);
    expect(starts()).toEqual([]);
    held.splice(0).forEach(one => one.close());
    server.close();
    await gone;
  });

  it('that nobody has is told with every place that was tried', () => {
    const { UAT_ENGINE_PATH: _, ...rest } = env;
    expect(() => findEngine(['/nowhere', join(folder, 'plain')], rest)).toThrow(/not found; tried .*\/nowhere \(no such file\), .*plain \(no such file\); set UAT_ENGINE_PATH/);
    expect(() => findEngine([folder], { ...rest, UAT_ENGINE_PATH: '/wrong' })).toThrow(/tried \/wrong \(no such file\);/);
    chmodSync(program, 0o644);
    // To root everything is executable that has an x for anybody; this has none.
    expect(() => findEngine([folder], rest)).toThrow(/uat-engine \(not executable by this user\)/);
  });

  it('is not met in a folder that others can enter', async () => {
    mkdirSync(join(folder, 'uat'));
    chmodSync(join(folder, 'uat'), 0o755);
    await expect(engine().socket()).rejects.toMatchObject({ retryable: false, message: expect.stringContaining(`chmod 700 ${join(folder, 'uat')}`) });
  });

  it('is not met behind a link', async () => {
    symlinkSync(tmpdir(), join(folder, 'uat'));
    await expect(engine().socket()).rejects.toThrow(/symbolic link/);
  });

  it('has another socket after it was rebuilt', () => {
    const before = findEngine([], env).socket;
    fake(`${FAKE}\n// rebuilt`);
    expect(findEngine([], env).socket).not.toBe(before);
  });

  it('has no socket whose path is too long for one', () => {
    const long = join(folder, 'x'.repeat(90));
    mkdirSync(long);
    expect(() => findEngine([], { ...env, XDG_RUNTIME_DIR: long })).toThrow(/set XDG_RUNTIME_DIR to a shorter private folder/);
  });

  it('that is reached answers on its socket', async () => {
    const client = connect(await engine().socket());
    client.write('GET /health HTTP/1.1\r\n\r\n');
    const [answer] = (await once(client, 'data')) as [Buffer];
    expect(answer.toString()).toContain('200 OK');
    client.destroy();
  });
});
