// Redis is frozen (SIGSTOP): its connections stay open, and nothing is answered. How long does a read of a new key take?

import { setTimeout as delay } from "node:timers/promises";

import { figure, markdownTable, median, quantile } from "../measure/report.mjs";
import { column, inTurn, withChildren } from "./children.mjs";
import { openClient } from "./clients.mjs";
import { atMost, shown } from "../measure/goals.mjs";
import { Redis } from "./redis.mjs";

export const title = "A new key while Redis is frozen";

const PEERS = ["ioredis", "node-redis", "keyv", "GLIDE"];
/** Where a caller would long have gone. */
const CAP_MS = 12_000;

export async function run({ quick, say }) {
  const rounds = quick ? 2 : 7;
  const watchMs = quick ? 700 : 2500;
  const capMs = quick ? 2000 : CAP_MS;
  const redis = await Redis.start();
  try {
    const frozen = async (use) => {
      redis.freeze();
      try {
        return await use();
      } finally {
        redis.thaw();
      }
    };
    const ours = await withChildren("freeze", { ours: { name: "ours", url: redis.url } }, (children) =>
      inTurn(children, rounds, async (child, _, round) => {
        const result = await frozen(() => child.ask("reads", { ms: watchMs, round }));
        await child.ask("back");
        return result;
      }),
    );
    say("  ours");
    const { peers, failed } = await withChildren("freeze", Object.fromEntries(PEERS.map((name) => [name, { name, url: redis.url }])), async (children, missing) => ({
      failed: missing,
      // All at once: they wait, so that none disturbs another.
      peers: await frozen(() => Promise.all(Object.entries(children).map(async ([client, child]) => ({ round: 1, client, ...(await child.ask("until", { capMs })) })))),
    }));
    const of = (name) => column(ours, "ours", name);
    return {
      claims: [
        atMost("first calls, p99, ms", 60, of("first_p99_ms")),
        atMost("calls after that, p99, ms", 1, of("then_p99_ms")),
        shown("first calls, slowest, ms", of("first_max_ms")),
        shown("calls after that, slowest, ms", of("then_max_ms")),
        shown("first calls in a round", of("first")),
        shown("calls after that in a round", of("later")),
        shown("calls that rejected", of("rejected")),
        shown("until the first call was answered, ms", of("answered_ms")),
      ],
      tables: [markdownTable(
        ["client", "first call, ms", "ended with", "second call, ms", "ended with"],
        [["ours (median)", figure(median(of("answered_ms"))), "a miss", figure(median(of("then_p50_ms"))), "a miss"], ...peers.map((row) => [row.client, row.first_ms >= capMs ? `> ${capMs}` : figure(row.first_ms), row.first, row.second_ms === null ? "" : row.second_ms >= capMs ? `> ${capMs}` : figure(row.second_ms), row.second])],
      )],
      notes: [
        "A read begins every millisecond, each of another key that was never read. The first calls are those that began before the first of them was answered, which is when anybody can know; the others began later.",
        `Ours as it comes (near tier, a budget of 50 ms), with ${rounds} freezes of ${watchMs} ms. The peers as they come, one freeze, each cut off after ${capMs} ms in all.`,
        ...failed,
      ],
      raw: [...ours, ...peers],
    };
  } finally {
    await redis.stop();
  }
}

export async function child({ name, url }) {
  const client = await openClient(name, { url, patient: false, near: name === "ours" });
  for (let call = 0; call < 200; call += 1) await client.get(`warm:${call}`);
  return {
    async reads({ ms, round }) {
      const calls = [];
      let rejected = 0;
      const began = performance.now();
      let firstAnswered = Infinity;
      const call = async (number) => {
        const from = performance.now();
        await client.get(`new:${round}:${number}`).catch(() => (rejected += 1));
        const now = performance.now();
        firstAnswered = Math.min(firstAnswered, now);
        calls.push({ from, took: now - from });
      };
      const all = [];
      for (let number = 0; performance.now() - began < ms; number += 1) {
        all.push(call(number));
        await delay(1);
      }
      await Promise.all(all);
      const first = calls.filter(({ from }) => from < firstAnswered).map(({ took }) => took);
      const then = calls.filter(({ from }) => from >= firstAnswered).map(({ took }) => took);
      return {
        first: first.length, first_p99_ms: quantile(first, 0.99), first_max_ms: Math.max(...first),
        later: then.length, then_p50_ms: quantile(then, 0.5), then_p99_ms: quantile(then, 0.99), then_max_ms: Math.max(...then), rejected, answered_ms: firstAnswered - began,
      };
    },
    async back() {
      while (client.service.status().mode !== "redis") await delay(10);
      // The next freeze begins with connections that are known to be well.
      await delay(300);
    },
    async until({ capMs }) {
      const end = performance.now() + capMs;
      const timed = async (key) => {
        const from = performance.now();
        const outcome = await Promise.race([client.get(key).then(() => "an answer", (error) => `an error: ${error.message.slice(0, 60)}`), delay(Math.max(0, end - from), "nothing")]);
        return [performance.now() - from, outcome];
      };
      const [first_ms, first] = await timed("new:1");
      const [second_ms, second] = first === "nothing" ? [null, ""] : await timed("new:2");
      return { first_ms, first, second_ms, second };
    },
  };
}
