// The peers come from PyPI into a virtual environment that git ignores; their programs lie beside this file.

import { readFileSync } from "node:fs";
import path from "node:path";

import { venv } from "../../scripts/front-door/venv.mjs";
import { started } from "../measure/processes.mjs";
import { spawn } from "node:child_process";

const folder = path.join(import.meta.dirname, "..", "peers");
const requirements = path.join(folder, "params", "requirements.txt");
const environment = path.join(folder, ".venv-params");

/** The folder of the peers' programs, which are installed if they are not there. */
export function installed() {
  return venv(environment, requirements, () => console.error("Installing optuna, botorch, smac, mabwiser and torch from PyPI (5 GB, once)"));
}

/** The versions that figures depend on. */
export function pinned() {
  const lines = readFileSync(requirements, "utf8").split("\n").filter((line) => line.includes("=="));
  return Object.fromEntries(lines.map((line) => line.split("==")));
}

/** Runs a program of this folder; its standard error is progress, its standard output lines of JSON. */
export function python(script, args) {
  return jsonLines(path.join(installed(), "python"), [path.join(import.meta.dirname, script), ...args]);
}

/** The lines of JSON that a program prints. */
export async function jsonLines(program, args) {
  const child = started(spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, OMP_NUM_THREADS: "1", PYTHONWARNINGS: "ignore" } }));
  let text = "";
  child.stdout.on("data", (data) => (text += data));
  const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  if (code !== 0) throw new Error(`${[path.basename(program), ...args].join(" ")} ended with ${code}`);
  return text.trim().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}
