#!/usr/bin/env node
// GPU memory: `npm run bench:gpu -- --trace FILE [--quick] [--no-build]`.
//
// It puts our policy beside FIFO with LRU and beside Ollama's, on a recorded trace (columns arrival_ms, model,
// exec_ms, vram_mb, load_ms; gzip or not), with 4 GPUs of 24 GiB at three speeds. No trace comes with the project.

import { spawnSync } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";

import { binary, build } from "./measure/processes.mjs";
import { circumstances, csv, figure, keep, markdownTable } from "./measure/report.mjs";

const { values: options } = parseArgs({
  options: {
    trace: { type: "string" },
    quick: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
  },
});
if (!options.trace) {
  console.error("expected --trace FILE: CSV with the columns arrival_ms, model, exec_ms, vram_mb, load_ms");
  process.exit(2);
}
const gpus = "4x24576";
const policies = ["ours", "fifo-lru", "ollama"];
const speedups = options.quick ? [3] : [1, 3, 5];
/** Of speedup 3. */
const goals = { mean_wait_ms: "<= 20 s", p99_wait_ms: "<= 150 s", within_30_s: ">= 78 %" };

if (!options["no-build"]) build();
const about = circumstances();
const rows = [];
for (const speedup of speedups) {
  for (const [variant, extra] of [["", []], [" (one load at a time, replicas elsewhere)", ["--loads-per-gpu", "1", "--replicas-elsewhere"]]]) {
    const names = variant ? ["ours"] : policies;
    const ran = spawnSync(binary("uat"), ["gpu", "simulate", "--trace", options.trace, "--gpus", gpus, "--policy", names.join(","), "--speedup", String(speedup), "--json", ...extra], { encoding: "utf8", maxBuffer: 1 << 26 });
    if (ran.status !== 0) throw new Error(ran.stderr);
    for (const [policy, outcome] of Object.entries(JSON.parse(ran.stdout).policies)) rows.push({ speedup, policy: policy + variant, ...outcome });
  }
}
const seconds = (ms) => `${figure(ms / 1000)} s`;
const table = markdownTable(
  ["speedup", "policy", "mean", "p50", "p99", "longest", "within 30 s", "loads"],
  rows.map((row) => [row.speedup, row.policy, seconds(row.mean_wait_ms), seconds(row.p50_wait_ms), seconds(row.p99_wait_ms), seconds(row.max_wait_ms), `${figure(100 * row.within_30_s)} %`, row.loads].map(String)),
);
console.log(`\n${table}`);
if (options.quick) {
  console.log("A quick look: nothing was kept, and nothing here may be quoted.");
} else {
  const facts = Object.entries(about).map(([name, value]) => `- ${name}: ${value}`).join("\n");
  const goal = Object.entries(goals).map(([name, value]) => `${name} ${value}`).join(", ");
  const kept = keep("gpu/replay", {
    "raw.csv": csv(rows),
    "summary.json": `${JSON.stringify({ about, trace: path.basename(options.trace), gpus, goals, rows }, null, 2)}\n`,
    "summary.md": `# A recorded trace on four GPUs, ${about.date.slice(0, 10)}\n\nReproduce with \`npm run bench:gpu -- --trace FILE\`. Waits are from arrival to the start of execution. An instance serves one\nrequest at a time, a load takes as long as the trace says, unloading takes no time, and instances on one GPU do not slow each\nother. The replay is exact: no clock is read, so that every run gives the same figures.\n\nGoals at speedup 3, of ours: ${goal}.\n\n${table}\n${facts}\n`,
  });
  console.log(`kept in ${kept}`);
}
