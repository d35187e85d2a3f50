#!/usr/bin/env node
// The router: `npm run bench:router [-- PART...] [--data FILE.csv[.gz]] [--quick] [--json] [--no-build]`.
// Each part lies in `router/`.


import * as decision from "./router/decision.mjs";
import * as feedback from "./router/feedback.mjs";
import * as quality from "./router/quality.mjs";
import { commandLine } from "./measure/command-line.mjs";
import { runParts } from "./measure/parts.mjs";
import { build } from "./measure/processes.mjs";

const PARTS = { decision, quality, feedback };

const { options, asked, say } = commandLine("router", PARTS, {
  own: { data: { type: "string" } },
  usage: "[--data FILE]",
  lacking: (asked, { data }) => (asked.includes("quality") && data === undefined ? "the part quality needs --data FILE: a CSV with a prompt, a score for each model, and a subject" : undefined),
});
if (!options["no-build"]) build(options.json ? 2 : 1);
const { data, quick, json } = options;
await runParts({ bench: "router", parts: PARTS, asked, quick, json, say, context: { data } });
