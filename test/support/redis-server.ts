import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/** A real redis-server on a free port, to be frozen, killed and started again. Keeps nothing on disk. */
export class RedisServer {
  readonly port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'uat-redis-'));
  readonly #args: string[];
  /** Of a Sentinel, which rewrites it. */
  readonly #sentinel: string | undefined;
  #process: ChildProcess | undefined;

  private constructor(port: number, args: string[], sentinel: string | undefined) {
    this.port = port;
    this.#args = args;
    this.#sentinel = sentinel;
  }

  /** @param sentinel The configuration of a Sentinel, which then is started instead. */
  static async start(args: string[] = [], sentinel?: string): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), args, sentinel);
    await server.restart();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it, empty, on the same port. */
  async restart(): Promise<void> {
    const own = this.#sentinel === undefined ? ['--save', '', '--appendonly', 'no'] : ['--sentinel'];
    const child = spawn('redis-server', [...this.#sentinel === undefined ? [] : [this.#sentinel], '--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#folder, ...own, ...this.#args], { stdio: 'ignore' });
    this.#process = child;
    for (let attempt = 0; attempt < 200; attempt += 1) {
      const answer = await this.cli('PING').catch(() => '');
      if (answer === 'PONG' || answer.startsWith('NOAUTH')) return;
      if (child.exitCode !== null) break;
      await sleep(20);
    }
    throw new Error(`redis-server did not start on port ${this.port}`);
  }

  /** What redis-cli prints, without the newline at the end. */
  async cli(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('redis-cli', ['-p', String(this.port), ...args], { timeout: 5_000 });
    return stdout.replace(/\n$/, '');
  }

  async freeze(): Promise<void> {
    this.#process?.kill('SIGSTOP');
  }

  async thaw(): Promise<void> {
    this.#process?.kill('SIGCONT');
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
