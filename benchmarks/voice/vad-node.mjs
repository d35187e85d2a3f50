// Silero through Node: a minute's probabilities, ours on both backends beside onnxruntime-node.

import { fork } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";

import { run as runs } from "../../scripts/front-door/terminal.mjs";
import { atMost, shown } from "../measure/goals.mjs";
import { markdownTable, median } from "../measure/report.mjs";

export const title = "Voice activity through Node";

const [RATE, WINDOW, CONTEXT] = [16_000, 512, 64];
const SIDES = ["native", "typescript", "onnxruntime-node"];
const peers = path.join(import.meta.dirname, "..", "peers", "voice");

export async function run({ silero, quick, say }) {
  if (!existsSync(path.join(peers, "node_modules"))) {
    say("Installing onnxruntime-node from npm (290 MB, once)");
    await runs("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"], { cwd: peers, quiet: true });
  }
  const rounds = [];
  for (let round = 0; round < (quick ? 1 : 5); round += 1) {
    for (const side of SIDES) rounds.push({ round, side, ...(await child(side, silero)) });
  }
  const of = (side, what) => rounds.filter((one) => one.side === side).map((one) => one[what]);
  const [ours, theirs] = [rounds.find(({ side }) => side === "native"), rounds.find(({ side }) => side === "onnxruntime-node")];
  const apart = Math.max(...ours.probabilities.map((probability, at) => Math.abs(probability - theirs.probabilities[at])));
  return {
    rounds: rounds.length / SIDES.length,
    raw: rounds.map(({ probabilities: _, ...one }) => one),
    claims: [
      atMost("a window of 32 ms, native, CPU us", 30, of("native", "us")),
      shown("of onnxruntime-node's", of("native", "us").map((us, at) => us / of("onnxruntime-node", "us")[at])),
      atMost("largest difference from onnxruntime-node's probability", 1e-5, [apart]),
    ],
    tables: [markdownTable(["", "CPU us a window"], SIDES.map((side) => [side, median(of(side, "us")).toFixed(1)]))],
    notes: ["A minute at a time (`detectSpeech`), and window by window with onnxruntime-node (one thread); CPU of the whole process, in turns. A minute of noise that comes and goes, from a seed."],
  };
}

async function child(side, silero) {
  const forked = fork(import.meta.filename, [side, silero], { env: { ...process.env, UAT_BACKEND: side === "typescript" ? "typescript" : "native" } });
  return await new Promise((resolve, reject) => forked.once("message", resolve).once("error", reject).once("exit", (code) => code !== 0 && reject(new Error(`${side} ended with ${code}`))));
}

if (process.send !== undefined && process.argv[1] === import.meta.filename) process.send(await measured(process.argv[2], process.argv[3]), () => process.disconnect());

async function measured(side, silero) {
  const signal = noise();
  const hear = side === "onnxruntime-node" ? await theirs(silero) : await ours();
  await hear(signal);
  const before = process.cpuUsage();
  const probabilities = await hear(signal);
  const { user, system } = process.cpuUsage(before);
  return { us: (user + system) / probabilities.length, probabilities: [...probabilities] };
}

function noise() {
  let state = 1;
  return Float32Array.from({ length: 60 * RATE - ((60 * RATE) % WINDOW) }, (_, at) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return ((state >>> 8) / 16_777_216 - 0.5) * Math.abs(Math.sin(at / RATE));
  });
}

async function ours() {
  const { VoiceProcessingService } = await import("../../dist/index.js");
  const service = new VoiceProcessingService();
  await service.initialize();
  return async (signal) => (await service.detectSpeech(signal)).probabilities;
}

async function theirs(silero) {
  const { InferenceSession, Tensor } = createRequire(path.join(peers, "package.json"))("onnxruntime-node");
  const session = await InferenceSession.create(silero, { intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: "sequential" });
  const rate = new Tensor("int64", BigInt64Array.of(BigInt(RATE)), []);
  return async (signal) => {
    const found = new Float32Array(signal.length / WINDOW);
    const input = new Float32Array(CONTEXT + WINDOW);
    let state = new Tensor("float32", new Float32Array(2 * 128), [2, 1, 128]);
    for (let window = 0; window < found.length; window += 1) {
      input.copyWithin(0, WINDOW);
      input.set(signal.subarray(window * WINDOW, (window + 1) * WINDOW), CONTEXT);
      const answer = await session.run({ input: new Tensor("float32", input, [1, CONTEXT + WINDOW]), state, sr: rate });
      [found[window], state] = [answer.output.data[0], answer.stateN];
    }
    return found;
  };
}
