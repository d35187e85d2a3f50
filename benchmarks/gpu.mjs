#!/usr/bin/env node
// GPU memory: `npm run bench:gpu [-- PART...] [--trace FILE] [--quick] [--json] [--no-build]`. Each part lies in `gpu/`; `replay` needs a trace, of which none comes with the project.

import { spawnSync } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";

import * as leases from "./gpu/leases.mjs";
import * as replay from "./gpu/replay.mjs";
import { runParts } from "./measure/parts.mjs";
import { binary, build, repository } from "./measure/processes.mjs";

const PARTS = { replay, leases };

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    trace: { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const unknown = positionals.find((name) => !(name in PARTS));
if (options.help || unknown !== undefined) {
  if (unknown !== undefined) console.error(`gpu.mjs: there is no part ${unknown}`);
  console.log(`gpu.mjs [${Object.keys(PARTS).join("] [")}] [--trace FILE] [--quick] [--json] [--no-build]`);
  process.exit(options.help ? 0 : 2);
}
const asked = positionals.length > 0 ? positionals : Object.keys(PARTS).filter((name) => name !== "replay" || options.trace !== undefined);
const say = options.json ? console.error : console.log;
if (positionals.length === 0 && options.trace === undefined) say("Without --trace FILE no day is replayed.");
if (!options["no-build"]) {
  build(options.json ? 2 : 1);
  const { status } = spawnSync("cargo", ["build", "--release", "--locked", "-p", "vision-resource-manager", "-p", "fake-nvml", "--lib", "--examples"], { cwd: repository, stdio: ["ignore", options.json ? 2 : 1, "inherit"] });
  if (status !== 0) process.exit(1);
}
const program = (name) => binary(path.join("examples", name));
await runParts({ bench: "gpu", parts: PARTS, asked, quick: options.quick, json: options.json, say, context: { program, trace: options.trace } });
