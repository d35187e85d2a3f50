#!/usr/bin/env node
// Live speech: `npm run bench:voice-live [-- PART...] --model FOLDER [--silero FILE] [--quick] [--json] [--no-build]`. The parts lie in `voice/live/`; `hour` only where it is named.

import path from "node:path";

import { commandLine } from "./measure/command-line.mjs";
import { runParts } from "./measure/parts.mjs";
import { binary, buildExamples } from "./measure/processes.mjs";
import * as parts from "./voice/live/parts.mjs";
import { own, usage } from "./voice/options.mjs";

const { turns, words, busy, streams, hour } = parts;
const PARTS = { turns, words, streams, busy, hour };

const { options, named, asked, say } = commandLine("voice-live", PARTS, { own, usage });
if (!options["no-build"]) buildExamples(["voice-processing"], options.json ? 2 : 1);
const program = (name) => binary(path.join("examples", name));
const { quick, json, model, silero } = options;
await runParts({ bench: "voice-live", parts: PARTS, asked: named.length > 0 ? asked : asked.filter((name) => name !== "hour"), quick, json, say, context: { program, model, silero } });
