// Installs a peer that comes from PyPI, once, into a virtual environment of its own below `benchmarks/peers`: their
// dependencies contradict each other. `benchmarks/peers/gateways/NAME.txt` pins all of them.

import { readFileSync } from "node:fs";
import path from "node:path";

import { venv } from "../../../scripts/front-door/venv.mjs";

const folder = path.join(import.meta.dirname, "..", "..", "peers");

/** The folder of the programs of this peer. */
export function installed(name, say = console.error) {
  return venv(path.join(folder, `.venv-${name}`), path.join(folder, "gateways", `${name}.txt`), () => say(`Installing ${name} from PyPI (once)`));
}

/** The version that is pinned. */
export function pinned(name) {
  const line = readFileSync(path.join(folder, "gateways", `${name}.txt`), "utf8").split("\n").find((one) => one.startsWith(`${name}==`));
  return line.slice(name.length + 2);
}
