// Many calls at once: how many are answered a second, and what the process and its main thread spend on each.

import { readFileSync } from "node:fs";

import { figure, markdownTable, median } from "../measure/report.mjs";
import { column, inTurn, ratios, withChildren } from "./children.mjs";
import { OVER_REDIS, openClient } from "./clients.mjs";
import { atLeast, atMost, shown } from "../measure/goals.mjs";
import { Redis } from "./redis.mjs";
import { fill, keyOf, SIZES, text } from "./values.mjs";

export const title = "Many calls at once";

const LOADS = [
  { what: "GET 1 KB, 100 at once", operation: "get", size: "1 KB", concurrency: 100, goal: 3 },
  { what: "GET 16 KB, 100 at once", operation: "get", size: "16 KB", concurrency: 100, goal: 2 },
  { what: "GET 256 KB, 100 at once", operation: "get", size: "256 KB", concurrency: 100, goal: 1.5 },
  { what: "GET 1 KB, 1000 at once", operation: "get", size: "1 KB", concurrency: 1000, goal: 6 },
  { what: "SET 1 KB, 100 at once", operation: "set", size: "1 KB", concurrency: 100 },
  { what: "SET 16 KB, 100 at once", operation: "set", size: "16 KB", concurrency: 100 },
];

export async function run({ quick, say }) {
  const rounds = quick ? 3 : 5;
  const ms = quick ? 250 : 500;
  const redis = await Redis.start();
  try {
    await fill(redis, Object.keys(SIZES));
    const tasks = Object.fromEntries(OVER_REDIS.map((name) => [name, { name, url: redis.url }]));
    return await withChildren("throughput", tasks, async (children, failed) => {
      const raw = [];
      for (const load of LOADS) {
        for (const child of Object.values(children)) await child.ask("load", { ...load, ms });
        raw.push(...(await inTurn(children, rounds, async (child) => ({ what: load.what, ...(await child.ask("load", { ...load, ms })) }))));
        say(`  ${load.what}`);
      }
      const of = (what) => raw.filter((row) => row.what === what);
      const [first] = LOADS;
      return {
        claims: [
          ...LOADS.map(({ what, goal }) => (goal === undefined ? shown : (name, values) => atLeast(name, goal, values))(`${what}: calls/s, of ioredis's`, ratios(of(what), "calls_per_s", "ioredis"))),
          ...LOADS.slice(0, 4).map(({ what }) => shown(`${what}: calls/s, of ioredis's with auto-pipelining`, ratios(of(what), "calls_per_s", "ioredis, auto-pipelining"))),
          atMost(`${first.what}: CPU of the main thread a call, of ioredis's`, 0.2, ratios(of(first.what), "main_thread_us", "ioredis")),
          shown(`${first.what}: CPU of the process a call, of ioredis's`, ratios(of(first.what), "process_us", "ioredis")),
        ],
        tables: LOADS.map((load) => loadTable(load, of(load.what), Object.keys(children))),
        notes: [
          "Ours is the class `RedisService` with `nearCache: false`, and with time limits of 10 s, since the peers have none. Each caller asks again as soon as it has its answer; every value's length is checked.",
          "CPU of the main thread is what the kernel gave to that thread (`/proc/self/task/PID/schedstat`), garbage collection on it included; loop active is the event loop's own account, waiting for a core included. CPU of the process has all threads.",
          "Client and Redis share the cores: of a client that uses several threads more is asked here than on a machine with a core for each.",
          ...failed,
        ],
        raw,
      };
    });
  } finally {
    await redis.stop();
  }
}

function loadTable({ what }, raw, names) {
  const cell = (name, figureName) => {
    const values = column(raw, name, figureName);
    return `${figure(median(values))} (${figure(Math.min(...values))} .. ${figure(Math.max(...values))})`;
  };
  return markdownTable(
    [what, "calls/s", "CPU of the main thread, us a call", "loop active, us a call", "CPU of the process, us a call"],
    names.map((name) => [name, ...["calls_per_s", "main_thread_us", "loop_active_us", "process_us"].map((one) => cell(name, one))]),
  );
}

export async function child({ name, url }) {
  const client = await openClient(name, { url });
  const values = Object.fromEntries(Object.entries(SIZES).map(([size, { bytes }]) => [size, Array.from({ length: 16 }, (_, number) => text(number, bytes))]));
  return {
    async load({ operation, size, concurrency, ms }) {
      const { bytes } = SIZES[size];
      let calls = 0;
      const from = performance.now();
      const until = from + ms;
      const caller = async (first) => {
        for (let number = first; performance.now() < until; number += 13) {
          if (operation === "set") await client.set(`${keyOf(size, number)}:set`, values[size][number % 16]);
          else if ((await client.get(keyOf(size, number)))?.length !== bytes) throw new Error(`${name}: a wrong value of ${keyOf(size, number)}`);
          calls += 1;
        }
      };
      const main = mainThreadUs();
      const cpu = process.cpuUsage();
      const loop = performance.eventLoopUtilization();
      await Promise.all(Array.from({ length: concurrency }, (_, number) => caller(number)));
      const { active } = performance.eventLoopUtilization(loop);
      const { user, system } = process.cpuUsage(cpu);
      const spent = mainThreadUs() - main;
      return { calls, calls_per_s: (calls * 1e3) / (performance.now() - from), main_thread_us: spent / calls, loop_active_us: (active * 1e3) / calls, process_us: (user + system) / calls };
    },
  };
}

/** CPU time of this thread so far. Node 20 has no call for it; the kernel counts in nanoseconds. */
function mainThreadUs() {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[0]) / 1e3;
}
