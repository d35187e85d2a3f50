#!/usr/bin/env node
// The gateway beside its peers: `npm run bench:gateway [-- PART...] [--quick] [--json]`.
// Each part lies in `gateway/`; see README.md in this folder.

import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import * as cache from "./gateway/cache.mjs";
import * as chunks from "./gateway/chunks.mjs";
import * as cpu from "./gateway/cpu.mjs";
import * as disconnect from "./gateway/disconnect.mjs";
import * as faults from "./gateway/faults.mjs";
import * as latency from "./gateway/latency.mjs";
import * as matrix from "./gateway/fault-matrix.mjs";
import * as memory from "./gateway/memory.mjs";
import * as resume from "./gateway/resume.mjs";
import * as slowReplica from "./gateway/slow-replica.mjs";
import * as streams from "./gateway/streams.mjs";
import { bare, install, PEERS, uat } from "./gateway/peers/index.mjs";
import { runParts } from "./measure/parts.mjs";
import { binary, build } from "./measure/processes.mjs";

const PARTS = { cpu, latency, chunks, streams, cache, memory, "slow-replica": slowReplica, faults, disconnect, resume, matrix };

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    // A look: too short to be quoted, so nothing is kept.
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
    // Another gateway binary, such as one of an earlier commit.
    uat: { type: "string", default: binary("uat") },
    // Which peers: words separated by commas, or none.
    peers: { type: "string", default: Object.keys(PEERS).join(",") },
    // Of the fault matrix, the faults whose names contain this.
    fault: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const wanted = options.peers.split(",").filter((name) => name !== "" && name !== "none");
const unknown = positionals.find((name) => !(name in PARTS)) ?? wanted.find((name) => !(name in PEERS));
if (options.help || unknown !== undefined) {
  if (unknown !== undefined) console.error(`gateway.mjs: there is no part or peer ${unknown}`);
  console.log(`gateway.mjs [${Object.keys(PARTS).join("] [")}] [--quick] [--json] [--no-build] [--uat FILE] [--peers ${Object.keys(PEERS).join(",")}|none] [--fault WORD]; without a part, all`);
  process.exit(options.help ? 0 : 2);
}
const asked = positionals.length === 0 ? Object.keys(PARTS) : positionals;
// What is for people goes to standard error where standard output is for programs.
const say = options.json ? console.error : console.log;

if (!options["no-build"]) build(options.json ? 2 : 1);
const folder = mkdtempSync(path.join(os.tmpdir(), "uat-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const setup = { uat: path.resolve(options.uat), folder };
const { ready, versions } = await install([uat, bare, ...wanted.map((name) => PEERS[name])], setup, say);
const limit = ready.filter((gateway) => gateway === bare);
const gateways = ready.filter((gateway) => gateway !== bare);

const policies = gateways.map(({ name: gateway, policy }) => `- ${gateway}: ${policy}\n`).join("");
const context = { setup, gateways, limit, only: options.fault };
const footnote = `How each chooses a backend:\n\n${policies}\n`;
await runParts({ bench: "gateway", parts: PARTS, asked, quick: options.quick, json: options.json, say, context, versions, footnote });
process.exit();
