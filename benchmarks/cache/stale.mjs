// Near tiers whose connections are killed while others write: is anything read that was overwritten long before?

import { setTimeout as delay } from "node:timers/promises";

import { figure, markdownTable } from "../measure/report.mjs";
import { Child } from "./children.mjs";
import { openClient } from "./clients.mjs";
import { exactly, shown } from "../measure/goals.mjs";
import { History, judge, requireJudge } from "./history.mjs";
import { Redis, temporaryFolder } from "./redis.mjs";
import { seeded } from "./traces.mjs";

export const title = "Stale reads while connections are killed";

/** A key is overwritten about every half second, so that the next change does not repair at once what an earlier one left
 * stale, and read by each reader every 50 ms or so, so that the readers hold it when it changes. */
const KEYS = 128;
const PROCESSES = 2;
const READERS = 2;
const WRITERS = 1;
const READS_A_TURN = 6;
const READ_PAUSE_MS = 2;
const WRITE_PAUSE_MS = 15;
/** The outside connection writes too, since it is never killed: so many keys right after each kill, when nobody can be told. */
const WRITES_AFTER_KILL = 6;
const OUTSIDE = 1000;
/**
 * Kills, and milliseconds between two: the peers wait longer before they connect again. Reading goes on for `settleMs` after
 * the last kill; of the peers, long enough to see whether what is stale stays so.
 */
const SUBJECTS = {
  ours: { kills: 1000, quick: 50, paceMs: 40, settleMs: 1500, writer: "ours" },
  "node-redis": { kills: 60, quick: 10, paceMs: 200, settleMs: 10_000, writer: "ioredis" },
  GLIDE: { kills: 60, quick: 10, paceMs: 200, settleMs: 10_000, writer: "ioredis" },
};
const QUICK_SETTLE_MS = 1500;
/** A call of a peer may wait for ever; after so long the history is written without it. */
const LAST_CALLS_MS = 3000;

export async function run({ quick, say }) {
  requireJudge();
  const raw = [];
  const failed = [];
  for (const [name, subject] of Object.entries(SUBJECTS)) {
    try {
      raw.push({ round: 1, client: name, ...(await disturbed(name, quick ? { ...subject, kills: subject.quick, settleMs: QUICK_SETTLE_MS } : subject)) });
    } catch (error) {
      if (name === "ours") throw error;
      failed.push(`Not measured: ${name}: ${error.message.split("\n")[0]}`);
    }
    say(`  ${name}`);
  }
  const [ours] = raw;
  return {
    claims: [
      exactly(`stale reads over ${ours.kills} kills`, 0, ours.stale),
      exactly("reads of what nobody wrote", 0, ours.from_nowhere),
      shown("reads", [ours.reads]),
      shown("of these near hits, %", [(100 * ours.near_hits) / ours.reads]),
      shown("reads that missed, %", [(100 * ours.misses) / ours.reads]),
      shown("writes acknowledged", [ours.acknowledged]),
      shown("writes of unknown outcome", [ours.unknown]),
      shown("writes from outside right after a kill", [ours.outside_writes]),
      shown("connections killed", [ours.connections]),
      shown("reconnects of the services", [ours.reconnects]),
    ],
    tables: [markdownTable(
      ["near tier of", "kills", "connections killed", "reads", "stale", "longest after the overwrite, ms", "reads that failed", "writes acknowledged"],
      raw.map((row) => [row.client, row.kills, row.connections, row.reads, row.stale, row.stale === 0 ? "" : figure(row.longest_ms), row.failed_reads, row.acknowledged]),
    )],
    notes: [
      `Two processes, each with ${READERS} readers with a near tier and ${WRITERS} writer, over ${KEYS} keys, while an outside connection sends \`CLIENT KILL TYPE normal\` and right after it overwrites ${WRITES_AFTER_KILL} keys, of which the killed connections can tell nobody. Stale, by \`uat-check-history\`: read more than 50 ms after an overwrite was acknowledged.`,
      "A write of ours is of unknown outcome if it rejected, if the service was not in mode `redis`, or if its count of calls answered without Redis changed meanwhile; a peer's if it rejected.",
      "For node-redis (client-side cache) and GLIDE (`serverAssisted`), which are here for comparison with fewer kills, ioredis writes. Each connects again as it does by default.",
      ...failed,
    ],
    raw,
  };
}

