#!/usr/bin/env node
// What to try next: `npm run bench:params [-- PART...] [--only PART] [--quick] [--seeds N] [--samplers ours,optuna] [--groups plain,noisy] [--json] [--no-build]`.
// Each part lies in `params/`; the problems in `params/problems.py`, one place for ours and for the peers.

import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { runParts } from "./measure/parts.mjs";
import { binary, build, buildExamples } from "./measure/processes.mjs";
import * as advice from "./params/advice.mjs";
import * as bandits from "./params/bandits.mjs";
import { pinned } from "./params/peers.mjs";
import * as memory from "./params/memory.mjs";
import * as node from "./params/node.mjs";
import * as regret from "./params/regret.mjs";
import * as speed from "./params/speed.mjs";

const PARTS = { advice, speed, bandits, node, memory, regret };

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string", multiple: true, default: [] },
    quick: { type: "boolean", default: false },
    seeds: { type: "string" },
    samplers: { type: "string", default: "ours,optuna" },
    groups: { type: "string", default: "plain,noisy,mixed,constrained,table,bbob" },
    json: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const named = [...positionals, ...options.only];
const unknown = named.find((name) => !(name in PARTS));
const asked = named.length === 0 ? Object.keys(PARTS) : named;
if (options.help || unknown !== undefined) {
  if (unknown !== undefined) console.error(`params.mjs: there is no part ${unknown}`);
  console.log(`params.mjs [${Object.keys(PARTS).join("] [")}] [--only PART] [--quick] [--seeds N] [--samplers NAMES] [--groups NAMES] [--json] [--no-build]`);
  process.exit(options.help ? 0 : 2);
}
const say = options.json ? console.error : console.log;
if (!options["no-build"]) {
  buildExamples(["parameter-analytics-service"], options.json ? 2 : 1);
  // The package, which only this part goes through.
  if (asked.includes("node")) build(options.json ? 2 : 1);
}
// Whoever else works on this machine comes first; CPU time is what is measured.
os.setPriority(19);
const program = (name) => binary(path.join("examples", name));
const { quick, json, samplers, groups } = options;
await runParts({ bench: "params", parts: PARTS, asked, quick, json, say, context: { program, samplers, groups, seeds: options.seeds }, versions: pinned() });
