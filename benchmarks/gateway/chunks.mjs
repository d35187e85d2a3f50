// Streams at the pace of a fast model: CPU time for each chunk, what is added until the first, and the gaps between them.

import { atMost, shown } from "../measure/goals.mjs";
import { added, beside, CHUNKS, column, INTERVAL_MS, inTurn, overOneUpstream, put, ratio, sideBySide } from "./upstream.mjs";

export const title = "Streams, 16 connections: CPU per chunk, first chunk, gaps";

export async function run({ quick, say, gateways, limit, setup }) {
  const rounds = quick ? 2 : 5;
  const raw = await overOneUpstream({ gateways, limit, setup, say, again: true }, (running, direct) =>
    inTurn([direct, ...running], rounds, async (target) => {
      // A slow one gets fewer connections instead of fewer requests: 16 of them are more than it can carry.
      const connections = (target.share ?? 1) < 0.02 ? 4 : 16;
      // Spread over one answer, so that the streams do not all tick at once.
      const result = await put({ ...target, share: 1 }, { connections, requests: (quick ? 2 : 10) * connections, warmup: connections, stream: true, chunks: CHUNKS, "spread-ms": CHUNKS * INTERVAL_MS });
      say(`  ${target.name}: first ${result.first_content_us.p50} us, largest gap ${result.gap_us.max} us`);
      return result;
    }),
  );
  const names = [...new Set(raw.map((row) => row.gateway))].filter((name) => name !== "direct");
  const of = (name, what) => beside(raw, name, "direct", what, added);
  const perChunk = (name) => beside(raw, name, "bare hyper", "cpu_us_per_chunk", ratio);
  return {
    rounds,
    claims: [
      shown("CPU per streamed chunk, us", column(raw, "uat", "cpu_us_per_chunk")),
      atMost("CPU per streamed chunk, of bare hyper's", 1.3, perChunk("uat")),
      atMost("added first-content latency p50, streams, ms", 0.5, of("uat", "first_content_us_p50")),
      atMost("added gap between chunks, largest, ms", 10, of("uat", "gap_us_max")),
      ...names.filter((name) => !["uat", "again", "bare hyper"].includes(name)).map((name) => shown(`${name}: added first-content latency p50, ms`, of(name, "first_content_us_p50"))),
    ],
    tables: [
      sideBySide("", names, [
        ["CPU, us a chunk", (name) => column(raw, name, "cpu_us_per_chunk")],
        ["of bare hyper's", perChunk],
        ["added to the first, p50, ms", (name) => of(name, "first_content_us_p50")],
        ["added gap p99, ms", (name) => of(name, "gap_us_p99")],
        ["largest gap added, ms", (name) => of(name, "gap_us_max")],
      ]),
    ],
    notes: [
      ...raw.unfit,
      `${CHUNKS} chunks, one every ${INTERVAL_MS} ms. LiteLLM gets 4 connections instead of 16, which it cannot carry at this pace; CPU per chunk falls with concurrency, so that this favours the others.`,
      "The largest gap of thousands belongs to the scheduler as often as to a gateway: look at the noise line.",
    ],
    raw,
  };
}
