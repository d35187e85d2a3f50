#!/usr/bin/env node
// The local engine beside its peers, under load, and in trouble: `npm run bench:engine [-- PART...] [--quick]`.
// Each part lies in `engine/`; see README.md in this folder.

import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

import { goalsTable } from "./measure/goals.mjs";
import * as cancel from "./engine/cancel.mjs";
import * as faults from "./engine/faults.mjs";
import * as parallel from "./engine/parallel.mjs";
import * as prefix from "./engine/prefix.mjs";
import * as schemas from "./engine/schemas.mjs";
import * as speed from "./engine/speed.mjs";
import { binary, build } from "./measure/processes.mjs";
import { circumstances, csv, keep } from "./measure/report.mjs";

const PARTS = { speed, parallel, prefix, cancel, schemas, faults };

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
    model: { type: "string", default: "smollm2-135m" },
    help: { type: "boolean", default: false },
  },
});
const unknown = positionals.find((name) => !(name in PARTS));
if (options.help || unknown !== undefined) {
  if (unknown !== undefined) console.error(`engine.mjs: there is no part ${unknown}`);
  console.log(`engine.mjs [${Object.keys(PARTS).join("] [")}] [--quick] [--no-build] [--model NAME]; without a part, all`);
  process.exit(options.help ? 0 : 2);
}
const asked = positionals.length === 0 ? Object.keys(PARTS) : positionals;

if (!options["no-build"]) build();
const { quick, model } = options;
const file = modelFile(model);
const results = [];
for (const name of asked) {
  console.log(`\n${PARTS[name].title} (${name})`);
  // Taken for each part: a run of all takes half an hour, and the machine may become busy meanwhile.
  const about = circumstances();
  const result = await PARTS[name].run({ quick, model, file });
  results.push({ name, ...result });
  const body = [goalsTable(result.claims), ...result.tables, result.notes.map((note) => `- ${note}\n`).join("")].join("\n");
  console.log(`\n${body}`);
  if (quick) continue;
  const facts = Object.entries({ ...about, model }).map(([key, value]) => `- ${key}: ${value}\n`).join("");
  const kept = keep(`engine/${name}`, {
    "raw.csv": csv(result.raw),
    "summary.json": `${JSON.stringify({ about: { ...about, model }, claims: result.claims }, null, 2)}\n`,
    "summary.md": `# ${PARTS[name].title}, ${about.date.slice(0, 10)}\n\nReproduce with \`npm run bench:engine -- ${name}\`.\n\n${body}\n${facts}`,
  });
  console.log(`Kept in ${kept}`);
}
if (quick) console.log("A quick look: nothing was kept, and nothing here may be quoted.");
const missed = results.flatMap(({ name, claims }) => claims.filter(({ met }) => !met).map((claim) => `${name}: ${claim.name}`));
if (missed.length > 0) {
  console.log(`Not met:\n${missed.map((line) => `  ${line}\n`).join("")}`);
  process.exitCode = 1;
}

/** Where the model's file lies, for the peers. */
function modelFile(name) {
  const { status, stdout, stderr } = spawnSync(binary("uat"), ["models", "path", name], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${stderr.trim()}`);
  return stdout.trim();
}
