import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { built } from './built.js';

/** `uat gpu daemon` with scripted GPUs, in a folder of its own. */
export class GpuDaemon {
  readonly folder = mkdtempSync(join(tmpdir(), 'uat-gpu-'));
  readonly socket = join(this.folder, 'gpu.sock');
  readonly #totalMb: number[];
  #child: ChildProcess | undefined;

  private constructor(totalMb: number[]) {
    this.#totalMb = totalMb;
  }

  /** @param totalMb MiB of each GPU, of which nothing is kept. */
  static async start(totalMb: number[]): Promise<GpuDaemon> {
    const daemon = new GpuDaemon(totalMb);
    await daemon.start();
    return daemon;
  }

  /** Again, after `kill`. */
  async start(): Promise<void> {
    const program = built('uat');
    if (!existsSync(program)) throw new Error(`${program} is missing; run \`cargo build --release -p uat\``);
    // From the environment, since a machine may have GPUs of different sizes.
    const { UAT_CONFIG: _, UAT_GPU_SOCKET: __, ...inherited } = process.env;
    const env = { ...inherited, UAT__GPU__FAKE_GPUS_MB: JSON.stringify(this.#totalMb) };
    const args = ['gpu', 'daemon', '--socket', this.socket, '--state', join(this.folder, 'state'), '--headroom', '0', '--poll-ms', '5'];
    const child = spawn(program, args, { env, cwd: this.folder, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    const [line] = (await Promise.race([once(createInterface({ input: child.stdout }), 'line'), once(child, 'exit').then(([code]) => { throw new Error(`uat gpu daemon ended with ${code}`); })])) as [string];
    if (!line.startsWith('listening')) throw new Error(`uat gpu daemon printed ${line}`);
  }

  /** With SIGKILL. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** It ends as it does when its user ends it, and its folder goes. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }
}
