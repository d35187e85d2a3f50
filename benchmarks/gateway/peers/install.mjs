// Installs a peer that comes from PyPI, once, into a virtual environment of its own below `benchmarks/peers`: their
// dependencies contradict each other. `benchmarks/peers/gateways/NAME.txt` pins all of them.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { run } from "../../../scripts/front-door/terminal.mjs";

const folder = path.join(import.meta.dirname, "..", "..", "peers");

/** The folder of the programs of this peer. */
export async function installed(name, say = console.error) {
  const venv = path.join(folder, `.venv-${name}`);
  const requirements = path.join(folder, "gateways", `${name}.txt`);
  const wanted = readFileSync(requirements, "utf8");
  const mark = path.join(venv, "installed.txt");
  if (!existsSync(mark) || readFileSync(mark, "utf8") !== wanted) {
    say(`Installing ${name} from PyPI (once)`);
    await run("python3", ["-m", "venv", venv], { quiet: true });
    await run(path.join(venv, "bin", "python"), ["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "-r", requirements], { quiet: true });
    writeFileSync(mark, wanted);
  }
  return path.join(venv, "bin");
}

/** The version that is pinned. */
export function pinned(name) {
  const line = readFileSync(path.join(folder, "gateways", `${name}.txt`), "utf8").split("\n").find((one) => one.startsWith(`${name}==`));
  return line.slice(name.length + 2);
}
