#!/usr/bin/env node
// The near tier beside lru-cache: time of an awaited hit, hit ratios in the same bytes, memory of a million entries.
// `npm run build:ts` first, then `node benchmarks/cache/near.mjs [--quick] [--json]`.

import { spawnSync } from "node:child_process";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";

import { installFromNpm, peerModule } from "../engine/peers.mjs";
import { circumstances, csv, figure, keep, markdownTable, median } from "../measure/report.mjs";
import { repository } from "../measure/processes.mjs";
import { seeded, traces } from "./traces.mjs";

const { values: options } = parseArgs({ options: { quick: { type: "boolean", default: false }, json: { type: "boolean", default: false }, memory: { type: "string" } } });
const { NearTier } = await import(path.join(repository, "dist", "native", "redis-service", "near", "near-tier.js"));
const { LRUCache } = await lruCache();

const HOUR = 3_600_000;
const MIB = 2 ** 20;
const ENTRIES = 1_000_000;
/** lru-cache with a TTL for 1,000,000 entries of 116 bytes, as `memory` below measures it; what a fair LRU is charged beside key and value. */
const LRU_OVERHEAD_BYTES = 140;

/** Both behind one asynchronous method, as a service has it. */
class Near {
  tier = new NearTier({ maxBytes: 256 * MIB });
  async get(key) {
    return this.tier.get(key);
  }
}

class Lru {
  constructor(max) {
    this.cache = new LRUCache({ max, ttl: HOUR });
  }
  async get(key) {
    return this.cache.get(key);
  }
}

if (options.memory !== undefined) {
  console.log(JSON.stringify(memory(options.memory)));
  process.exit();
}

const about = circumstances();
const hits = await hitTimes();
const ratios = hitRatios();
const held = ["near", "lru-cache"].map((which) => ({ which, ...inProcess(which) }));

if (options.json) {
  console.log(JSON.stringify({ about, hits, ratios, memory: held }, null, 2));
} else {
  const tables = [
    markdownTable(
      ["awaited hit, strings, TTL", "near, ns", "lru-cache, ns", "ratio (goal <= 1.5)"],
      hits.map((row) => [row.what, figure(row.near_ns), figure(row.lru_ns), `${figure(row.ratio)} (${figure(row.least)} .. ${figure(row.most)})`]),
    ),
    markdownTable(
      ["hit ratio, values of so many bytes", "near", "LRU without overhead", "points", "LRU with its overhead", "points (goal >= 10)"],
      ratios.map((row) => [row.what, row.near.toFixed(3), row.lru.toFixed(3), (100 * (row.near - row.lru)).toFixed(1), row.lru_real.toFixed(3), (100 * (row.near - row.lru_real)).toFixed(1)]),
    ),
    markdownTable(
      ["1,000,000 entries of 16 + 100 bytes", "all memory, MiB", "resident, MiB", "of key + value bytes (goal <= 1.5)", "longest put, ms"],
      held.map((row) => [row.which, figure(row.accounted / MIB), figure(row.resident / MIB), figure(Math.max(row.accounted, row.resident) / row.payload), figure(row.longest_put_ms)]),
    ),
  ].join("\n");
  console.log(tables);
  if (options.quick) {
    console.log("A quick look: nothing was kept, and nothing here may be quoted.");
  } else {
    const facts = Object.entries(about).map(([name, value]) => `- ${name}: ${value}`).join("\n");
    const kept = keep("cache/near", {
      "hits.csv": csv(hits),
      "ratios.csv": csv(ratios),
      "summary.json": `${JSON.stringify({ about, hits, ratios, memory: held }, null, 2)}\n`,
      "summary.md": `# The near tier beside lru-cache, ${about.date.slice(0, 10)}\n\nReproduce with \`node benchmarks/cache/near.mjs\`. "Without overhead" charges LRU for keys and values alone, which no\nJavaScript LRU manages; "with its overhead" for ${LRU_OVERHEAD_BYTES} bytes an entry more.\n\n${tables}\n${facts}\n`,
    });
    console.log(`Kept in ${kept}`);
  }
}

async function lruCache() {
  try {
    return peerModule("lru-cache");
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    await installFromNpm();
    return peerModule("lru-cache");
  }
}

/** Medians over rounds in which both read the same keys in the same order, one after the other. */
async function hitTimes() {
  const rows = [];
  for (const keys of [3000, 20_000, 100_000]) {
    for (const bytes of [100, 1000]) {
      for (const made of keys === 3000 ? ["kept keys", "keys made anew"] : ["kept keys"]) {
        rows.push(await hitTime(keys, bytes, made));
      }
    }
  }
  return rows;
}

