// One process for each client and scenario: neither the compiler nor the heap of one knows of another. The processes live as
// long as the part, so that they are warm, and are asked in turn; those that are not asked do nothing.

import path from "node:path";

import { start, stop } from "../measure/processes.mjs";

/** A child that runs the `child` of a part's module. */
export class Child {
  #process;
  #waiting;

  constructor(process) {
    this.#process = process;
    process.on("message", ({ answer, error }) => this.#settle(error, answer));
    process.once("exit", (code, signal) => this.#settle(`the process ended with ${code ?? signal}`));
  }

  /** @param task What `child` of `cache/<module>.mjs` gets. */
  static async open(module, task, env = {}) {
    const file = path.join(import.meta.dirname, "child.mjs");
    const child = new Child(start(process.execPath, ["--expose-gc", file, module], { stdio: ["ignore", "inherit", "inherit", "ipc"], env: { ...process.env, ...env } }));
    await child.ask("open", task);
    return child;
  }

  /** Calls a method of what `child` returned. */
  ask(method, task = {}) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#process.send({ method, task }, (error) => error && this.#settle(error.message));
    });
  }

  async close() {
    await stop(this.#process);
  }

  #settle(error, answer) {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (error === undefined) waiting?.resolve(answer);
    else waiting?.reject(new Error(error));
  }
}

/** Opens one child for each name, hands them to `use`, and ends them whatever happens. Those that cannot be opened are told. */
export async function withChildren(module, tasks, use) {
  const children = {};
  const failed = [];
  try {
    for (const [name, task] of Object.entries(tasks)) {
      try {
        children[name] = await Child.open(module, task);
      } catch (error) {
        // Without our own there is nothing to compare.
        if (name === "ours") throw error;
        failed.push(`Not measured: ${name}: ${error.message.split("\n")[0]}`);
      }
    }
    return await use(children, failed);
  } finally {
    await Promise.all(Object.values(children).map((child) => child.close()));
  }
}

/** Asks all in turn, every other round backwards: a drift of the machine then favours nobody. */
export async function inTurn(children, rounds, ask) {
  const raw = [];
  for (let round = 1; round <= rounds; round += 1) {
    const names = Object.keys(children);
    for (const name of round % 2 ? names : names.reverse()) raw.push({ round, client: name, ...(await ask(children[name], name, round)) });
  }
  return raw;
}

/** The figures of one client. */
export const column = (raw, client, name) => raw.filter((row) => row.client === client).sort((a, b) => a.round - b.round).map((row) => row[name]);

/** Ours by the peer's in each round: what both had in common cancels. */
export function ratios(raw, name, peer, ours = "ours") {
  const theirs = column(raw, peer, name);
  // A peer that failed leaves a goal that was not measured.
  return theirs.length === 0 ? [NaN] : column(raw, ours, name).map((value, at) => value / theirs[at]);
}
