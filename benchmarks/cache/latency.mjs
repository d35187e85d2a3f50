// One call after the other: how long a value of Redis takes that nobody else asks for.

import { figure, markdownTable, median, quantile } from "../measure/report.mjs";
import { column, inTurn, ratios, withChildren } from "./children.mjs";
import { OVER_REDIS, openClient } from "./clients.mjs";
import { atMost, shown } from "../measure/goals.mjs";
import { Redis } from "./redis.mjs";
import { fill, keyOf, SIZES } from "./values.mjs";

export const title = "One GET at a time";

export async function run({ quick, say }) {
  const rounds = quick ? 3 : 7;
  const calls = { "1 KB": quick ? 1500 : 5000, "16 KB": quick ? 700 : 2000, "256 KB": quick ? 150 : 400 };
  const redis = await Redis.start();
  try {
    await fill(redis, Object.keys(SIZES));
    const tasks = Object.fromEntries(OVER_REDIS.map((name) => [name, { name, url: redis.url }]));
    return await withChildren("latency", tasks, async (children, failed) => {
      const raw = [];
      for (const size of Object.keys(SIZES)) {
        for (const child of Object.values(children)) await child.ask("read", { size, calls: calls[size] });
        raw.push(...(await inTurn(children, rounds, async (child) => ({ size, ...(await child.ask("read", { size, calls: calls[size] })) }))));
        say(`  ${size}`);
      }
      const of = (size) => raw.filter((row) => row.size === size);
      return {
        claims: [
          atMost("1 KB p50, of ioredis's", 1.05, ratios(of("1 KB"), "p50_us", "ioredis")),
          shown("1 KB p99, of ioredis's", ratios(of("1 KB"), "p99_us", "ioredis")),
          ...["16 KB", "256 KB"].map((size) => shown(`${size} p50, of ioredis's`, ratios(of(size), "p50_us", "ioredis"))),
        ],
        tables: [latencyTable(raw, Object.keys(children))],
        notes: ["Ours is the class `RedisService` with `nearCache: false`, and with time limits of 10 s, since the peers have none. Strings, one process for each client; rounds in turn.", ...failed],
        raw,
      };
    });
  } finally {
    await redis.stop();
  }
}

function latencyTable(raw, names) {
  const cell = (name, size, figureName) => {
    const values = column(raw.filter((row) => row.size === size), name, figureName);
    return `${figure(median(values))} (${figure(Math.min(...values))} .. ${figure(Math.max(...values))})`;
  };
  return markdownTable(
    ["one GET at a time, us", ...Object.keys(SIZES).flatMap((size) => [`${size} p50`, `${size} p99`])],
    names.map((name) => [name, ...Object.keys(SIZES).flatMap((size) => [cell(name, size, "p50_us"), cell(name, size, "p99_us")])]),
  );
}

export async function child({ name, url }) {
  const client = await openClient(name, { url });
  return {
    async read({ size, calls }) {
      const times = new Float64Array(calls);
      for (let call = 0; call < calls; call += 1) {
        const key = keyOf(size, call * 7);
        const from = performance.now();
        const value = await client.get(key);
        times[call] = (performance.now() - from) * 1e3;
        if (value?.length !== SIZES[size].bytes) throw new Error(`${name}: a wrong value of ${key}`);
      }
      return { p50_us: quantile(times, 0.5), p99_us: quantile(times, 0.99) };
    },
  };
}
