// One row on one backend, in a process of its own: `child.mjs ROW CALLS SECONDS PLACE`; the backend is UAT_BACKEND's. Tells what it found to its parent.

import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import process from "node:process";

import { quantile } from "../measure/report.mjs";
import { ROWS } from "./rows.mjs";

const [name, calls, seconds, place] = process.argv.slice(2);
const row = ROWS[name];
const { once, close } = await row.open(JSON.parse(place));

/** Lets the machine code and the caches settle. */
for (let call = 0; call < Math.ceil(Number(calls) / 5); call += 1) await once();

const times = [];
const before = process.cpuUsage();
for (let call = 0; call < Number(calls); call += 1) {
  const from = performance.now();
  const own = await once();
  times.push(typeof own === "number" ? own : performance.now() - from);
}
const { user, system } = process.cpuUsage(before);
const loaded = await throughput();
await close();
process.send({
  p50_ms: quantile(times, 0.5), p99_ms: quantile(times, 0.99), cpu_ms: (user + system) / 1e3 / Number(calls), ...loaded,
  // In KiB.
  peak_mib: process.resourceUsage().maxRSS / 1024,
}, () => process.disconnect());

/** As many at once as the row says, for some seconds; and how long the event loop kept others waiting meanwhile. */
async function throughput() {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const [from, end] = [performance.now(), performance.now() + 1e3 * Number(seconds)];
  let done = 0;
  await Promise.all(Array.from({ length: row.beside }, async () => {
    while (performance.now() < end) {
      await once();
      done += 1;
      // A call that answers at once would let nobody else have a turn.
      if (done % 64 === 0) await new Promise((resolve) => { setImmediate(resolve); });
    }
  }));
  const took = performance.now() - from;
  delay.disable();
  return { per_second: done / (took / 1e3), loop_p999_ms: delay.percentile(99.9) / 1e6 };
}
