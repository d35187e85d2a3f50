#!/usr/bin/env node
// What is left of the answers when one of two endpoints fails, what of the speed when one of four is slow, and how soon
// an upstream learns that its client has gone: `npm run bench:faults [-- --quick]`. See README.md in this folder.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";

import { binary, build, freePort, load, startGateway, startServer, stop } from "./measure/processes.mjs";
import { circumstances, csv, figure, keep, markdownTable, median, quantile } from "./measure/report.mjs";

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
    uat: { type: "string", default: binary("uat") },
    help: { type: "boolean", default: false },
  },
});
if (options.help) {
  console.log("faults.mjs [--quick] [--no-build] [--uat FILE]");
  process.exit(0);
}

const slowRounds = options.quick ? 1 : 5;
const requests = options.quick ? 20 : 100;
const disconnects = options.quick ? 10 : 50;
// Some at a time, so that a fault meets requests that are under way.
const connections = 4;

const chunks = 20;
const expected = Array.from({ length: chunks }, (_, index) => `t${index}`).join(" ");
const answer = { behaviour: "answer", chunks };

/** What the faulty one of two endpoints does. `null`: nothing listens there. */
const faults = {
  "503": { behaviour: "status", code: 503 },
  "429": { behaviour: "status", code: 429, headers: [["retry-after", "1"]] },
  refused: null,
  hang: { behaviour: "hang" },
  "close before content": { behaviour: "close_before_content" },
  "error event before content": { behaviour: "sse_error_before_content" },
};

