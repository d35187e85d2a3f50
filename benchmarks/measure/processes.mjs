// Building, starting and ending the programs that a benchmark needs. Every child is ended by its own handle.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const repository = fileURLToPath(new URL("../..", import.meta.url));

/** Where cargo puts the release binaries. */
export function binary(name) {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(repository, "target");
  return path.join(target, "release", name);
}

/** The libraries and examples of crates; `output` is the file descriptor that the compiler's own output goes to. Ends the program where that fails: the compiler has said why. */
export function buildExamples(crates, output) {
  const { status } = spawnSync("cargo", ["build", "--release", "--locked", ...crates.flatMap((name) => ["-p", name]), "--lib", "--examples"], { cwd: repository, stdio: ["ignore", output, "inherit"] });
  if (status !== 0) process.exit(1);
}

/** Builds everything with the profile that ships, the way `npm run demo` does, so that nothing is built twice. `output`: a file descriptor. */
export function build(output = 1) {
  for (const [command, ...args] of [["node", "scripts/package.mjs", "--addon"], ["npm", "run", "--silent", "build:ts"]]) {
    const { status } = spawnSync(command, args, { cwd: repository, stdio: ["ignore", output, "inherit"] });
    if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed with status ${status}`);
  }
}

/** Children that are running, so that a failure leaves none behind. */
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

/** Starts a program that ends with this one at the latest. */
export function start(file, args, options) {
  if (!existsSync(file)) throw new Error(`${file} does not exist: leave --no-build away`);
  return started(spawn(file, args, options));
}

/** A child that ends with this program at the latest. */
export function started(child) {
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

/** Ends a child and waits for it. */
export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  // Longer than any drain of what is measured here, which has nothing left to do.
  const patience = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await ended;
  clearTimeout(patience);
}

/** Starts a program that prints `listening on http://HOST:PORT`, and resolves when it has. */
export async function startServer(name, args) {
  const child = start(binary(name), args, { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (data) => {
      text += data;
      const [, address] = /listening on (http:\S+)\n/.exec(text) ?? [];
      if (address) resolve(address);
    });
    child.once("exit", (code) => reject(new Error(`${name} exited with ${code} before it listened`)));
  });
  return { child, url };
}

/** A daemon that gives out memory of GPUs and listens. */
export async function startGpuDaemon(args, env = {}) {
  const daemon = start(binary("uat"), ["gpu", "daemon", ...args], { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } });
  await new Promise((resolve, reject) => {
    daemon.stdout.once("data", resolve);
    daemon.once("exit", (code) => reject(new Error(`the daemon ended with ${code}`)));
  });
  return daemon;
}

/** Resident memory of a process now, in MiB. */
export function residentMib(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;
}

/** Process ids of the engines whose socket lies in this folder. */
export function enginesOf(folder) {
  const words = (pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    } catch {
      // It ended while we looked.
      return [];
    }
  };
  const serves = ([name, ...args]) => name?.endsWith("uat-engine") && args.some((arg) => arg.startsWith(folder));
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && serves(words(name))).map(Number);
}

/** A port that was free a moment ago. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts the gateway with this configuration file, and resolves when it is ready. `env` is added to this process's. */
export async function startGateway(file, configFile, url, env = {}) {
  const log = [];
  const child = start(file, ["serve", "--config", configFile], { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data) => {
      log.push(String(data));
      // The beginning and the end explain a failure; a run may log for minutes.
      if (log.length > 200) log.splice(100, 1);
    });
  }
  const deadline = Date.now() + 20_000;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the gateway exited with ${child.exitCode}:\n${log.join("")}`);
    const ready = await fetch(`${url}/health/ready`).then((response) => response.ok, () => false);
    if (ready) return { child, url, log };
    if (Date.now() > deadline) {
      await stop(child);
      throw new Error(`the gateway was not ready after 20 s:\n${log.join("")}`);
    }
    await delay(20);
  }
}

/** Runs the load generator and returns what it measured; an option with a list is given once for each. A wrong answer is an error: its timing means nothing. */
export async function load(options) {
  const args = Object.entries(options).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : value === undefined ? [] : [value].flat().flatMap((one) => [`--${name}`, String(one)]),
  );
  const child = start(binary("load"), args, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (data) => (text += data));
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`load ${args.join(" ")} exited with ${code}`);
  const result = JSON.parse(text);
  if (result.failed + result.failed_in_warmup > 0) {
    throw new Error(`load ${args.join(" ")}: ${result.failed} of ${result.requests} wrong: ${result.first_failure}`);
  }
  return result;
}
