#!/usr/bin/env node
// GPU memory: `npm run bench:gpu [-- PART...] [--trace FILE] [--quick] [--json] [--no-build]`. Each part lies in `gpu/`; `replay` needs a trace, of which none comes with the project.

import path from "node:path";

import * as leases from "./gpu/leases.mjs";
import * as replay from "./gpu/replay.mjs";
import { commandLine } from "./measure/command-line.mjs";
import { runParts } from "./measure/parts.mjs";
import { binary, build, buildExamples } from "./measure/processes.mjs";

const PARTS = { replay, leases };

const { options, named, asked: all, say } = commandLine("gpu", PARTS, { own: { trace: { type: "string" } }, usage: "[--trace FILE]" });
const asked = named.length > 0 ? named : all.filter((name) => name !== "replay" || options.trace !== undefined);
if (named.length === 0 && options.trace === undefined) say("Without --trace FILE no day is replayed.");
if (!options["no-build"]) {
  build(options.json ? 2 : 1);
  buildExamples(["vision-resource-manager", "fake-nvml"], options.json ? 2 : 1);
}
const program = (name) => binary(path.join("examples", name));
await runParts({ bench: "gpu", parts: PARTS, asked, quick: options.quick, json: options.json, say, context: { program, trace: options.trace } });
