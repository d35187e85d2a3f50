// Four replicas of which one is slow, eight requests at a time, nothing learned before.

import { startServer, stop } from "../measure/processes.mjs";
import { atLeast, atMost, shown } from "../measure/goals.mjs";
import { orNull } from "./peers/program.mjs";
import { column, put, sideBySide } from "./upstream.mjs";

export const title = "One slow replica of four: three of 20 ms, one of 400 ms, 8 connections, 480 requests";

const DELAYS_MS = [20, 20, 20, 400];

export async function run({ quick, say, gateways, setup }) {
  const rounds = quick ? 1 : 5;
  const raw = [];
  for (let round = 1; round <= rounds; round += 1) {
    for (const gateway of round % 2 ? gateways : [...gateways].reverse()) {
      const row = await once(gateway, setup);
      if (row === null) continue;
      raw.push({ round, gateway: gateway.name, ...row });
      say(`  ${gateway.name}: ${row.per_s.toFixed(0)} a second, p90 ${row.p90_ms.toFixed(1)} ms`);
    }
  }
  const of = (name, what) => column(raw, name, what);
  const peers = gateways.map(({ name }) => name).filter((name) => name !== "uat");
  return {
    rounds,
    claims: [
      atLeast("requests/s", 280, of("uat", "per_s")),
      atMost("p90, ms", 25, of("uat", "p90_ms")),
      ...peers.filter((name) => of(name, "per_s").length > 0).map((name) => shown(`${name}: requests/s`, of(name, "per_s"))),
    ],
    tables: [
      sideBySide("", gateways.map(({ name }) => name), [
        ["requests/s", (name) => of(name, "per_s")], ["p50, ms", (name) => of(name, "p50_ms")], ["p90, ms", (name) => of(name, "p90_ms")],
        ["p99, ms", (name) => of(name, "p99_ms")], ["of 480, at the slow one", (name) => of(name, "slow")],
      ]),
    ],
    notes: ["Each time a fresh gateway: the requests at the slow replica are what finding out cost. Each peer has the policy that is made for this (see below)."],
    raw,
  };
}

async function once(gateway, setup) {
  const replicas = await Promise.all(DELAYS_MS.map((ms) => startServer("mock-upstream", ["--first-ms", String(ms)])));
  try {
    const running = await orNull(gateway.start({ ...setup, backends: replicas.map(({ url }) => url), slowReplica: true }));
    if (running === null) return null;
    try {
      const { requests_per_s: per_s, latency_us: { p50, p90, p99 } } = await put(running, { connections: 8, requests: 480 });
      const slow = Number(await (await fetch(`${replicas.at(-1).url}/__count`)).text());
      return { per_s, p50_ms: p50 / 1e3, p90_ms: p90 / 1e3, p99_ms: p99 / 1e3, slow };
    } finally {
      await running.stop();
    }
  } finally {
    await Promise.all(replicas.map(({ child }) => stop(child)));
  }
}
