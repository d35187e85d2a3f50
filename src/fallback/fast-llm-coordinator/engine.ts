import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import type { EngineSettings } from './config.js';
import { EngineError, type EnginePlace, ensurePrivate, findEngine } from './engine-place.js';

/** How long a running engine may take to answer its first question. */
const ANSWER_TIMEOUT_MS = 10_000;
/** How long a start may take, another process's included. */
const START_TIMEOUT_MS = 30_000;
/** How often a starting engine is looked for. */
const POLL_MS = 5;
/** How much of the engine's log an error quotes, in characters. */
const LOG_TAIL = 2_000;
/** An engine that lived longer than this was working. */
const SHORT_LIFE_MS = 5_000;
/** So many short lives in a row are a loop, after which each start waits; short lives a minute apart are none. */
const LOOP = 3;
const MEMORY_MS = 60_000;
const BACKOFF_BASE_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;

/** The engine's flags for what a configuration may leave to it. */
const FLAGS = {
  '--threads': 'threads', '--ctx': 'context_tokens', '--slots': 'slots', '--queue': 'queue', '--kv-type': 'kv_type', '--gpu-layers': 'gpu_layers',
  '--unload-after-s': 'unload_after_s', '--memory-mb': 'memory_mb',
} as const satisfies Record<string, keyof EngineSettings>;

/**
 * This process's hold on the one local engine of its user, which native processes share: the same folder, names and lock
 * as `crates/child-engine`. An idle connection keeps the engine alive; it does not keep this process alive.
 */
export class Engine {
  readonly #settings: EngineSettings;
  readonly #search: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  #held: { lease: Socket; socket: string } | undefined;
  #attaching: Promise<string> | undefined;
  #closed = false;
  /** Ends of engines soon after their start. */
  #crashes = { inARow: 0, lastMs: -Infinity, notBeforeMs: 0 };

  constructor(settings: EngineSettings, search: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.#settings = settings;
    this.#search = search;
    this.#env = env;
  }

