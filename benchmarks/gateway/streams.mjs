// Thousands of streams that are open at the same time: memory for each, and whether chunks come late.

import { median } from "../measure/report.mjs";
import { atMost, shown } from "../measure/goals.mjs";
import { added, column, inTurn, overOneUpstream, put, sideBySide } from "./upstream.mjs";
import { resident } from "./memory.mjs";

export const title = "Many open streams at once";

// A chunk each second: all streams together send as many chunks a second as there are streams.
const INTERVAL_MS = 1_000;

export async function run({ quick, say, gateways, limit, setup }) {
  const rounds = quick ? 1 : 3;
  const streams = quick ? 500 : 5_000;
  const chunks = quick ? 4 : 8;
  const open = (target) => ((target.share ?? 1) >= 1 ? streams : Math.min(streams, target.share < 0.02 ? 200 : 1_000));
  const counts = {};
  const raw = await overOneUpstream({ gateways, limit, setup, say, options: { chunks, interval_ms: INTERVAL_MS } }, (running, direct) =>
    inTurn([direct, ...running], rounds, async (target) => {
      const pids = target.pids();
      const before = resident(pids);
      const connections = open(target);
      counts[target.name] = connections;
      let most = 0;
      const looking = setInterval(() => (most = Math.max(most, resident(pids))), 200);
      // They begin over half of a stream's time, so that all are open when the last has begun.
      const result = await put({ ...target, share: 1 }, { connections, requests: connections, stream: true, chunks, "spread-ms": ((chunks - 1) * INTERVAL_MS) / 2 });
      clearInterval(looking);
      const kib_per_stream = pids.length === 0 ? null : ((most - before) * 1024) / connections;
      say(`  ${target.name}: ${connections} streams, ${kib_per_stream === null ? "" : `${kib_per_stream.toFixed(1)} KiB each, `}gap p99 ${result.gap_us.p99} us`);
      return { ...result, connections, kib_per_stream };
    }),
  );
  const names = [...new Set(raw.map((row) => row.gateway))].filter((name) => name !== "direct");
  const first = (name) => raw.filter((row) => row.gateway === name && row.round === 1).map((row) => row.kib_per_stream);
  // Beside the least that the upstream showed by itself: with thousands of connections its own rounds differ by seconds.
  const least = Math.min(...column(raw, "direct", "gap_us_p99"));
  const gaps = (name) => column(raw, name, "gap_us_p99").map((gap) => added(gap, least));
  return {
    rounds,
    claims: [
      atMost(`RSS per open stream, KiB, ${streams} streams, a fresh gateway`, 40, first("uat")),
      atMost("added gap between chunks, p99, ms", 5, gaps("uat")),
      ...names.filter((name) => name !== "uat").flatMap((name) => [shown(`${name}: RSS per open stream, KiB, of ${counts[name]}`, first(name)), shown(`${name}: added gap p99, ms`, gaps(name))]),
    ],
    tables: [
      sideBySide("", names, [
        ["streams", (name) => [counts[name]]],
        ["RSS a stream, KiB, first round", first],
        ["added gap p99, ms", gaps],
        ["gap p99, us", (name) => column(raw, name, "gap_us_p99")],
        ["CPU, us a chunk", (name) => column(raw, name, "cpu_us_per_chunk")],
      ]),
    ],
    notes: [
      ...raw.unfit,
      `A chunk every ${INTERVAL_MS / 1e3} s in each stream, ${median(Object.values(counts))} streams in most; Portkey and LiteLLM get fewer, as shown, because their CPU would be all that is measured. A gap is then measured against ${INTERVAL_MS} ms.`,
      `Added is beside the best round of the upstream itself (p99 ${(least / 1e3).toFixed(1)} ms).`,
      "Memory of a stream is the most that was resident, less what was before, by the number of streams. Later rounds use again what the first allocated, so the first counts.",
    ],
    raw,
  };
}
