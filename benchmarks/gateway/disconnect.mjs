// How soon an upstream learns that its client has gone.

import http from "node:http";
import { setTimeout as delay } from "node:timers/promises";

import { figure, markdownTable, median, quantile } from "../measure/report.mjs";
import { Backend } from "./backend.mjs";
import { orNull } from "./peers/program.mjs";
import { atMost, shown } from "../measure/goals.mjs";

export const title = "Client gone to upstream closed";

const CASES = [
  // The upstream writes on, every 100 ms; it would go on for two seconds.
  { name: "stream, after content", stream: true, behaviour: "good", pace: { chunk_ms: 100 }, untilContent: true },
  { name: "stream, before content", stream: true, behaviour: "hang before content", untilContent: false },
  { name: "whole", stream: false, behaviour: "hang before head", untilContent: false },
];
const PATIENCE_MS = 2_000;

export async function run({ quick, say, gateways, setup }) {
  const count = quick ? 8 : 50;
  const raw = [];
  for (const gateway of gateways) {
    const backend = await Backend.start();
    try {
      const running = await orNull(gateway.start({ ...setup, backends: [backend.url] }));
      if (running === null) {
        say(`  ${gateway.name} does not start`);
        continue;
      }
      try {
        for (const one of CASES) {
          await backend.behave(one.behaviour, { pace: one.pace, fresh: true });
          const times = await leave(running, backend, one, count);
          raw.push(...times.map((ms) => ({ gateway: gateway.name, case: one.name, ms })));
          say(`  ${gateway.name}, ${one.name}: ${times.length === 0 ? "no answer to leave" : `${figure(median(times))} ms`}`);
        }
      } finally {
        await running.stop();
      }
    } finally {
      await backend.stop();
    }
  }
  const of = (gateway, name) => raw.filter((row) => row.gateway === gateway && row.case === name).map((row) => row.ms);
  const slowest = (gateway, name) => (of(gateway, name).length === 0 ? NaN : Math.max(...of(gateway, name)));
  const cell = (times) => (times.length === 0 ? "no answer to leave" : times.includes(Infinity) ? `not within ${PATIENCE_MS} ms (${times.filter((ms) => ms === Infinity).length} of ${times.length})` : `${figure(median(times))}, ${figure(quantile(times, 0.99))}, ${figure(Math.max(...times))}`);
  return {
    rounds: 1,
    claims: [
      ...CASES.map(({ name }) => atMost(`${name}: slowest, ms`, 100, [slowest("uat", name)])),
      ...gateways.filter(({ name }) => name !== "uat").flatMap((gateway) => CASES.map(({ name }) => shown(`${gateway.name}: ${name}, slowest, ms`, [slowest(gateway.name, name)]))),
    ],
    tables: [markdownTable(["p50, p99, slowest (ms)", ...CASES.map(({ name }) => name)], gateways.map(({ name }) => [name, ...CASES.map((one) => cell(of(name, one.name)))]))],
    notes: ["From the client's close to the end of the connection as the upstream sees it, two processes and one clock: an upper bound, some tenths of a millisecond too long. After two that the upstream did not learn of, no further ones are tried."],
    raw,
  };
}

async function leave(gateway, backend, { stream, untilContent }, count) {
  const times = [];
  for (let number = 0; number < count; number += 1) {
    let began = () => {};
    const isAsked = new Promise((resolve) => (began = resolve));
    backend.onAsked = began;
    const body = JSON.stringify({ model: gateway.model, stream, messages: [{ role: "user", content: `Count. ${number}` }] });
    const request = http.request(`${gateway.url}/v1/chat/completions`, { method: "POST", agent: false, headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body), ...gateway.headers } });
    request.on("error", () => {});
    const isContent = new Promise((resolve) => {
      request.on("response", (response) => {
        response.on("error", () => {});
        response.on("data", (data) => String(data).includes('"t0"') && resolve());
      });
    });
    request.end(body);
    // Without content, or without a request at the upstream, there is nothing to leave.
    const isBegun = await Promise.race([(untilContent ? isContent : isAsked).then(() => true), delay(2 * PATIENCE_MS, false)]);
    if (!isBegun) break;
    await delay(20);
    const gone = new Promise((resolve) => (backend.onGone = resolve));
    const from = Number(process.hrtime.bigint()) / 1e6;
    request.destroy();
    const at = await Promise.race([gone, delay(PATIENCE_MS, Infinity)]);
    times.push(at - from);
    if (times.filter((ms) => ms === Infinity).length > 1) break;
  }
  return times;
}
