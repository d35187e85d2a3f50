#!/usr/bin/env node
// Speech: `npm run bench:voice [-- PART...] --model FOLDER --silero FILE [--quick] [--json] [--no-build]`. Each part lies in `voice/`.
// FOLDER is CTranslate2's conversion of a Whisper model with its config.json and vocabulary, which the peer wants; both sides read its model.bin.

import { spawnSync } from "node:child_process";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { runParts } from "./measure/parts.mjs";
import { binary, repository } from "./measure/processes.mjs";
import { pinned } from "./voice/peers.mjs";
import * as resample from "./voice/resample.mjs";
import * as vad from "./voice/vad.mjs";
import * as words from "./voice/words.mjs";

const PARTS = { vad, resample, words };

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string" },
    silero: { type: "string", default: path.join(os.homedir(), ".cache/uat/models/silero_vad_16k_op15.onnx") },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const unknown = positionals.find((name) => !(name in PARTS));
if (options.help || unknown !== undefined) {
  if (unknown !== undefined) console.error(`voice.mjs: there is no part ${unknown}`);
  console.log(`voice.mjs [${Object.keys(PARTS).join("] [")}] --model FOLDER [--silero FILE] [--quick] [--json] [--no-build]`);
  process.exit(options.help ? 0 : 2);
}
const asked = positionals.length > 0 ? positionals : Object.keys(PARTS);
const say = options.json ? console.error : console.log;
if (!options["no-build"]) {
  const { status } = spawnSync("cargo", ["build", "--release", "--locked", "-p", "whisper", "-p", "voice-processing", "-p", "silero-vad", "--lib", "--examples"], { cwd: repository, stdio: ["ignore", options.json ? 2 : 1, "inherit"] });
  if (status !== 0) process.exit(1);
}
const program = (name) => binary(path.join("examples", name));
const { quick, json, model, silero } = options;
await runParts({ bench: "voice", parts: PARTS, asked, quick, json, say, context: { program, model, silero }, versions: pinned() });