  /**
   * The path of the socket on which the engine answers; it is started if it does not run.
   *
   * @throws {EngineError}
   */
  async socket(): Promise<string> {
    if (this.#held !== undefined) return this.#held.socket;
    // Not cancelled with the request that caused it: somebody else may wait for the same start.
    this.#attaching ??= this.#attach().finally(() => {
      this.#attaching = undefined;
    });
    return await this.#attaching;
  }

  /** Lets go of the engine, which exits in its own time once nobody else holds it. */
  close(): void {
    this.#closed = true;
    this.#held?.lease.destroy();
  }

  async #attach(): Promise<string> {
    const place = findEngine(this.#search, this.#env);
    ensurePrivate(place);
    const lease = await openLease(place.socket) ?? await this.#start(place);
    if (this.#closed) {
      lease.destroy();
      throw new EngineError('the connection to the local engine was closed');
    }
    this.#hold(lease, place.socket);
    return place.socket;
  }

  #hold(lease: Socket, socket: string): void {
    const sinceMs = performance.now();
    this.#held = { lease, socket };
    lease.unref();
    lease.resume();
    lease.once('close', () => {
      this.#held = undefined;
      if (!this.#closed) this.#ended(sinceMs);
    });
  }

  #ended(sinceMs: number): void {
    const now = performance.now();
    if (now - sinceMs >= SHORT_LIFE_MS) {
      this.#crashes = { inARow: 0, lastMs: -Infinity, notBeforeMs: 0 };
      return;
    }
    const inARow = now - this.#crashes.lastMs < MEMORY_MS ? this.#crashes.inARow + 1 : 1;
    const wait = Math.min(BACKOFF_BASE_MS * 2 ** (inARow - LOOP), BACKOFF_MAX_MS) * (0.25 + 0.75 * Math.random());
    this.#crashes = { inARow, lastMs: now, notBeforeMs: inARow >= LOOP ? now + wait : 0 };
  }

  async #start(place: EnginePlace): Promise<Socket> {
    const waitMs = this.#crashes.notBeforeMs - performance.now();
    if (waitMs > 0) throw new EngineError(`the local engine has ended ${this.#crashes.inARow} times soon after its start: the next start is in ${(waitMs / 1000).toFixed(1)} s; see ${place.log}`, true);
    const deadline = performance.now() + START_TIMEOUT_MS;
    const unlock = await lock(place.lock);
    try {
      const running = await openLease(place.socket);
      if (running !== undefined) return running;
      // A socket that nobody answers on, seen while holding the lock, is what a killed engine left.
      rmSync(place.socket, { force: true });
      return await this.#spawnAndMeet(place, deadline);
    } finally {
      unlock();
    }
  }

  async #spawnAndMeet(place: EnginePlace, deadline: number): Promise<Socket> {
    const beganMs = performance.now();
    const { child, failed } = this.#spawn(place);
    for (;;) {
      const lease = await openLease(place.socket);
      if (lease !== undefined) return lease;
      const reason = failed();
      if (reason !== undefined) {
        this.#ended(beganMs);
        throw new EngineError(`the local engine ${place.program} ended while starting (${reason}); its last words: ${tail(place.log)}`, true);
      }
      if (performance.now() >= deadline) {
        child.kill('SIGKILL');
        throw new EngineError(`the local engine did not answer on ${place.socket} within ${START_TIMEOUT_MS / 1000} s; see ${place.log}`, true);
      }
      await sleep(POLL_MS);
    }
  }

  /** In a session of its own, so that it outlives this process and Ctrl-C in the terminal does not reach it. */
  #spawn({ program, socket, log }: EnginePlace): { child: ChildProcess; failed: () => string | undefined } {
    const settings = Object.entries(FLAGS).flatMap(([flag, key]) => (this.#settings[key] === undefined ? [] : [flag, String(this.#settings[key])]));
    const stderr = openSync(log, 'w', 0o600);
    try {
      const child = spawn(program, ['--socket', socket, '--idle-exit-s', String(this.#settings.idle_exit_s), ...settings], { detached: true, stdio: ['ignore', 'ignore', stderr], env: this.#env });
      let reason: string | undefined;
      child.once('error', error => { reason = error.message; });
      child.once('exit', (code, signal) => { reason = signal === null ? `exit status ${code}` : `signal ${signal}`; });
      child.unref();
      return { child, failed: () => reason };
    } finally {
      closeSync(stderr);
    }
  }
}

/**
 * A connection that was answered once: while it is open the engine has a client and does not exit. `undefined` if no
 * engine listens, or the one that did is just exiting: only an answer tells.
 */
async function openLease(path: string): Promise<Socket | undefined> {
  return await new Promise((resolve, reject) => {
    const socket = connect(path);
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new EngineError(`the local engine on ${path} accepts connections but does not answer; end it and try again`, true));
    }, ANSWER_TIMEOUT_MS);
    const gone = (): void => {
      clearTimeout(timer);
      resolve(undefined);
    };
    socket.once('connect', () => socket.write('GET /health HTTP/1.1\r\nhost: uat-engine\r\n\r\n'));
    socket.once('data', () => {
      clearTimeout(timer);
      socket.off('close', gone);
      resolve(socket);
    });
    // Nothing there, or a socket whose engine died; the close that follows an error tells it.
    socket.on('error', () => undefined);
    socket.once('close', gone);
  });
}

/**
 * Takes the lock that native processes take, flock(2) on the file; Node has no call for it, so the program `flock` of
 * util-linux (or busybox) holds it as long as its input stays open, also if this process is killed.
 */
async function lock(path: string): Promise<() => void> {
  const holder = spawn('flock', [path, 'sh', '-c', 'echo; exec cat'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const release = (): void => {
    holder.stdin.destroy();
    holder.stdout.destroy();
  };
  // The holder may end before its input does; that is no error of anybody's.
  holder.stdin.on('error', () => undefined);
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      holder.kill();
      reject(new EngineError(`another process holds ${path} and should be starting the local engine; it did not within ${START_TIMEOUT_MS / 1000} s`, true));
    }, START_TIMEOUT_MS);
    holder.once('error', error => {
      clearTimeout(timer);
      reject(new EngineError(`the program flock (of util-linux) is needed to start the local engine without the native addon: ${error.message}`));
    });
    holder.once('exit', code => {
      clearTimeout(timer);
      reject(new EngineError(`cannot lock ${path}: flock ended with status ${code}`));
    });
    holder.stdout.once('data', () => {
      clearTimeout(timer);
      resolve(release);
    });
  });
}

/** The end of the engine's log. */
function tail(log: string): string {
  try {
    return readFileSync(log, 'utf8').slice(-LOG_TAIL).trim() || '(none)';
  } catch (error) {
    return `(the log cannot be read: ${(error as Error).message})`;
  }
}