async function disturbed(name, { kills, paceMs, settleMs, writer }) {
  const redis = await Redis.start();
  const folder = temporaryFolder("stale");
  const children = [];
  try {
    for (let number = 0; number < PROCESSES; number += 1) children.push(await Child.open("stale", { name, writer, url: redis.url, number }));
    const random = seeded(11);
    await Promise.all(children.map((child) => child.ask("begin")));
    await delay(300);
    const history = new History();
    let connections = 0;
    let written = 0;
    for (let kill = 0; kill < kills; kill += 1) {
      await delay(paceMs * (0.5 + random()));
      connections += await redis.control.client("KILL", "TYPE", "normal");
      for (let write = 0; write < WRITES_AFTER_KILL; write += 1) {
        const key = `k${Math.floor(random() * KEYS)}`;
        const value = `outside-${(written += 1)}`;
        const start = history.now();
        await redis.control.set(key, value);
        history.note(OUTSIDE, key, "write", start, value);
      }
    }
    await delay(settleMs / 2);
    // Nothing is written from now on: a stale value that is left will be read until somebody overwrites it.
    await Promise.all(children.map((child) => child.ask("quiet")));
    await delay(settleMs / 2);
    const files = children.map((_, number) => `${folder}/${number}.jsonl`);
    history.write(`${folder}/outside.jsonl`);
    const counts = await Promise.all(children.map((child, number) => child.ask("end", { file: files[number] })));
    const report = judge([...files, `${folder}/outside.jsonl`], folder, []);
    const total = (one) => counts.reduce((sum, count) => sum + count[one], 0);
    const late = report.examples.filter(({ kind }) => kind === "stale").map(({ late_ms }) => late_ms);
    return {
      kills, connections, outside_writes: written, reads: report.reads, stale: report.stale, from_nowhere: report.from_nowhere, longest_ms: Math.max(0, ...late),
      ...Object.fromEntries(["near_hits", "misses", "failed_reads", "acknowledged", "unknown", "reconnects"].map((one) => [one, total(one)])),
    };
  } finally {
    await Promise.all(children.map((child) => child.close()));
    await redis.stop();
  }
}

export async function child({ name, writer, url, number }) {
  const history = new History();
  const counts = { near_hits: 0, misses: 0, failed_reads: 0, acknowledged: 0, unknown: 0, reconnects: 0 };
  const open = (which, near) => openClient(which, { url, patient: false, near });
  const readers = await Promise.all(Array.from({ length: READERS }, () => open(name, true)));
  const writers = await Promise.all(Array.from({ length: WRITERS }, () => open(writer, writer === name)));
  let stop = false;
  let quiet = false;
  let written = 0;

  async function read(client, id, random) {
    while (!stop) {
      for (let time = 0; time < READS_A_TURN; time += 1) {
        const key = `k${Math.floor(random() * KEYS)}`;
        const start = history.now();
        try {
          const value = await client.get(key);
          history.note(id, key, "read", start, value);
          if (value === null) counts.misses += 1;
        } catch {
          // Told in the table; of a peer only, for a read of ours does not reject.
          counts.failed_reads += 1;
        }
      }
      await delay(READ_PAUSE_MS);
    }
  }

  async function write(client, id, random) {
    while (!stop && !quiet) {
      const key = `k${Math.floor(random() * KEYS)}`;
      const value = `w${id}-${(written += 1)}`;
      const start = history.now();
      const aside = client.service?.stats().fallbackOps;
      const before = client.service?.status().mode;
      const answered = await client.set(key, value).then(() => true, () => false);
      // What was kept aside is not in Redis, and never will be.
      const unsure = client.service !== undefined && (before !== "redis" || client.service.status().mode !== "redis" || client.service.stats().fallbackOps !== aside);
      const outcome = answered && !unsure ? "ok" : "unknown";
      counts[outcome === "ok" ? "acknowledged" : "unknown"] += 1;
      history.note(id, key, "write", start, value, outcome);
      await delay(WRITE_PAUSE_MS);
    }
  }

  let working;
  return {
    async begin() {
      const base = number * 100;
      working = Promise.all([
        ...readers.map((client, at) => read(client, base + at, seeded(base + at))),
        ...writers.map((client, at) => write(client, base + 50 + at, seeded(base + 50 + at))),
      ]);
    },
    async quiet() {
      quiet = true;
    },
    async end({ file }) {
      stop = true;
      await Promise.race([working, delay(LAST_CALLS_MS)]);
      for (const { service } of [...readers, ...writers]) {
        counts.near_hits += service?.stats().nearHits ?? 0;
        counts.reconnects += service?.stats().reconnects ?? 0;
      }
      history.write(file);
      return counts;
    },
  };
}
