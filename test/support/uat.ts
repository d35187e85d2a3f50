import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { built } from './built.js';

export const MODEL = 'smollm2-135m';

/**
 * A user's machine of its own: no configuration, a private runtime folder, so that neither an engine nor a socket is
 * shared with anything outside the test.
 */
export class Machine {
  readonly folder = mkdtempSync(join(tmpdir(), 'uat-'));
  readonly env: NodeJS.ProcessEnv;
  readonly #children: ChildProcess[] = [];

  /** @param idleExitS The engine goes this many seconds after its last client. */
  constructor(idleExitS = 2) {
    for (const program of ['uat', 'uat-engine']) {
      if (!existsSync(built(program))) throw new Error(`${built(program)} is missing; run \`npm run build:rust\``);
    }
    const { UAT_CONFIG: _, UAT_BACKEND: __, ...inherited } = process.env;
    this.env = { ...inherited, XDG_RUNTIME_DIR: this.folder, UAT_ENGINE_PATH: built('uat-engine'), UAT__ENGINE__IDLE_EXIT_S: String(idleExitS) };
  }

  /** A model's file, fetched unless it is there. */
  async pull(model = MODEL): Promise<void> {
    await promisify(execFile)(built('uat'), ['models', 'pull', model], { env: this.env });
  }

  /** Runs a program to its end and gives what it printed. */
  async run(program: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    const { stdout } = await promisify(execFile)(program, args, { env: { ...this.env, ...env }, cwd: this.folder });
    return stdout;
  }

  /** Starts a program that the machine ends with itself. */
  start(program: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess & { stdout: NonNullable<ChildProcess['stdout']> } {
    const child = spawn(program, args, { env: { ...this.env, ...env }, cwd: this.folder, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#children.push(child);
    return child as ReturnType<Machine['start']>;
  }

  /** `uat serve` on a free port; gives its address. */
  async serve(...options: string[]): Promise<string> {
    const child = this.start(built('uat'), ['--log', 'warn', 'serve', '--bind', '127.0.0.1:0', ...options]);
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const url = /http:\/\/\S+/.exec(line)?.[0];
    if (url === undefined) throw new Error(`uat serve printed ${line}`);
    return url;
  }

  /** Process ids of the engines that serve a socket in this machine's runtime folder. */
  engines(): number[] {
    return readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(Number).filter(pid => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return words[0]?.endsWith('uat-engine') === true && words.some(word => word.startsWith(this.folder));
      } catch {
        // It ended while we looked.
        return false;
      }
    });
  }

  /** Ends what was started; an engine that is left is ended too, by its own id. */
  async stop(): Promise<void> {
    await Promise.all(this.#children.filter(child => child.exitCode === null && child.signalCode === null).map(async child => {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }));
    for (const pid of this.engines()) process.kill(pid, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
