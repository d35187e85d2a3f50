// What clients of `uat serve` notice when the engine is killed, stopped, or ended by the kernel for want of memory.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";

import { answered, chat } from "../measure/engine.mjs";
import { memoryCgroup } from "../measure/memory-cgroup.mjs";
import { binary, enginesOf, freePort, start, startGateway, startServer, stop } from "../measure/processes.mjs";
import { figure } from "../measure/report.mjs";
import { atMost, exactly, shown } from "../measure/goals.mjs";

/** With text on its way when the fault comes, and still before their first text. */
const STREAMS = 4;
const WAITING = 2;
/** Clients of the other endpoint, one request after the other. */
const OTHERS = 4;
const CHUNKS = 20;
/** Shorter than the defaults (60 s and 30 s), so that a stopped engine is found out within the patience of a benchmark. */
const PATIENCE_MS = 5_000;
/** Until an answer comes again, a person waits no longer. */
const RECOVERY_MS = 60_000;

export const title = "Faults of the engine";

/** Each harms a process and says when; also how to undo it, where that is possible. */
const FAULTS = {
  "kill -9": ({ pid }) => {
    process.kill(pid, "SIGKILL");
    return { at: performance.now() };
  },
  SIGSTOP: ({ pid }) => {
    process.kill(pid, "SIGSTOP");
    return { at: performance.now(), undo: () => process.kill(pid, "SIGCONT") };
  },
  "out of memory": outOfMemory,
};

export async function run({ quick, model }) {
  const rounds = quick ? 1 : 3;
  const raw = [];
  const claims = [];
  const notes = [
    `Through \`uat serve\`: ${STREAMS} streams and ${WAITING} requests before their first text at the local engine, ${OTHERS} clients at another endpoint. first_token_timeout_ms and idle_timeout_ms of the engine: ${PATIENCE_MS}.`,
  ];
  for (const fault of Object.keys(FAULTS)) {
    const seen = [];
    for (let round = 1; round <= rounds; round += 1) {
      const result = await suffer(fault, model);
      if (result === null) break;
      seen.push(result);
      raw.push(...result.requests.map((one) => ({ fault, round, ...one })));
      console.log(`  ${fault}, round ${round}: ${summary(result)}`);
    }
    if (seen.length === 0) {
      claims.push(exactly(`${fault}: tried`, 1, 0));
      notes.push(`${fault} was not tried: this user can make no memory cgroup, which needs root.`);
      continue;
    }
    claims.push(...judge(fault, seen));
    notes.push(...new Set(seen.map(({ note }) => note).filter(Boolean)));
  }
  return { claims, tables: [], notes, raw };
}

