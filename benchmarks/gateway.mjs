#!/usr/bin/env node
// What the gateway costs: `npm run bench:gateway [-- --quick]`. See README.md in this folder for how to read it.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { binary, build, freePort, load, residentMib, startGateway, startServer, stop } from "./measure/processes.mjs";
import { circumstances, csv, figure, keep, markdownTable, median } from "./measure/report.mjs";

const { values: options } = parseArgs({
  options: {
    // A look in half a minute: too short to be quoted, so nothing is kept.
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    "no-build": { type: "boolean", default: false },
    // Another gateway binary, such as one of an earlier commit.
    uat: { type: "string", default: binary("uat") },
    help: { type: "boolean", default: false },
  },
});
if (options.help) {
  console.log("gateway.mjs [--quick] [--rounds N] [--no-build] [--uat FILE]");
  process.exit(0);
}

const sizes = options.quick
  ? { rounds: 2, latency: 500, cpu: 10_000, streams: 32, soak: 20_000 }
  : { rounds: 7, latency: 5_000, cpu: 100_000, streams: 160, soak: 1_000_000 };
const rounds = Number(options.rounds ?? sizes.rounds);

// 50 chunks, one every 10 ms: the pace of a fast model; slower ones would only make the run longer.
const chunks = 50;
const intervalMs = 10;
const connections = 16;

/** What is measured in every round, of each of its targets. */
const experiments = [
  {
    name: "latency, c=1",
    targets: ["direct", "bare", "uat", "again"],
    load: { connections: 1, requests: sizes.latency, warmup: 200 },
  },
  {
    name: "load, c=16",
    targets: ["bare", "uat", "again"],
    load: { connections, requests: sizes.cpu, warmup: 2_000 },
  },
  {
    name: "streams, c=16",
    targets: ["direct", "bare", "uat", "again"],
    // Spread over one answer, so that the streams do not all tick at once.
    load: {
      connections,
      requests: sizes.streams,
      warmup: connections,
      stream: true,
      "spread-ms": chunks * intervalMs,
    },
  },
];

