// The peers: installed once into `benchmarks/peers`, which git ignores but for what pins them.

import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { cargoEnv } from "../../scripts/front-door/build.mjs";
import { run } from "../../scripts/front-door/terminal.mjs";
import { start } from "../measure/processes.mjs";

const folder = path.join(import.meta.dirname, "..", "peers");
const python = path.join(folder, ".venv", "bin", "python");

/** node-llama-cpp with its prebuilt binary, the validator of JSON schemas, and the clients that the cache is compared with. */
export async function installFromNpm(say = console.log) {
  const mark = path.join(folder, "node_modules", ".package-lock.json");
  const isFresh = existsSync(mark) && statSync(mark).mtimeMs >= statSync(path.join(folder, "package-lock.json")).mtimeMs;
  if (isFresh) return;
  say("Installing the peers from npm (110 MB, once)");
  // Without the optional packages, which are binaries for GPUs and other systems: half a gigabyte.
  await run("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"], { cwd: folder, quiet: say !== console.log });
}

/** llama-cpp-python, which PyPI has as source only: pip builds its llama.cpp with that package's own defaults. */
export async function installFromPypi() {
  const requirements = readFileSync(path.join(folder, "requirements.txt"), "utf8");
  const mark = path.join(folder, ".venv", "installed.txt");
  if (existsSync(mark) && readFileSync(mark, "utf8") === requirements) return;
  console.log("Building llama-cpp-python from its source (once; about ten minutes on two cores)");
  if (!existsSync(python)) await run("python3", ["-m", "venv", path.join(folder, ".venv")]);
  const install = ["-m", "pip", "install", "--disable-pip-version-check", "--no-binary", "llama-cpp-python", "-r", "requirements.txt"];
  // The same compiler cache and generator as for our engine; they change nothing in what is built.
  await run(python, install, { cwd: folder, env: cargoEnv() });
  writeFileSync(mark, requirements);
}

/** A module of those that npm installed for the benchmarks. */
export const peerModule = (name) => createRequire(path.join(folder, "package.json"))(name);

/** The versions that are pinned, by name. */
export function peerVersions(names) {
  const { dependencies } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8"));
  return Object.fromEntries(names.map((name) => [name, dependencies[name]]));
}

export const peers = {
  "node-llama-cpp": (task) => ask(process.execPath, path.join(folder, "node-llama-cpp.mjs"), task),
  "llama-cpp-python": (task) => ask(python, path.join(folder, "llama-cpp-python.py"), task),
};

/** Runs a peer's program with a task as JSON on standard input, and returns the JSON that it prints. */
async function ask(program, script, task) {
  const child = start(program, [script], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify(task));
  let text = "";
  child.stdout.on("data", (data) => (text += data));
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`${path.basename(script)} ended with ${code}`);
  return JSON.parse(text);
}
