#!/usr/bin/env node
// Speech: `npm run bench:voice [-- PART...] --model FOLDER --silero FILE [--quick] [--json] [--no-build]`. Each part lies in `voice/`.
// FOLDER is CTranslate2's conversion of a Whisper model with its config.json and vocabulary, which the peer wants; both sides read its model.bin.

import path from "node:path";

import { commandLine } from "./measure/command-line.mjs";
import { runParts } from "./measure/parts.mjs";
import { binary, buildExamples } from "./measure/processes.mjs";
import { own, usage } from "./voice/options.mjs";
import { pinned } from "./voice/peers.mjs";
import * as resample from "./voice/resample.mjs";
import * as vad from "./voice/vad.mjs";
import * as node from "./voice/vad-node.mjs";
import * as words from "./voice/words.mjs";

const PARTS = { vad, node, resample, words };

const { options, asked, say } = commandLine("voice", PARTS, { own, usage });
if (!options["no-build"]) buildExamples(["whisper", "voice-processing", "silero-vad"], options.json ? 2 : 1);
const program = (name) => binary(path.join("examples", name));
const { quick, json, model, silero } = options;
await runParts({ bench: "voice", parts: PARTS, asked, quick, json, say, context: { program, model, silero }, versions: pinned() });