async function hitTime(keys, bytes, made) {
  const random = seeded(3);
  const names = Array.from({ length: keys }, (_, at) => `user:profile:${at}`);
  const near = new Near();
  const lru = new Lru(keys);
  for (const [at, name] of names.entries()) {
    const value = text(at, bytes);
    near.tier.put(name, "string", value, performance.now() + HOUR);
    lru.cache.set(name, value);
  }
  const order = Uint32Array.from({ length: options.quick ? 200_000 : 300_000 }, () => random() * keys);
  const read = made === "kept keys" ? (at) => names[at] : (at) => `user:profile:${at}`;
  const timed = async (cache) => {
    const from = performance.now();
    for (const at of order) if ((await cache.get(read(at))).length !== bytes) throw new Error("a wrong value");
    return ((performance.now() - from) * 1e6) / order.length;
  };
  // Until both are compiled and what is hot is where it belongs.
  for (let round = 0; round < 4; round += 1) await timed(near), await timed(lru);
  const rounds = [];
  for (let round = 0; round < (options.quick ? 3 : 5); round += 1) {
    const nearFirst = round % 2 === 0;
    const first = await timed(nearFirst ? near : lru);
    const second = await timed(nearFirst ? lru : near);
    rounds.push(nearFirst ? [first, second] : [second, first]);
  }
  const ratio = rounds.map(([ours, theirs]) => ours / theirs);
  return { what: `${keys} keys, ${bytes} bytes, ${made}`, near_ns: median(rounds.map(([ours]) => ours)), lru_ns: median(rounds.map(([, theirs]) => theirs)), ratio: median(ratio), least: Math.min(...ratio), most: Math.max(...ratio) };
}

/** As it comes from a socket: one flat string, not V8's note of what to put together. */
function text(number, bytes) {
  return Buffer.alloc(bytes, `${number}:value;`).toString("latin1");
}

function hitRatios() {
  const rows = [];
  for (const [what, room, make] of traces()) {
    const trace = make();
    for (const bytes of options.quick ? [500] : [100, 1000]) {
      const value = "v".repeat(bytes);
      const maxBytes = room * (bytes + 10);
      const tier = new NearTier({ maxBytes, now: () => 0 });
      const near = ratio(trace, (key) => tier.get(key), (key) => tier.put(key, "string", value, Infinity));
      const lru = (overhead) => {
        const cache = new LRUCache({ maxSize: maxBytes, sizeCalculation: (stored, key) => stored.length + key.length + overhead });
        return ratio(trace, (key) => cache.get(key), (key) => cache.set(key, value));
      };
      rows.push({ what: `${what}; ${bytes}`, near, lru: lru(0), lru_real: lru(LRU_OVERHEAD_BYTES) });
    }
  }
  return rows;
}

/** The share of reads that hit; what missed is put. */
function ratio(trace, get, put) {
  let found = 0;
  for (const number of trace) {
    const key = `item:${number}`;
    if (get(key) === undefined) put(key);
    else found += 1;
  }
  return found / trace.length;
}

/** In a process of its own, where nothing else is on the heap. */
function inProcess(which) {
  const child = spawnSync(process.execPath, ["--expose-gc", import.meta.filename, "--memory", which], { encoding: "utf8" });
  if (child.status !== 0) throw new Error(`measuring memory failed: ${child.stderr}`);
  return JSON.parse(child.stdout);
}

function memory(which) {
  const measured = () => {
    for (let time = 0; time < 4; time += 1) globalThis.gc();
    const { rss, heapUsed, external } = process.memoryUsage();
    // `external` contains array buffers.
    return { rss, accounted: heapUsed + external };
  };
  const name = (at) => `user:${String(at).padStart(11, "0")}`;
  // V8's room for young objects grows with what a program makes, cache or not: that is done before.
  let made = 0;
  for (let at = 0; at < ENTRIES; at += 1) made += name(at).length + text(at, 100).length;
  const before = measured();
  const cache = which === "near" ? new NearTier({ maxBytes: 512 * MIB }) : new LRUCache({ max: ENTRIES, ttl: HOUR });
  const expiresAt = performance.now() + HOUR;
  let payload = 0;
  let longest = 0;
  for (let at = 0; at < ENTRIES; at += 1) {
    const key = name(at);
    const value = text(at, 100);
    payload += key.length + value.length;
    const from = performance.now();
    if (which === "near") cache.put(key, "string", value, expiresAt);
    else cache.set(key, value);
    longest = Math.max(longest, performance.now() - from);
  }
  // Half of all reads go to a tenth: what is hot is part of the memory.
  const random = seeded(5);
  for (let read = 0; read < 2 * ENTRIES; read += 1) {
    const at = Math.floor(random() * (random() < 0.5 ? ENTRIES / 10 : ENTRIES));
    if (cache.get(name(at))?.length !== 100) throw new Error("a wrong value");
  }
  const after = measured();
  if (cache.size !== ENTRIES || payload !== made) throw new Error(`${cache.size} entries of ${payload} bytes`);
  return { payload, accounted: after.accounted - before.accounted, resident: after.rss - before.rss, own_account: cache.bytes, longest_put_ms: longest };
}
