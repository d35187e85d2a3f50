#!/usr/bin/env node
// Whether programs that share the local engine slow each other down: `npm run bench:sharing [-- --quick]`.
//
// A client of `uat serve`, two Node scripts and `uat chat` ask at the same time, all through one engine process; the
// tokens of all four per second, beside those of the client alone in the same round.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";

import { binary, build, enginesOf, freePort, repository, stop } from "./measure/processes.mjs";
import { circumstances, csv, figure, keep, markdownTable, median } from "./measure/report.mjs";

const { values: options } = parseArgs({
  options: { quick: { type: "boolean", default: false }, "no-build": { type: "boolean", default: false } },
});
const rounds = options.quick ? 1 : 5;
const goal = 0.9;
const question = { model: "smollm2-135m", messages: [{ role: "user", content: "Tell a long story about a river." }], temperature: 0, max_tokens: 256 };

if (!options["no-build"]) build();
const about = circumstances();
// A runtime folder of its own: no engine of this user's other programs is measured or disturbed.
const folder = mkdtempSync(path.join(os.tmpdir(), "uat-"));
const env = { ...process.env, XDG_RUNTIME_DIR: folder, UAT_ENGINE_PATH: binary("uat-engine") };

/** A script as a user would write it; prints the tokens that it got. */
const script = `
  import { FastLLMCoordinator } from ${JSON.stringify(path.join(repository, "dist", "index.js"))};
  const coordinator = new FastLLMCoordinator();
  const { usage } = await coordinator.route(${JSON.stringify(question)});
  console.log(JSON.stringify({ usage }));
  await coordinator.close();`;

const clients = {
  "client of uat serve": overHttp,
  "Node script, native": () => program("node", ["--input-type=module", "--eval", script], { UAT_BACKEND: "native" }),
  "Node script, typescript": () => program("node", ["--input-type=module", "--eval", script], { UAT_BACKEND: "typescript" }),
  "uat chat": () => program(binary("uat"), ["chat", "--json", "--temperature", "0", "--max-tokens", String(question.max_tokens), question.messages[0].content]),
};

const port = await freePort();
const server = spawn(binary("uat"), ["--log", "warn", "serve", "--bind", `127.0.0.1:${port}`], { env, stdio: ["ignore", "pipe", "inherit"] });
try {
  await once(server.stdout, "data");
  // The model is loaded and its pages are read before anything is measured.
  await overHttp();
  const raw = [];
  for (let round = 1; round <= rounds; round += 1) {
    const alone = await timed([overHttp]);
    const together = await timed(Object.values(clients));
    const engines = enginesOf(folder).length;
    raw.push({ round, alone_tokens_per_s: alone, together_tokens_per_s: together, ratio: together / alone, engines });
    console.log(`round ${round}: alone ${figure(alone)}, together ${figure(together)} tokens/s, ${engines} engine`);
  }
  const ratio = median(raw.map((row) => row.ratio));
  const most = Math.max(...raw.map((row) => row.engines));
  const table = markdownTable(
    ["", "goal", "median", "over the rounds"],
    [
      ["one client alone, tokens/s", "", figure(median(raw.map((row) => row.alone_tokens_per_s))), ""],
      ["four programs together, tokens/s", "", figure(median(raw.map((row) => row.together_tokens_per_s))), ""],
      ["together, of one alone", `>= ${goal}`, figure(ratio), `${figure(Math.min(...raw.map((row) => row.ratio)))} .. ${figure(Math.max(...raw.map((row) => row.ratio)))}`],
      ["engine processes", "1", String(most), ""],
    ],
  );
  console.log(`\n${table}`);
  if (options.quick) {
    console.log("A quick look: nothing was kept, and nothing here may be quoted.");
  } else {
    const facts = Object.entries(about).map(([name, value]) => `- ${name}: ${value}`).join("\n");
    const kept = keep("sharing", {
      "raw.csv": csv(raw),
      "summary.json": `${JSON.stringify({ about, rounds, goal, ratio, engines: most }, null, 2)}\n`,
      "summary.md": `# One engine, four programs, ${about.date.slice(0, 10)}\n\nReproduce with \`npm run bench:sharing\`. Programs: ${Object.keys(clients).join(", ")}; starting a\nprogram counts, so that the figure is a lower bound.\n\n${table}\n${facts}\n`,
    });
    console.log(`Kept in ${kept}`);
  }
  if (ratio < goal || most !== 1) process.exitCode = 1;
} finally {
  await stop(server);
  rmSync(folder, { recursive: true, force: true });
}

/** Tokens per second of all clients, from their start to the end of the last. */
async function timed(ask) {
  const from = performance.now();
  const tokens = await Promise.all(ask.map((one) => one()));
  return tokens.reduce((sum, one) => sum + one, 0) / ((performance.now() - from) / 1000);
}

async function overHttp() {
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, { method: "POST", body: JSON.stringify(question) });
  if (!response.ok) throw new Error(`uat serve answered ${response.status}: ${await response.text()}`);
  return (await response.json()).usage.completion_tokens;
}

async function program(command, args, more = {}) {
  const child = spawn(command, args, { env: { ...env, ...more }, stdio: ["ignore", "pipe", "inherit"] });
  const chunks = [];
  child.stdout.on("data", (chunk) => chunks.push(chunk));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${command} ended with status ${code}`);
  return JSON.parse(Buffer.concat(chunks).toString()).usage.completion_tokens;
}
