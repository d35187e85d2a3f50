// Our policy beside FIFO with LRU and beside Ollama's, on a recorded trace, with 4 GPUs of 24 GiB at three speeds.

import { spawnSync } from "node:child_process";

import { atLeast, atMost } from "../measure/goals.mjs";
import { binary } from "../measure/processes.mjs";
import { figure, markdownTable } from "../measure/report.mjs";

export const title = "A recorded trace on four GPUs";

const GPUS = "4x24576";
/** With the manager's defaults on real GPUs, where loads and instances slow each other. */
const DEFAULTS = " (one load at a time, replicas elsewhere)";
const VARIANTS = [
  ["ours,fifo-lru,ollama", "", []],
  ["ours", DEFAULTS, ["--loads-per-gpu", "1", "--replicas-elsewhere"]],
];

export async function run({ trace, quick }) {
  if (trace === undefined) throw new Error("expected --trace FILE: CSV with the columns arrival_ms, model, exec_ms, vram_mb, load_ms");
  const raw = [];
  for (const speedup of quick ? [3] : [1, 3, 5]) {
    for (const [names, variant, extra] of VARIANTS) {
      const ran = spawnSync(binary("uat"), ["gpu", "simulate", "--trace", trace, "--gpus", GPUS, "--policy", names, "--speedup", String(speedup), "--json", ...extra], { encoding: "utf8", maxBuffer: 1 << 26 });
      if (ran.status !== 0) throw new Error(ran.stderr);
      for (const [policy, outcome] of Object.entries(JSON.parse(ran.stdout).policies)) raw.push({ speedup, policy: policy + variant, ...outcome });
    }
  }
  const seconds = (ms) => `${figure(ms / 1000)} s`;
  const ours = raw.find((row) => row.speedup === 3 && row.policy === "ours");
  return {
    rounds: 1,
    raw,
    claims: [
      atMost("ours at speedup 3: mean wait, s", 20, [ours.mean_wait_ms / 1e3]),
      atMost("99th percentile, s", 150, [ours.p99_wait_ms / 1e3]),
      atLeast("within 30 s, %", 78, [100 * ours.within_30_s]),
    ],
    tables: [
      markdownTable(
        ["speedup", "policy", "mean", "p50", "p99", "longest", "within 30 s", "loads"],
        raw.map((row) => [row.speedup, row.policy, seconds(row.mean_wait_ms), seconds(row.p50_wait_ms), seconds(row.p99_wait_ms), seconds(row.max_wait_ms), `${figure(100 * row.within_30_s)} %`, row.loads].map(String)),
      ),
    ],
    notes: [
      "Waits are from arrival to the start of execution. An instance serves one request at a time, a load takes as long as the trace says, unloading takes no time, and instances on one GPU do not slow each other.",
      "The replay is exact: no clock is read, so that every run gives the same figures.",
    ],
  };
}
