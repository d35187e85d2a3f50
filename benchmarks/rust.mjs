#!/usr/bin/env node
// The table of the guide: `npm run benchmark:rust [-- ROW...] [--quick] [--json] [--no-build]`. Each operation through the public class, on the Rust core and in
// TypeScript alone, in rounds that alternate. The rows lie in `rust/rows.mjs`.

import { fork } from "node:child_process";
import path from "node:path";
import process from "node:process";

import { commandLine } from "./measure/command-line.mjs";
import { atLeast, shown } from "./measure/goals.mjs";
import { runParts } from "./measure/parts.mjs";
import { build, repository, started } from "./measure/processes.mjs";
import { figure, markdownTable, median } from "./measure/report.mjs";
import { AROUND } from "./rust/around.mjs";
import { ROWS } from "./rust/rows.mjs";

const ROUNDS = 5;
const BACKENDS = ["native", "typescript"];

const PARTS = Object.fromEntries(Object.entries(ROWS).map(([name, row]) => [name, { title: row.name, run: (context) => compare(name, row, context) }]));
const { options, asked, say } = commandLine("rust", PARTS);
if (!options["no-build"]) build(options.json ? 2 : 1);
await runParts({ bench: "rust", parts: PARTS, asked, quick: options.quick, json: options.json, say });

async function compare(name, row, { quick }) {
  const rounds = quick ? 1 : ROUNDS;
  const [calls, seconds] = quick ? [Math.ceil(row.calls / 10), 0.5] : [row.calls, 3];
  const around = AROUND[name] ?? ((measure) => measure({}));
  const raw = await around(async (place) => {
    const found = [];
    for (let round = 0; round < rounds; round += 1) {
      // Whoever is second finds the machine as the first has left it.
      const order = round % 2 === 0 ? BACKENDS : [...BACKENDS].reverse();
      for (const backend of order) found.push({ round, backend, ...(await child(name, backend, calls, seconds, place)) });
    }
    return found;
  });
  const of = (backend, what) => raw.filter((one) => one.backend === backend).sort((a, b) => a.round - b.round).map((one) => one[what]);
  const pairs = (what) => of("native", what).map((native, round) => [native, of("typescript", what)[round]]);
  const less = (what) => pairs(what).map(([native, typescript]) => 100 * (1 - native / typescript));
  const columns = { p50_ms: "ms: median", p99_ms: "p99", cpu_ms: "CPU ms", per_second: `a second, ${row.beside} at once`, loop_p999_ms: "event loop late, p99.9 ms", peak_mib: "peak memory, MiB" };
  return {
    rounds,
    raw,
    claims: [
      atLeast("time that the Rust core spares, percent", row.claim, less("p50_ms")),
      shown("throughput, times that of TypeScript", pairs("per_second").map(([native, typescript]) => native / typescript)),
      shown("memory that it spares, percent", less("peak_mib")),
    ],
    tables: [markdownTable(["", ...Object.values(columns)], BACKENDS.map((backend) => [{ native: "Rust", typescript: "TypeScript" }[backend], ...Object.keys(columns).map((what) => figure(median(of(backend, what))))]))],
    notes: [`${row.what[0].toUpperCase()}${row.what.slice(1)}. The guide claims ${row.claim} % less time.`],
  };
}

async function child(name, backend, calls, seconds, place) {
  const forked = started(fork(path.join(repository, "benchmarks", "rust", "child.mjs"), [name, String(calls), String(seconds), JSON.stringify(place)], { cwd: repository, env: { ...process.env, UAT_BACKEND: backend } }));
  return await new Promise((resolve, reject) => {
    forked.once("message", resolve).once("error", reject).once("exit", (code) => reject(new Error(`${name} on ${backend} ended with ${code}`)));
  });
}
