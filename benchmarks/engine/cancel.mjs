// A thousand requests of which a tenth leave at a random moment: what stays behind.

import { below, chat, get, memory, seeded, settled, startEngine, words } from "../measure/engine.mjs";
import { figure, median } from "../measure/report.mjs";
import { atMost, exactly, shown } from "../measure/goals.mjs";

/** More than the engine's 8 slots, so that some are cancelled while they wait. */
const IN_FLIGHT = 10;
/** One of so many leaves. */
const ONE_OF = 10;
/** Before memory is measured for the first time: every slot and every cache has been used by then. */
const WARM_UP = 200;

export const title = "Cancelled requests";

export async function run({ quick, model }) {
  const count = quick ? 100 : 1000;
  const engine = await startEngine();
  try {
    const random = seeded(4);
    const warm = await many(engine.to, model, quick ? 40 : WARM_UP, random);
    // So that some leave while they wait, some while their prompt is read, and some in the middle of their answer.
    const usual = median(warm.map(({ ms }) => ms));
    await settled(engine.to);
    const before = { ...memory(engine.child.pid), ...(await get(engine.to, "/v1/stats")) };
    console.log(`  warm: ${figure(before.resident_mib)} MiB resident`);
    const raw = await many(engine.to, model, count, random, usual);
    const { active, queued, ...left } = await settled(engine.to);
    const after = memory(engine.child.pid);
    const complete = raw.filter((row) => row.outcome === "complete").length;
    const failed = raw.filter((row) => row.outcome === "failed").length;
    console.log(`  ${complete} complete, ${failed} failed, the rest cancelled; ${active} active and ${queued} queued at the end; ${figure(after.resident_mib)} MiB resident`);
    return {
      claims: [
        exactly("slots still taken at the end", 0, active),
        exactly("requests still queued at the end", 0, queued),
        exactly("requests that failed", 0, failed),
        atMost(`resident memory after ${count} requests, of before`, 1.05, [after.resident_mib / before.resident_mib]),
        shown("resident before, MiB", [before.resident_mib]),
        shown("resident after, MiB", [after.resident_mib]),
        shown("memory that is no file's, after, of before", [after.anonymous_mib / before.anonymous_mib]),
        shown("cancelled by the client", [raw.filter((row) => row.outcome === "cancelled").length]),
        shown("of them before the first text", [raw.filter((row) => row.outcome === "cancelled" && row.texts === 0).length]),
        shown("noticed by the engine as cancelled", [left.cancelled - before.cancelled]),
      ],
      tables: [],
      notes: [`${IN_FLIGHT} in flight. One of each ${ONE_OF} requests is drawn to leave, at a moment drawn from the usual length of a request; where it is complete by then, it counts as complete.`],
      raw,
    };
  } finally {
    await engine.end();
  }
}

/** So many requests of different lengths. With `within`, some of them leave before so many ms have passed. */
async function many(to, model, count, random, within) {
  // Drawn beforehand: the order in which answers end must not change what is asked.
  let leaver = 0;
  const plan = Array.from({ length: count }, (_, index) => {
    if (index % ONE_OF === 0) leaver = index + below(random, ONE_OF);
    return {
      content: `${words(random, 10 + below(random, 60))} Tell me more about number ${index}.`,
      max_tokens: 4 + below(random, 28), seed: below(random, 1e6),
      leave_ms: within !== undefined && index === leaver ? random() * within : null,
    };
  });
  const rows = [];
  const worker = async () => {
    for (let one = plan.shift(); one !== undefined; one = plan.shift()) {
      const { content, leave_ms, ...options } = one;
      const leave = new AbortController();
      const timer = leave_ms === null ? undefined : setTimeout(() => leave.abort(), leave_ms);
      const answer = await chat(to, { model, messages: [{ role: "user", content }], ...options }, { signal: leave.signal });
      clearTimeout(timer);
      const cancelled = leave.signal.aborted && answer.error?.cut;
      const outcome = cancelled ? "cancelled" : answer.error ? "failed" : "complete";
      if (outcome === "failed") console.log(`  failed: ${JSON.stringify(answer.error)}`);
      rows.push({ outcome, leave_ms, ms: answer.endedAt - answer.sentAt, texts: answer.times.length });
      if (rows.length % 100 === 0) console.log(`  ${rows.length} of ${count}`);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return rows;
}