if (!options["no-build"]) build();
const about = circumstances();
const folder = mkdtempSync(path.join(os.tmpdir(), "uat-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const mock = await startServer("mock-upstream", ["--chunks", chunks, "--interval-ms", intervalMs].map(String));
const bare = await startServer("bare-proxy", ["--upstream", new URL(mock.url).host]);
// The same program once more: what it differs from itself by is noise.
const again = await startServer("bare-proxy", ["--upstream", new URL(mock.url).host]);
const port = await freePort();
const config = path.join(folder, "uat.toml");
writeFileSync(
  config,
  `[server]
bind = "127.0.0.1:${port}"
[[endpoints]]
name = "mock"
protocol = "openai"
base_url = "${mock.url}"
[[models]]
name = "mock"
context_tokens = 8192
max_output_tokens = 4096
endpoints = [{ endpoint = "mock", model = "mock" }]
`,
);
const uat = await startGateway(options.uat, config, `http://127.0.0.1:${port}`);
const targets = {
  direct: { url: mock.url },
  bare: { url: bare.url, pid: bare.child.pid },
  uat: { url: uat.url, pid: uat.child.pid },
  again: { url: again.url, pid: again.child.pid },
};
const ask = (target, job) =>
  load({ url: `${targets[target].url}/v1/chat/completions`, pid: targets[target].pid, chunks, ...job });

const resting = residentMib(uat.child.pid);
const raw = [];
for (let round = 1; round <= rounds; round += 1) {
  for (const experiment of experiments) {
    // Every other round runs backwards: a drift of the machine then favours nobody.
    const order = round % 2 ? experiment.targets : [...experiment.targets].reverse();
    for (const target of order) {
      const result = await ask(target, experiment.load);
      raw.push({ round, experiment: experiment.name, target, ...flat(result) });
      process.stderr.write(`round ${round}/${rounds}: ${experiment.name}, ${target}\n`);
    }
  }
}
process.stderr.write(`soak: ${sizes.soak} requests\n`);
const warm = residentMib(uat.child.pid);
const soak = await ask("uat", { connections, requests: sizes.soak, warmup: 0 });
const soaked = residentMib(uat.child.pid);
await Promise.all([uat, bare, again, mock].map(({ child }) => stop(child)));

/** One level of names: `latency_us.p50` becomes `latency_us_p50`. */
function flat(result) {
  const entries = Object.entries(result).flatMap(([name, value]) =>
    value && typeof value === "object"
      ? Object.entries(value).map(([inner, figure]) => [`${name}_${inner}`, figure])
      : [[name, value]],
  );
  return Object.fromEntries(entries);
}

/** The figure of each round. */
function series(experiment, target, name) {
  return raw.filter((row) => row.experiment === experiment && row.target === target).map((row) => row[name]);
}

/** The target beside another in each round: what both had in common, such as a slow minute, cancels. */
function paired(experiment, name, target, other, compare) {
  const others = series(experiment, other, name);
  return series(experiment, target, name).map((value, index) => compare(value, others[index]));
}

const difference = (a, b) => a - b;
const ratio = (a, b) => a / b;
const [latency, cpu, streams] = experiments.map((experiment) => experiment.name);

/** Milliseconds added to what the upstream needs by itself. */
function added(name, goal, experiment, column) {
  const by = (target, other) => paired(experiment, column, target, other, difference).map((micros) => micros / 1e3);
  return claim(name, "ms", goal, by("uat", "direct"), by("bare", "direct"), by("again", "bare"));
}

/** Microseconds of the process. */
function spent(name, goal, experiment, column) {
  const noise = paired(experiment, column, "again", "bare", difference);
  return claim(name, "us", goal, series(experiment, "uat", column), series(experiment, "bare", column), noise);
}

/** How many times the bare proxy's. */
function times(name, goal, experiment, column) {
  const by = (target) => paired(experiment, column, target, "bare", ratio);
  return claim(name, "x", goal, by("uat"), [1], by("again").map((value) => value - 1));
}

/** One line of the report. `values` and `noise` hold a figure per round. */
function claim(name, unit, goal, values, bareValues = [], noise = []) {
  const value = median(values);
  return {
    name,
    unit,
    goal,
    median: value,
    least: Math.min(...values),
    most: Math.max(...values),
    bare_median: bareValues.length ? median(bareValues) : null,
    noise: noise.length ? median(noise.map(Math.abs)) : null,
    met: goal === null ? null : value <= goal,
  };
}

const claims = [
  added("added latency p50, c=1", 0.15, latency, "latency_us_p50"),
  spent("CPU per request, c=16", 60, cpu, "cpu_us_per_request"),
  times("CPU per request, of bare hyper's", 1.9, cpu, "cpu_us_per_request"),
  added("added first-content latency p50, streams", 0.5, streams, "first_content_us_p50"),
  added("added gap between chunks, p99", 5, streams, "gap_us_p99"),
  added("added gap between chunks, largest", 10, streams, "gap_us_max"),
  spent("CPU per streamed chunk", null, streams, "cpu_us_per_chunk"),
  times("CPU per streamed chunk, of bare hyper's", 1.3, streams, "cpu_us_per_chunk"),
  claim("RSS at rest", "MiB", 25, [resting]),
  claim("RSS before the soak", "MiB", null, [warm]),
  claim(`RSS growth by ${sizes.soak} requests more`, "%", 5, [(soaked / warm - 1) * 100]),
];

const table = markdownTable(
  ["", "unit", "goal", "uat", "over the rounds", "bare hyper", "noise", "met"],
  claims.map((claim) => [
    claim.name, claim.unit, claim.goal === null ? "" : `<= ${claim.goal}`, figure(claim.median),
    claim.least === claim.most ? "" : `${figure(claim.least)} .. ${figure(claim.most)}`,
    claim.bare_median === null ? "" : figure(claim.bare_median),
    claim.noise === null ? "" : `+-${figure(claim.noise)}`,
    claim.met === null ? "" : claim.met ? "yes" : "NO",
  ]),
);
const absolute = markdownTable(
  ["median over the rounds", "direct", "bare hyper", "uat"],
  [
    [latency, "latency_us_p50", "us"], [latency, "latency_us_p99", "us"], [cpu, "requests_per_s", "per s"],
    [cpu, "latency_us_p50", "us"], [cpu, "latency_us_p99", "us"], [streams, "first_content_us_p50", "us"],
    [streams, "gap_us_p50", "us"], [streams, "gap_us_p99", "us"], [streams, "gap_us_max", "us"],
  ].map(([experiment, name, unit]) => [
    `${experiment}: ${name.replace(/_us|_/g, " ").trim()} (${unit})`,
    ...["direct", "bare", "uat"].map((target) => {
      const values = series(experiment, target, name);
      return values.length ? figure(median(values)) : "";
    }),
  ]),
);
const facts = Object.entries(about).map(([name, value]) => `- ${name}: ${value}`).join("\n");
const markdown = `# Gateway, ${about.date.slice(0, 10)}

Reproduce with \`npm run bench:gateway\`. ${rounds} alternating rounds; a figure is the median of the rounds, an added one
the median of the differences within each round. "Noise" is how far a second bare proxy was from the first. What the
figures do and do not say: [README](../../../README.md).

${table}
${absolute}
${facts}
`;
console.log(`\n${table}\n${absolute}`);
if (options.quick) {
  console.log("A quick look: nothing was kept, and nothing here may be quoted.");
} else {
  const last = { round: 0, experiment: "soak, c=16", target: "uat", ...flat(soak) };
  const kept = keep("gateway", {
    "raw.csv": csv([...raw, last]),
    "summary.json": `${JSON.stringify({ about, rounds, sizes, claims }, null, 2)}\n`,
    "summary.md": markdown,
  });
  console.log(`Kept in ${kept}`);
}
