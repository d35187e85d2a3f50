// CPU time of a gateway for one request that is not streamed.

import { atMost, shown } from "../measure/goals.mjs";
import { beside, column, inTurn, overOneUpstream, put, ratio, sideBySide } from "./upstream.mjs";

export const title = "CPU per request, 16 connections";

export async function run({ quick, say, gateways, limit, setup }) {
  const rounds = quick ? 2 : 5;
  const raw = await overOneUpstream({ gateways, limit, setup, say, again: true }, (running) =>
    inTurn(running, rounds, async (target) => {
      const result = await put(target, { connections: 16, requests: quick ? 10_000 : 100_000, warmup: quick ? 1_000 : 2_000 });
      say(`  ${target.name}: ${result.cpu_us_per_request.toFixed(1)} us`);
      return result;
    }),
  );
  const names = [...new Set(raw.map((row) => row.gateway))];
  const ours = column(raw, "uat", "cpu_us_per_request");
  return {
    rounds,
    claims: [
      atMost("CPU per request, c=16, us", 60, ours),
      atMost("CPU per request, of bare hyper's", 1.9, beside(raw, "uat", "bare hyper", "cpu_us_per_request", ratio)),
      ...names.filter((name) => !["uat", "bare hyper", "again"].includes(name)).map((name) => shown(`${name}: CPU per request, of ours`, beside(raw, name, "uat", "cpu_us_per_request", ratio))),
    ],
    tables: [
      sideBySide("", names, [
        ["CPU, us a request", (name) => column(raw, name, "cpu_us_per_request")],
        ["of bare hyper's", (name) => beside(raw, name, "bare hyper", "cpu_us_per_request", ratio)],
        ["requests/s", (name) => column(raw, name, "requests_per_s")],
        ["p50, us", (name) => column(raw, name, "latency_us_p50")],
        ["p99, us", (name) => column(raw, name, "latency_us_p99")],
      ]),
    ],
    notes: [...raw.unfit, "User and system time of the gateway's process and its children, kernel work for its sockets included. Requests differ in nothing, and temperature is 0.7, so that no cache answers."],
    raw,
  };
}
