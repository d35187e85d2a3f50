#!/usr/bin/env node
// The router: `npm run bench:router [-- PART...] [--data FILE.csv[.gz]] [--quick] [--json] [--no-build]`.
// Each part lies in `router/`.

import { parseArgs } from "node:util";

import * as decision from "./router/decision.mjs";
import * as feedback from "./router/feedback.mjs";
import * as quality from "./router/quality.mjs";
import { runParts } from "./measure/parts.mjs";
import { build } from "./measure/processes.mjs";

const PARTS = { decision, quality, feedback };

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const unknown = positionals.find((name) => !(name in PARTS));
const asked = positionals.length === 0 ? Object.keys(PARTS) : positionals;
const lacking = unknown === undefined && asked.includes("quality") && options.data === undefined;
if (options.help || unknown !== undefined || lacking) {
  if (unknown !== undefined) console.error(`router.mjs: there is no part ${unknown}`);
  if (lacking && !options.help) console.error("router.mjs: the part quality needs --data FILE: a CSV with a prompt, a score for each model, and a subject");
  console.log(`router.mjs [${Object.keys(PARTS).join("] [")}] [--data FILE] [--quick] [--json] [--no-build]`);
  process.exit(options.help ? 0 : 2);
}
const say = options.json ? console.error : console.log;
if (!options["no-build"]) build(options.json ? 2 : 1);
const { data, quick, json } = options;
await runParts({ bench: "router", parts: PARTS, asked, quick, json, say, context: { data } });
