// What clients saw, as lines of JSON, and the judge of it: `uat-check-history`, which the tests use too.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

import { binary } from "../measure/processes.mjs";

/** Operations of one process. The clock is that of the kernel, which all processes share. */
export class History {
  #lines = [];

  /** Nanoseconds. */
  now() {
    return Number(process.hrtime.bigint());
  }

  /** `value` is left out for a delete, and null for a read that found nothing. */
  note(client, key, op, start, value, outcome = "ok") {
    this.#lines.push(JSON.stringify({ client, key, op, value, start, end: this.now(), outcome }));
  }

  get length() {
    return this.#lines.length;
  }

  write(file) {
    writeFileSync(file, this.#lines.map((line) => `${line}\n`).join(""));
  }
}

/** Throws before anything is measured that nobody could judge. */
export function requireJudge() {
  if (!existsSync(binary("uat-check-history"))) throw new Error(`${binary("uat-check-history")} does not exist: leave --no-build away`);
}

/** @returns What the judge found: `reads`, `stale`, `from_nowhere`, `lost`, and an example of each wrong read. */
export function judge(files, folder, rules) {
  const file = `${folder}/all.jsonl`;
  writeFileSync(file, files.map((one) => readFileSync(one, "utf8")).join(""));
  const { status, stdout, stderr, error } = spawnSync(binary("uat-check-history"), [...rules, "--examples", "100000", file], { encoding: "utf8", maxBuffer: 2 ** 28 });
  if (status !== 0 && status !== 1) throw new Error(`uat-check-history failed: ${error?.message ?? stderr}`);
  return JSON.parse(stdout);
}
