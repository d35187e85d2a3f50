// What a gateway adds to the time of an answer when nothing else is asked.

import { median } from "../measure/report.mjs";
import { atMost, shown } from "../measure/goals.mjs";
import { added, beside, column, inTurn, overOneUpstream, put, sideBySide } from "./upstream.mjs";

export const title = "Added latency, one connection";

export async function run({ quick, say, gateways, limit, setup }) {
  const rounds = quick ? 2 : 7;
  const raw = await overOneUpstream({ gateways, limit, setup, say, again: true }, (running, direct) =>
    inTurn([direct, ...running], rounds, (target) => put(target, { connections: 1, requests: quick ? 500 : 5_000, warmup: 200, least: quick ? 50 : 200 })),
  );
  const names = [...new Set(raw.map((row) => row.gateway))].filter((name) => name !== "direct");
  const of = (name, what) => beside(raw, name, "direct", what, added);
  return {
    rounds,
    claims: [
      atMost("added latency p50, c=1, ms", 0.15, of("uat", "latency_us_p50")),
      ...names.filter((name) => name !== "uat" && name !== "again").map((name) => shown(`${name}: added latency p50, ms`, of(name, "latency_us_p50"))),
    ],
    tables: [
      sideBySide("", names, [
        ["added p50, ms", (name) => of(name, "latency_us_p50")],
        ["added p99, ms", (name) => of(name, "latency_us_p99")],
        ["p50, us", (name) => column(raw, name, "latency_us_p50")],
      ]),
    ],
    notes: [...raw.unfit, `Added is the difference to asking the upstream directly in the same round, whose p50 is ${median(column(raw, "direct", "latency_us_p50"))} us. On an idle machine most of it is waking threads that slept.`],
    raw,
  };
}
