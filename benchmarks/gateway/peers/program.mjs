// Starting a gateway of whatever make, and what is common to all of them.

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

import { start, stop } from "../../measure/processes.mjs";

/** Descriptors of each program, as far as the system allows: 5,000 streams need 10,000 of them. */
const DESCRIPTORS = 20_000;

/**
 * Starts a program and resolves when `ready` says that it serves. What it prints is kept for the explanation of a failure.
 *
 * @param {{ file: string, args: string[], url: string, ready: () => Promise<boolean>, env?: object, wrap?: string[], patience_s?: number }} what
 * `wrap` is a command that runs the program, such as one with files of its own; `env` is added to this process's.
 */
export async function serve({ file, args, url, ready, env = {}, wrap = [], patience_s = 120, headers = {}, model = "m" }) {
  const log = [];
  const limited = ["-c", `ulimit -n ${DESCRIPTORS} 2>/dev/null; exec "$@"`, "sh", ...wrap, file, ...args];
  const child = start("/bin/sh", limited, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data) => {
      log.push(String(data));
      // The beginning and the end explain a failure; a run may log for minutes.
      if (log.length > 200) log.splice(100, 1);
    });
  }
  const gateway = { url, headers, model, child, pids: () => family(child.pid), log, stop: () => stop(child) };
  const deadline = Date.now() + patience_s * 1e3;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new NotStarted(`ended with ${child.exitCode ?? child.signalCode}`, log);
    if (await ready().catch(() => false)) return gateway;
    if (Date.now() > deadline) {
      await stop(child);
      throw new NotStarted(`not ready after ${patience_s} s`, log);
    }
    await delay(20);
  }
}

/** A gateway that did not start, with the end of what it printed. */
export class NotStarted extends Error {
  constructor(what, log) {
    super(`${what}: ${log.join("").trim().slice(-400)}`);
    this.name = "NotStarted";
  }
}

/** A gateway as it starts, or null where it does not. */
export async function orNull(starting) {
  try {
    return await starting;
  } catch (error) {
    if (error.name !== "NotStarted") throw error;
    return null;
  }
}

/** Whether this answers 200. */
export const answers = (url) => async () => (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok;

/** A process and its descendants. */
export function family(pid) {
  const parents = new Map();
  for (const name of readdirSync("/proc").filter((one) => /^\d+$/.test(one))) {
    try {
      const fields = readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
      parents.set(Number(name), Number(fields[1]));
    } catch {
      // It ended while we looked.
    }
  }
  const found = [pid];
  for (const one of found) for (const [child, parent] of parents) if (parent === one) found.push(child);
  return found;
}

/** What a command says about its version, or why it does not. */
export function versionOf(file, ...args) {
  const { stdout, error } = spawnSync(file, args, { encoding: "utf8" });
  return error ? String(error.message) : stdout.trim().split("\n")[0];
}
