#!/usr/bin/env node
// Whether a thousand reloads under load cost a request or memory: `npm run bench:reload [-- --quick] [-- --uat FILE]`.
//
// 12 clients ask, 4 more read streams that last longer than a reload; meanwhile the file is exchanged and SIGHUP sent, again
// and again. Each version has another endpoint that comes or goes and another limit, and every tenth is wrong.

import { once } from "node:events";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

import { binary, residentMib, start, stop } from "./measure/processes.mjs";
import { circumstances, csv, figure, keep, markdownTable, quantile } from "./measure/report.mjs";

const { values: options } = parseArgs({ options: { quick: { type: "boolean", default: false }, uat: { type: "string", default: binary("uat") } } });
const reloads = options.quick ? 100 : 1_000;
/** Caches, pools and the allocator fill first. */
const warm = reloads / 10;
const goal = { failed: 0, growth: 5 };
const CHUNKS = 20;

const about = circumstances();
const folder = mkdtempSync(path.join(os.tmpdir(), "uat-"));
const upstream = http.createServer(answer).listen(0, "127.0.0.1");
await once(upstream, "listening");
const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
const file = path.join(folder, "uat.toml");
write(0);
const server = start(options.uat, ["--log", "off", "serve", "--config", file], { env: { ...process.env, UAT_CONFIG: "" }, stdio: ["ignore", "pipe", "inherit"] });
try {
  const [, port] = /:(\d+)\s/.exec(String((await once(server.stdout, "data"))[0]));
  const counts = { requests: 0, streams: 0, failed: 0, first_failure: "" };
  let over = false;
  const client = async (stream) => {
    while (!over) {
      const failure = await ask(port, stream).catch((error) => error.message);
      counts[stream ? "streams" : "requests"] += 1;
      if (failure) {
        counts.failed += 1;
        counts.first_failure ||= failure;
      }
    }
  };
  const clients = Array.from({ length: 16 }, (_, index) => client(index >= 12));
  const raw = [];
  const beganAt = performance.now();
  let refused = 0;
  for (let round = 1; round <= reloads + warm; round += 1) {
    const wrong = round % 10 === 0;
    if (wrong) refused += 1;
    write(round, wrong);
    const sentAt = performance.now();
    server.kill("SIGHUP");
    while ((await metrics(port)).uat_config_reload_total < round) await delay(1);
    raw.push({ round, wrong, ms: performance.now() - sentAt, resident_mib: residentMib(server.pid) });
    if (round % 100 === 0) console.log(`${round} reloads: ${counts.requests} requests, ${counts.streams} streams, ${counts.failed} failed, ${figure(raw.at(-1).resident_mib)} MiB`);
  }
  const seconds = (performance.now() - beganAt) / 1000;
  over = true;
  await Promise.all(clients);
  const told = await metrics(port);
  if (told.uat_config_reload_failed_total !== refused) throw new Error(`${refused} versions were wrong, ${told.uat_config_reload_failed_total} refused`);
  // The highest of a tenth, so that a moment of quiet does not count as memory given back.
  const highest = (from, to) => Math.max(...raw.slice(from, to).map((row) => row.resident_mib));
  const [before, after] = [highest(warm / 2, warm), highest(-warm, undefined)];
  const growth = (after / before - 1) * 100;
  const ms = raw.map((row) => row.ms);
  const table = markdownTable(
    ["", "goal", "measured"],
    [
      ["reloads, of which refused", "", `${raw.length}, ${refused}`],
      ["requests and streams meanwhile", "", `${counts.requests}, ${counts.streams}`],
      ["failed", String(goal.failed), String(counts.failed)],
      ["resident after the warm-up and at the end, MiB", "", `${figure(before)}, ${figure(after)}`],
      ["growth, %", `<= ${goal.growth}`, figure(growth)],
      ["from the signal to the new configuration, p50 and p99, ms", "", `${figure(quantile(ms, 0.5))}, ${figure(quantile(ms, 0.99))}`],
    ],
  );
  console.log(`\n${table}${counts.first_failure ? `the first failure: ${counts.first_failure}\n` : ""}`);
  const summary = { about, reloads: raw.length, refused, seconds, ...counts, before_mib: before, after_mib: after, growth };
  if (options.quick) {
    console.log("A quick look: nothing was kept, and nothing here may be quoted.");
  } else {
    const facts = Object.entries(about).map(([name, value]) => `- ${name}: ${value}`).join("\n");
    const kept = keep("reload", {
      "raw.csv": csv(raw),
      "summary.json": `${JSON.stringify(summary, null, 2)}\n`,
      "summary.md": `# A thousand reloads under load, ${about.date.slice(0, 10)}\n\nReproduce with \`npm run bench:reload\`. 12 clients ask and 4 read streams of ${CHUNKS} chunks; each version of the file has\nanother endpoint that comes or goes, every tenth is wrong and refused.\n\n${table}\n${facts}\n`,
    });
    console.log(`Kept in ${kept}`);
  }
  if (counts.failed > goal.failed || growth > goal.growth) process.exitCode = 1;
} finally {
  agent.destroy();
  await stop(server);
  upstream.close();
  upstream.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
}

