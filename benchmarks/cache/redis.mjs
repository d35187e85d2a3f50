// A real redis-server for one part: on a free port, with a folder of its own, ended by its own handle.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { peerModule } from "../engine/peers.mjs";
import { freePort, start, stop } from "../measure/processes.mjs";

/** Debian's; another one may be named. */
const PROGRAM = process.env.UAT_BENCH_REDIS_SERVER ?? "/usr/bin/redis-server";
/** Longer than loading an append-only file of this benchmark takes. */
const START_MS = 10_000;

/** Such as `7.0.15`. */
export function serverVersion() {
  return /v=(\S+)/.exec(spawnSync(PROGRAM, ["--version"], { encoding: "utf8" }).stdout ?? "")?.[1];
}

const folders = new Set();
process.on("exit", () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

/** A folder that goes when this program does. */
export function temporaryFolder(name) {
  const folder = mkdtempSync(path.join(os.tmpdir(), `uat-bench-${name}-`));
  folders.add(folder);
  return folder;
}

export class Redis {
  #folder = temporaryFolder("redis");
  #settings;
  #child;
  /** A connection from outside, by which the benchmark fills, looks and kills. */
  control;

  constructor(port, settings) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.#settings = settings;
  }

  /** Keeps nothing on disk, unless the settings say so. */
  static async start(settings = { save: "", appendonly: "no" }) {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} does not exist: install redis-server, or name another with UAT_BENCH_REDIS_SERVER`);
    const redis = new Redis(await freePort(), settings);
    await redis.restart();
    return redis;
  }

  /** Starts it on the same port, with what it kept on disk. */
  async restart() {
    const settings = { port: this.port, bind: "127.0.0.1", dir: this.#folder, ...this.#settings };
    this.#child = start(PROGRAM, Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]), { stdio: "ignore" });
    const deadline = Date.now() + START_MS;
    for (;;) {
      // Each attempt has a connection of its own: one that was refused would wait before it tries again.
      this.control = new (peerModule("ioredis").Redis)(this.url, { retryStrategy: null, maxRetriesPerRequest: 0, lazyConnect: true });
      // A refusal is told by `ping`, and a connection that a kill ends is of no interest.
      this.control.on("error", () => {});
      const answered = await this.control.ping().then(() => true, () => false);
      if (answered) return;
      this.control.disconnect();
      if (Date.now() > deadline || this.#child.exitCode !== null) throw new Error(`redis-server did not start on port ${this.port}`);
      await delay(5);
    }
  }

  /** Connections stay open, and nothing is answered. */
  freeze() {
    this.#child.kill("SIGSTOP");
  }

  thaw() {
    this.#child.kill("SIGCONT");
  }

  /** kill -9. */
  async kill() {
    this.control.disconnect();
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
  }

  async stop() {
    this.control.disconnect();
    this.thaw();
    await stop(this.#child);
    rmSync(this.#folder, { recursive: true, force: true });
    folders.delete(this.#folder);
  }
}