if (!options["no-build"]) build();
const about = circumstances();
const folder = mkdtempSync(path.join(os.tmpdir(), "uat-faults-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

// So that a hanging endpoint is left within the patience of this benchmark.
const shortPatience = "connect_timeout_ms = 300\nfirst_token_timeout_ms = 300\n";

/** A gateway with these upstreams behind one model. */
async function gatewayOver(upstreams, timeouts = "") {
  const port = await freePort();
  const file = path.join(folder, "uat.toml");
  const endpoints = upstreams.map(
    (url, index) => `[[endpoints]]
name = "e${index}"
protocol = "openai"
base_url = "${url}"
${timeouts}`,
  );
  const places = upstreams.map((_, index) => `{ endpoint = "e${index}", model = "m" }`);
  const model = `[[models]]
name = "m"
context_tokens = 8192
max_output_tokens = 4096
endpoints = [${places.join(", ")}]
`;
  writeFileSync(file, `[server]\nbind = "127.0.0.1:${port}"\n${endpoints.join("")}${model}`);
  return startGateway(options.uat, file, `http://127.0.0.1:${port}`);
}

const control = async (provider, script) => {
  const response = await fetch(`${provider.url}/__control`, { method: "POST", body: JSON.stringify(script) });
  if (!response.ok) throw new Error(`the fake provider refused ${JSON.stringify(script)}: ${await response.text()}`);
};
const seen = async (provider, what, query = "") => (await fetch(`${provider.url}/__${what}${query}`)).json();

/** Sends one chat request. Its promise settles with status and body, or with what went wrong. */
function chat(url, stream, agent) {
  const body = JSON.stringify({ model: "m", stream, messages: [{ role: "user", content: "Count." }] });
  const request = http.request(`${url}/v1/chat/completions`, {
    method: "POST",
    agent,
    headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
  });
  const response = new Promise((resolve, reject) => {
    request.once("response", resolve);
    // For good: an error after the response began also comes here, and without a listener it would end the process.
    request.on("error", reject);
  });
  request.end(body);
  return { request, response };
}

/** Why the answer is not complete and correct; null where it is. `retried` is told of an answer that needed a retry. */
async function wrong(url, stream, agent, retried) {
  try {
    const response = await chat(url, stream, agent).response;
    if (Number(response.headers["x-uat-attempts"]) > 1) retried();
    let text = "";
    for await (const data of response) text += data;
    if (response.statusCode !== 200) return `status ${response.statusCode}: ${text.slice(0, 200)}`;
    if (!stream) {
      const got = JSON.parse(text).choices[0].message.content;
      return got === expected ? null : `text ${JSON.stringify(got)}`;
    }
    const events = text.split("\n\n").filter((event) => event.startsWith("data:")).map((event) => event.slice(5).trim());
    if (events.at(-1) !== "[DONE]") return `the stream ends with ${events.at(-1)}`;
    const choices = events.slice(0, -1).flatMap((event) => JSON.parse(event).choices ?? []);
    const got = choices.map((choice) => choice.delta?.content ?? "").join("");
    if (!choices.some((choice) => choice.finish_reason === "stop")) return "no finish reason";
    return got === expected ? null : `text ${JSON.stringify(got)}`;
  } catch (error) {
    return `${error.code ?? error.name}: ${error.message}`;
  }
}

async function completeAnswers(fault, stream) {
  const good = await startServer("uat-fake-provider", ["--chunks", String(chunks)]);
  const faulty = faults[fault] && (await startServer("uat-fake-provider", []));
  if (faulty) await control(faulty, { default: faults[fault] });
  // Nothing listens on port 1, and no program of this benchmark can be given it.
  const uat = await gatewayOver([good.url, faulty?.url ?? "http://127.0.0.1:1"], shortPatience);
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const failures = [];
  let sent = 0;
  let retries = 0;
  const worker = async () => {
    while (sent++ < requests) {
      const failure = await wrong(uat.url, stream, agent, () => (retries += 1));
      if (failure) failures.push(failure);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: connections }, worker));
  const seconds = (performance.now() - start) / 1000;
  // Without requests at the faulty endpoint, complete answers would prove nothing. One that refuses cannot count them.
  const faultyRequests = faulty ? (await seen(faulty, "requests")).count : retries;
  agent.destroy();
  await Promise.all([uat, good, faulty].filter(Boolean).map(({ child }) => stop(child)));
  return { fault, stream, requests, complete: requests - failures.length, faulty_requests: faultyRequests, retries,
    seconds, first_failure: failures[0] ?? null };
}

/**
 * Milliseconds from the client's close to the news, over HTTP, that the upstream has seen its own connection closed.
 * The request that brings the news is waiting before the client closes; its way back is included, so these are upper
 * bounds measured on one clock.
 */
async function disconnectLatency(name, stream, behaviour, untilContent) {
  const provider = await startServer("uat-fake-provider", []);
  await control(provider, { default: behaviour });
  const uat = await gatewayOver([provider.url]);
  const times = [];
  for (let count = 1; count <= disconnects; count += 1) {
    const { request, response } = chat(uat.url, stream);
    response.catch(() => {});
    if (untilContent) {
      for await (const data of (await response).iterator({ destroyOnReturn: false })) {
        if (String(data).includes('"t0"')) break;
      }
    } else {
      await seen(provider, "requests", `?count=${count}`);
    }
    const news = seen(provider, "disconnects", `?count=${count}&timeout_ms=2000`);
    // Let the waiting request arrive: it must not be on its way when the clock starts.
    await seen(provider, "requests");
    const start = performance.now();
    request.destroy();
    const { count: happened } = await news;
    times.push(happened >= count ? performance.now() - start : Infinity);
    if (times.at(-1) === Infinity) break;
  }
  await Promise.all([uat.child, provider.child].map(stop));
  return { name, times };
}

/** Four replicas that answer after 20, 20, 20 and 400 ms, eight requests at a time, nothing learned before. */
async function slowReplica() {
  const delays = [20, 20, 20, 400];
  const start = (ms) =>
    startServer("uat-fake-provider", ["--chunks", String(chunks), "--first-token-delay-ms", String(ms)]);
  const providers = await Promise.all(delays.map(start));
  const uat = await gatewayOver(providers.map(({ url }) => url));
  const url = `${uat.url}/v1/chat/completions`;
  const result = await load({ url, model: "m", chunks, connections: 8, requests: 480, warmup: 0 });
  const slow = (await seen(providers.at(-1), "requests")).count;
  await Promise.all([uat, ...providers].map(({ child }) => stop(child)));
  return { per_s: result.requests_per_s, p90_ms: result.latency_us.p90 / 1e3, p99_ms: result.latency_us.p99 / 1e3, slow };
}

const complete = [];
for (const fault of Object.keys(faults)) {
  for (const stream of [true, false]) {
    process.stderr.write(`${fault}, ${stream ? "stream" : "whole"}\n`);
    complete.push(await completeAnswers(fault, stream));
  }
}
const paced = { behaviour: "answer", chunks: 1_000, between_chunks_ms: 10 };
const latencies = [
  await disconnectLatency("stream, after content", true, paced, true),
  await disconnectLatency("stream, before content", true, { behaviour: "stall_after", chunks: 0 }, false),
  await disconnectLatency("whole", false, { behaviour: "hang" }, false),
];

const replicas = [];
for (let round = 1; round <= slowRounds; round += 1) {
  process.stderr.write(`slow replica ${round}/${slowRounds}\n`);
  replicas.push(await slowReplica());
}
const of = (name) => median(replicas.map((row) => row[name]));

const completeTable = markdownTable(
  [
    "one faulty of two endpoints", "", "complete and correct", "goal", "requests at the faulty one",
    "answers after a retry", "met",
  ],
  complete.map((row) => [
    row.fault, row.stream ? "stream" : "whole", `${figure((100 * row.complete) / row.requests)} %`, "100 %",
    row.faulty_requests, row.retries, row.complete === row.requests && row.faulty_requests !== 0 ? "yes" : "NO",
  ]),
);
const latencyTable = markdownTable(
  ["client gone -> upstream closed", "p50 (ms)", "p99 (ms)", "max (ms)", "goal", "met"],
  latencies.map(({ name, times }) => [
    name, figure(median(times)), figure(quantile(times, 0.99)), figure(Math.max(...times)), "max <= 100",
    Math.max(...times) <= 100 ? "yes" : "NO",
  ]),
);
const slowTable = markdownTable(
  ["three replicas of 20 ms, one of 400 ms, c=8", "", "goal", "over the rounds", "met"],
  [
    ["requests per s", "per_s", 280, (value) => value >= 280],
    ["p90 (ms)", "p90_ms", 25, (value) => value <= 25],
    ["p99 (ms)", "p99_ms", null, () => null],
    ["of 480 requests, to the slow one", "slow", null, () => null],
  ].map(([label, name, goal, met]) => {
    const values = replicas.map((row) => row[name]);
    const verdict = met(of(name));
    return [
      label, figure(of(name)), goal ? `${name === "per_s" ? ">=" : "<="} ${goal}` : "",
      `${figure(Math.min(...values))} .. ${figure(Math.max(...values))}`,
      verdict === null ? "" : verdict ? "yes" : "NO",
    ];
  }),
);
const failures = complete.filter((row) => row.first_failure);
const notes = failures.map((row) => `- ${row.fault}, ${row.stream ? "stream" : "whole"}: ${row.first_failure}`);
const facts = Object.entries(about).map(([name, value]) => `- ${name}: ${value}`);
console.log(`\n${completeTable}\n${slowTable}\n${latencyTable}\n${notes.join("\n")}`);
if (options.quick) {
  console.log("A quick look: nothing was kept, and nothing here may be quoted.");
} else {
  const kept = keep("faults", {
    "complete.csv": csv(complete),
    "slow-replica.csv": csv(replicas),
    "disconnect.csv": csv(latencies.flatMap(({ name, times }) => times.map((ms) => ({ name, ms })))),
    "summary.json": `${JSON.stringify({ about, complete, replicas, latencies }, null, 2)}\n`,
    "summary.md": `# Faults, ${about.date.slice(0, 10)}

Reproduce with \`npm run bench:faults\`. ${requests} requests per line over ${connections} connections, a fresh gateway
each time. What the figures do and do not say: [README](../../../README.md).

${completeTable}
${slowTable}
${latencyTable}
${[...notes, "", ...facts].join("\n")}
`,
  });
  console.log(`Kept in ${kept}`);
}
// Speed depends on the machine and is judged by a reader; a lost answer or a forgotten upstream is wrong anywhere.
const correct =
  complete.every((row) => row.complete === row.requests && row.faulty_requests !== 0) &&
  latencies.every(({ times }) => Math.max(...times) <= 100);
process.exitCode = correct ? 0 : 1;
