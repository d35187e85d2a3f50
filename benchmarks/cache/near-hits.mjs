// The near tier: what an awaited hit of `RedisService.get` costs, and (from near.mjs) hit ratios and memory, beside lru-cache.

import { spawnSync } from "node:child_process";
import path from "node:path";

import { peerModule } from "../engine/peers.mjs";
import { figure, markdownTable, median } from "../measure/report.mjs";
import { column, inTurn, ratios, withChildren } from "./children.mjs";
import { openClient } from "./clients.mjs";
import { atLeast, atMost, shown } from "../measure/goals.mjs";
import { Redis } from "./redis.mjs";
import { seeded } from "./traces.mjs";
import { text } from "./values.mjs";

export const title = "The near tier";

const MIB = 2 ** 20;
/** Keys that are fetched together before the measurement. */
const AT_ONCE = 500;
const HOUR_MS = 3_600_000;
const SETS = [3000, 20_000, 100_000].flatMap((keys) => [100, 1000].map((bytes) => ({ keys, bytes, what: `${keys} keys, ${bytes} bytes` })));

export async function run({ quick, say }) {
  const rounds = quick ? 3 : 5;
  const redis = await Redis.start();
  const raw = [];
  const failed = [];
  try {
    for (const { what, keys, bytes } of SETS) {
      const names = ["ours", "lru-cache", "node-redis"];
      const tasks = Object.fromEntries(names.map((name) => [name, { name, url: redis.url, keys, bytes }]));
      await redis.control.flushall();
      for (let from = 0; from < keys; from += AT_ONCE) {
        await redis.control.mset(Array.from({ length: Math.min(AT_ONCE, keys - from) }, (_, at) => [`user:profile:${from + at}`, text(from + at, bytes)]).flat());
      }
      raw.push(...(await withChildren("near-hits", tasks, async (children, missing) => {
        failed.push(...missing);
        // node-redis takes ten times as long for a hit, and is for information.
        const reads = (name) => (quick ? 200_000 : 400_000) / (name === "node-redis" ? 10 : 1);
        for (let time = 0; time < 3; time += 1) for (const [name, child] of Object.entries(children)) await child.ask("read", { reads: reads(name) });
        return await inTurn(children, rounds, async (child, name) => ({ what, ...(await child.ask("read", { reads: reads(name) })) }));
      })));
      say(`  ${what}`);
    }
  } finally {
    await redis.stop();
  }
  const tier = tierAlone(quick);
  const of = (what) => raw.filter((row) => row.what === what);
  // "Zipf 0.9 and scan traces" of the goal: the traces that say so, not those that were added to find weaknesses.
  const inGoal = ({ what }) => what.startsWith("Zipf 0.9") && !what.includes("other ranks");
  const points = (rows, lru) => rows.map((row) => 100 * (row.near - row[lru]));
  return {
    claims: [
      ...SETS.map(({ what }) => atMost(`awaited hit of ${what}, of awaited lru-cache's`, 1.5, ratios(of(what), "hit_ns", "lru-cache"))),
      ...tier.ratios.filter(inGoal).map((row) => atLeast(`hit ratio above LRU in the same memory, points: ${row.what}`, 10, points([row], "lru_real"))),
      ...tier.ratios.filter((row) => !inGoal(row)).map((row) => shown(`the same: ${row.what}`, points([row], "lru_real"))),
      ...tier.memory.map((row) => shown(`memory of 1,000,000 entries of 16 + 100 bytes, of key and value bytes: ${row.which}`, [Math.max(row.accounted, row.resident) / row.payload])),
    ],
    tables: [
      markdownTable(["awaited hit, ns", "ours", "lru-cache with TTL", "node-redis client-side cache"], SETS.map(({ what }) => [what, ...["ours", "lru-cache", "node-redis"].map((name) => cell(column(of(what), name, "hit_ns")))])),
      markdownTable(["hit ratio; value bytes", "near", "LRU with its overhead", "points", "LRU without overhead", "points"], tier.ratios.map((row) => [row.what, row.near.toFixed(3), row.lru_real.toFixed(3), points([row], "lru_real")[0].toFixed(1), row.lru.toFixed(3), points([row], "lru")[0].toFixed(1)])),
      markdownTable(["1,000,000 entries of 16 + 100 bytes", "all memory, MiB", "resident, MiB"], tier.memory.map((row) => [row.which, figure(row.accounted / MIB), figure(row.resident / MIB)])),
    ],
    notes: [
      "Ours is `await service.get(key)` of the class `RedisService`, connected, near tier of 512 MiB; each round checks by its counters that every read was a near hit. lru-cache stands behind one async method, as a service has it. Strings; one process for each.",
      "Hit ratios and memory are those of `benchmarks/cache/near.mjs`. LRU without overhead is charged for keys and values alone, which no JavaScript LRU manages; with its overhead, for what lru-cache was measured to need: the same memory.",
      "The median of a hit ratio's row is that of its one trace: traces are seeded, and a second round would give the same.",
      ...new Set(failed),
    ],
    raw: [...raw, ...tier.hits.map((row) => ({ client: "near tier alone", ...row })), ...tier.ratios, ...tier.memory],
  };
}

const cell = (values) => (values.length === 0 ? "n/a" : `${figure(median(values))} (${figure(Math.min(...values))} .. ${figure(Math.max(...values))})`);

/** What near.mjs measures of the tier without a service around it. */
function tierAlone(quick) {
  const child = spawnSync(process.execPath, [path.join(import.meta.dirname, "near.mjs"), "--json", ...(quick ? ["--quick"] : [])], { encoding: "utf8", maxBuffer: 64 * MIB });
  if (child.status !== 0) throw new Error(`near.mjs failed: ${child.stderr}`);
  return JSON.parse(child.stdout);
}

export async function child({ name, url, keys, bytes }) {
  const cache = name === "lru-cache" ? lru(keys) : await openClient(name, { url, near: name === "ours" ? { maxBytes: 512 * MIB } : true });
  const names = Array.from({ length: keys }, (_, number) => `user:profile:${number}`);
  for (let at = 0; at < keys; at += AT_ONCE) {
    const some = names.slice(at, at + AT_ONCE);
    if (name === "lru-cache") await Promise.all(some.map((key, more) => cache.set(key, text(at + more, bytes))));
    else await Promise.all(some.map((key) => cache.get(key)));
  }
  const random = seeded(3);
  return {
    async read({ reads }) {
      const order = Uint32Array.from({ length: reads }, () => random() * keys);
      const before = cache.service?.stats();
      const from = performance.now();
      for (const at of order) if ((await cache.get(names[at]))?.length !== bytes) throw new Error("a wrong value");
      const took = performance.now() - from;
      const hits = before && cache.service.stats().nearHits - before.nearHits;
      if (before && hits !== reads) throw new Error(`${reads - hits} of ${reads} reads were no near hits`);
      return { hit_ns: (took * 1e6) / reads };
    },
  };
}

function lru(keys) {
  const { LRUCache } = peerModule("lru-cache");
  const cache = new LRUCache({ max: keys, ttl: HOUR_MS });
  return { get: async (key) => cache.get(key), set: async (key, value) => cache.set(key, value) };
}
