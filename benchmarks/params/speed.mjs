// CPU time of an ask, beside the peers; a batch of eight; and what a process costs until its first ask.

import { spawnSync } from "node:child_process";
import { performance } from "node:perf_hooks";
import path from "node:path";

import { atMost, shown } from "../measure/goals.mjs";
import { figure, markdownTable, median } from "../measure/report.mjs";
import { installed, python } from "./peers.mjs";

export const title = "CPU milliseconds of an ask";

/** By how much is known, on Hartmann6. */
const GOALS = { 50: 3, 100: 5, 200: 12, 500: 60, 1000: 250 };
const MIXED_GOAL = 10;
/** Starts of a process, of which the median counts. */
const STARTS = 3;

export async function run({ program, quick, say }) {
  const suggest = program("suggest");
  const raw = [];
  for (const [space, counts] of [["hartmann6", Object.keys(GOALS).filter((n) => !quick || n <= 200)], ["prompts", ["100"]]]) {
    for (const n of counts) {
      say(`  ${space}, ${n} known`);
      // An ask of a peer at 1,000 takes seconds.
      const args = [suggest, "--space", space, "--counts", n, "--asks", n >= 500 || quick ? "2" : "5", "--peers", space === "prompts" ? "optuna" : n >= 1000 ? "optuna" : "optuna,botorch"];
      raw.push(...(await python("speed.py", args)));
    }
  }
  const of = (sampler, space, n) => raw.find((row) => row.sampler === sampler && row.space === space && row.n === Number(n));
  const cold = Object.fromEntries(["ours", "optuna"].map((name) => [name, starts(name, suggest)]));
  const rows = raw.filter((row) => row.sampler === "ours").map((own) => {
    const cells = ["optuna", "botorch"].map((name) => of(name, own.space, own.n));
    return [own.space, own.n, figure(own.mean_ms), figure(own.largest_ms), figure(own.first_ms), ...cells.map((row) => figure(row?.mean_ms)), figure(cells[0].mean_ms / own.mean_ms)];
  });
  const batches = raw.filter((row) => row.batch_ms !== null).map((row) => [row.sampler, row.space, row.n, figure(row.mean_ms), figure(row.batch_ms), figure(row.batch_ms / row.mean_ms)]);
  return {
    rounds: 1,
    raw,
    claims: [
      ...raw.filter((row) => row.sampler === "ours" && row.space === "hartmann6").map((row) => atMost(`Hartmann6, ${row.n} known, mean`, GOALS[row.n], [row.mean_ms])),
      atMost("mixed space, 100 known, mean", MIXED_GOAL, [of("ours", "prompts", 100).mean_ms]),
      ...raw.filter((row) => row.sampler === "ours").map((row) => atMost(`eight at once beside one, per point (${row.space}, ${row.n})`, 2, [row.batch_ms / row.mean_ms])),
      atMost("start of the program, twelve trials and an ask, ms", 20, cold.ours),
      shown("the same with Optuna and torch, ms", cold.optuna),
    ],
    tables: [
      markdownTable(["space", "known", "ours, mean", "largest", "first", "Optuna", "BoTorch", "Optuna / ours"], rows),
      markdownTable(["sampler", "space", "known", "one", "eight, each", "ratio"], batches),
    ],
    notes: [
      "Ours is asked over a whole time between two fits of its hyperparameters; `largest` is the ask that fits, `first` the one right after all points were told at once.",
      "The start of ours is that of a Rust program, not of the Node addon, whose import is not in it; wall time, the median of three.",
    ],
  };
}

/** Wall ms from nothing to the thirteenth ask. */
function starts(name, suggest) {
  const interpreter = path.join(installed(), "python");
  const times = Array.from({ length: STARTS }, () => {
    const from = performance.now();
    const { status, stderr } = name === "ours" ? ours(suggest) : spawnSync(interpreter, [path.join(import.meta.dirname, "cold.py"), name, suggest], { encoding: "utf8" });
    if (status !== 0) throw new Error(`the start of ${name} failed: ${stderr}`);
    return performance.now() - from;
  });
  return [median(times)];
}

/** The same without Python: all requests at once, since the trials' numbers are known. */
function ours(suggest) {
  const space = Object.fromEntries(Array.from({ length: 6 }, (_, n) => [`x${n}`, { type: "float", low: 0, high: 1 }]));
  const requests = [{ create: { name: "cold", space, sampler: "gp", seed: 1 } }];
  for (let trial = 0; trial < 12; trial += 1) requests.push({ ask: 1 }, { tell: trial, values: [Math.sin(trial)] });
  requests.push({ ask: 1 });
  const { status, stdout, stderr } = spawnSync(suggest, [], { encoding: "utf8", input: requests.map((request) => `${JSON.stringify(request)}\n`).join("") });
  return { status: stdout.includes("error") ? 1 : status, stderr: stderr + stdout };
}