async function suffer(fault, model) {
  const cgroup = fault === "out of memory" ? memoryCgroup() : undefined;
  if (cgroup === null) return null;
  // A runtime folder of its own: no engine of this user's other programs is harmed, and no earlier end is remembered.
  const folder = mkdtempSync(path.join(os.tmpdir(), "uat-"));
  // Also when this program is interrupted: an engine that is stopped does not end by itself.
  const endEngines = () => enginesOf(folder).forEach((pid) => process.kill(pid, "SIGKILL"));
  process.once("exit", endEngines);
  const provider = await startServer("uat-fake-provider", ["--chunks", String(CHUNKS), "--chunk-delay-ms", "20"]);
  let gateway;
  try {
    const port = await freePort();
    const to = { host: "127.0.0.1", port };
    gateway = await startGateway(binary("uat"), configuration(folder, port, provider.url, model), `http://127.0.0.1:${port}`, {
      XDG_RUNTIME_DIR: folder, UAT_ENGINE_PATH: cgroup ? engineIn(cgroup, folder) : binary("uat-engine"),
    });
    await answered(to, question(16));
    const [pid] = enginesOf(folder);
    return await observe(to, () => FAULTS[fault]({ pid, cgroup, folder }));
  } finally {
    if (gateway) await stop(gateway.child);
    await stop(provider.child);
    endEngines();
    process.off("exit", endEngines);
    while (enginesOf(folder).length > 0) await delay(5);
    await cgroup?.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

function configuration(folder, port, other, model) {
  const file = path.join(folder, "uat.toml");
  writeFileSync(file, `[server]
bind = "127.0.0.1:${port}"
[[endpoints]]
name = "engine"
protocol = "uat-engine"
first_token_timeout_ms = ${PATIENCE_MS}
idle_timeout_ms = ${PATIENCE_MS}
[[endpoints]]
name = "other"
protocol = "openai"
base_url = "${other}"
[[models]]
name = "local"
endpoints = [{ endpoint = "engine", model = "${model}" }]
[[models]]
name = "other"
endpoints = [{ endpoint = "other", model = "m" }]
`);
  return file;
}

const question = (tokens, content = "Count from 1 to 5000, one number per line, without a stop.") =>
  ({ model: "local", temperature: 0, max_tokens: tokens, messages: [{ role: "user", content }] });

/** Requests under way, the fault in their midst, and everything that became of them. */
async function observe(to, harm) {
  const seen = [];
  const note = (endpoint, phase, answer) => seen.push({ endpoint, phase, answer });
  let over = false;
  const others = Array.from({ length: OTHERS }, async () => {
    while (!over) note("other", "throughout", await chat(to, { model: "other", messages: [{ role: "user", content: "Hi" }] }));
  });
  let allRun;
  const started = new Promise((resolve) => (allRun = resolve));
  let running = 0;
  const onText = ({ times }) => times.length === 5 && (running += 1) === STREAMS && allRun();
  const underWay = Array.from({ length: STREAMS }, async () => note("engine", "streaming", await chat(to, question(1500), { onText })));
  await Promise.race([started, Promise.all(underWay)]);
  if (running < STREAMS) throw new Error(`the streams ended before the fault: ${JSON.stringify(seen.map(({ answer }) => answer.error))}`);
  // Long enough to be still before its first text when the fault comes.
  underWay.push(...Array.from({ length: WAITING }, async () => note("engine", "waiting", await chat(to, question(8, "river ".repeat(200))))));
  await delay(50);
  const { at, undo, note: said } = await harm();
  await Promise.all(underWay);
  if (undo) {
    note("engine", "while it lasts", await chat(to, question(8)));
    undo();
  }
  const ended = performance.now();
  let tries = 0;
  for (let answer = { error: true }; answer.error && performance.now() - ended < RECOVERY_MS; ) {
    tries += 1;
    answer = await chat(to, question(8));
    note("engine", "afterwards", answer);
    if (answer.error) await delay(100);
  }
  const recovered = performance.now() - ended;
  over = true;
  await Promise.all(others);
  const requests = seen.map(({ endpoint, phase, answer }) => ({
    endpoint, phase, complete: answer.error === null && answer.finish !== null, status: answer.status, texts: answer.times.length,
    code: answer.error?.uat_code ?? answer.error?.cut ?? null, retryable: answer.error?.retryable ?? null,
    ms: answer.endedAt - answer.sentAt, after_fault_ms: answer.endedAt - at, message: answer.error?.message ?? null,
  }));
  return { requests, tries, recovered_ms: recovered, note: said };
}

const isEngines = (phases) => ({ endpoint, phase }) => endpoint === "engine" && phases.includes(phase);
const isTyped = ({ code, retryable }) => code?.startsWith("UAT_") && typeof retryable === "boolean";

function summary({ requests, tries, recovered_ms: recovered }) {
  const own = requests.filter(isEngines(["streaming", "waiting", "while it lasts"]));
  const codes = [...new Set(own.filter(({ complete }) => !complete).map(({ code, retryable }) => `${code}${retryable ? " (retryable)" : ""}`))];
  const others = requests.filter(({ endpoint }) => endpoint === "other");
  return `${own.filter(({ complete }) => !complete).length} of ${own.length} of the engine's requests failed (${codes.join(", ")}), ${others.filter(({ complete }) => !complete).length} of ${others.length} others; answered again at try ${tries}, after ${figure(recovered)} ms`;
}

function judge(fault, seen) {
  const all = seen.flatMap(({ requests }) => requests);
  const others = all.filter(({ endpoint }) => endpoint === "other");
  const own = all.filter(isEngines(["streaming", "waiting", "while it lasts"]));
  const failed = own.filter(({ complete }) => !complete);
  const streaming = failed.filter(({ phase }) => phase === "streaming");
  return [
    exactly(`${fault}: of ${others.length} requests to the other endpoint failed`, 0, others.filter(({ complete }) => !complete).length),
    exactly(`${fault}: of ${failed.length} failures of the engine's requests without a typed error`, 0, failed.filter((one) => !isTyped(one)).length),
    exactly(`${fault}: of ${STREAMS * seen.length} running streams ended as if they were complete`, 0, own.filter(({ phase, complete }) => phase === "streaming" && complete).length),
    shown(`${fault}: running streams learn of it after, ms`, streaming.map((one) => one.after_fault_ms)),
    atMost(`${fault}: tries until the engine answers again`, 1, seen.map(({ tries }) => tries)),
    shown(`${fault}: answered again after, ms`, seen.map(({ recovered_ms }) => recovered_ms)),
    ...(fault === "SIGSTOP" ? [shown("SIGSTOP: a new request meanwhile ends after, ms", all.filter(({ phase }) => phase === "while it lasts").map(({ ms }) => ms))] : []),
  ];
}

/** The program as the gateway starts it, in the cgroup, and the first that the kernel will choose there. */
function engineIn(cgroup, folder) {
  const file = path.join(folder, "uat-engine");
  writeFileSync(file, `#!/bin/sh\necho $$ > ${cgroup.processes}\necho 1000 > /proc/self/oom_score_adj\nexec ${binary("uat-engine")} "$@"\n`, { mode: 0o700 });
  return file;
}

/** Another program in the same group takes memory until the kernel ends the engine. */
async function outOfMemory({ pid, cgroup, folder }) {
  cgroup.setLimit(cgroup.usage() + (64 << 20));
  const greedy = "const held = []; setInterval(() => held.push(Buffer.alloc(8 << 20, 1)), 2)";
  const eater = start("/bin/sh", ["-c", `echo $$ > ${cgroup.processes}; exec "${process.execPath}" -e "${greedy}"`], { stdio: "ignore" });
  const deadline = Date.now() + 30_000;
  while (enginesOf(folder).includes(pid)) {
    if (Date.now() > deadline) throw new Error(`the kernel did not end the engine within 30 s, with ${cgroup.usage()} bytes in use`);
    await delay(2);
  }
  const at = performance.now();
  await stop(eater);
  cgroup.setLimit(null);
  if (cgroup.kills() === 0) throw new Error("the engine ended, but not by the kernel");
  return { at, note: `Out of memory: a limit of ${cgroup.version} on the engine and a program beside it that takes memory; the engine is marked as the first to go (oom_score_adj), and the kernel's count of kills was checked.` };
}