/** Exchanges the file as a whole, as editors and Kubernetes do. */
function write(round, wrong = false) {
  const base_url = `http://127.0.0.1:${upstream.address().port}`;
  const endpoint = (name) => `[[endpoints]]\nname = "${name}"\nprotocol = "openai"\nbase_url = "${base_url}"\n`;
  const names = round % 2 === 0 ? ["stays"] : ["stays", `comes-${round}`];
  const lines = [
    `[server]\nbind = "127.0.0.1:0"\nhold_ms = ${4_000 + (round % 1_000)}\n${wrong ? "hold = 1\n" : ""}`,
    ...names.map(endpoint),
    `[[models]]\nname = "m"\nendpoints = [${names.map((name) => `{ endpoint = "${name}" }`).join(", ")}]\n`,
  ];
  writeFileSync(`${file}.next`, lines.join("\n"));
  renameSync(`${file}.next`, file);
}

/** A provider that answers at once, and streams for 200 ms. */
async function answer(request, response) {
  const body = JSON.parse(await whole(request));
  const about = { id: "c", created: 1, model: body.model };
  if (!body.stream) {
    response.setHeader("content-type", "application/json");
    const message = { role: "assistant", content: "Four." };
    response.end(JSON.stringify({ ...about, object: "chat.completion", choices: [{ index: 0, message, finish_reason: "stop" }] }));
    return;
  }
  response.setHeader("content-type", "text/event-stream");
  const event = (delta, finish_reason = null) => response.write(`data: ${JSON.stringify({ ...about, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
  for (let chunk = 0; chunk < CHUNKS; chunk += 1) {
    event({ content: "x" });
    await delay(10);
  }
  event({}, "stop");
  response.end("data: [DONE]\n\n");
}

/** What was wrong with the answer; nothing if it was right and whole. */
async function ask(port, stream) {
  const body = JSON.stringify({ model: "m", stream, messages: [{ role: "user", content: "What is two and two?" }] });
  const { status, text } = await send(port, "POST", "/v1/chat/completions", body);
  const right = stream ? text.endsWith("data: [DONE]\n\n") && text.split('"x"').length - 1 === CHUNKS : text.includes("Four.");
  return status === 200 && right ? undefined : `${status} ${text.slice(-300)}`;
}

async function metrics(port) {
  const { text } = await send(port, "GET", "/metrics", "");
  const lines = text.split("\n").filter((line) => line.startsWith("uat_config_"));
  return Object.fromEntries(lines.map((line) => line.split(" ")).map(([name, value]) => [name, Number(value)]));
}

async function send(port, method, where, body) {
  const request = http.request({ host: "127.0.0.1", port, path: where, method, agent: method === "GET" ? undefined : agent });
  request.end(body);
  const [response] = await once(request, "response");
  return { status: response.statusCode, text: await whole(response) };
}

async function whole(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}
