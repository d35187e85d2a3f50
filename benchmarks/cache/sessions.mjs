// Sessions while Redis is killed and started again: is an acknowledged write lost, does a destroyed session come back?

import { setTimeout as delay } from "node:timers/promises";

import { Child } from "./children.mjs";
import { openService } from "./clients.mjs";
import { exactly, shown } from "../measure/goals.mjs";
import { History, judge, requireJudge } from "./history.mjs";
import { Redis, temporaryFolder } from "./redis.mjs";
import { seeded } from "./traces.mjs";

export const title = "Sessions while Redis is killed";

const WORKERS = 12;
/** Redis is up, and then away, for about so long. */
const UP_MS = 500;
const DOWN_MS = 250;
/** Sessions that are read together at the end. */
const READ_AT_ONCE = 100;
/** Longer than replaying what was written meanwhile takes. */
const REPLAY_MS = 20_000;

export async function run({ quick, say }) {
  requireJudge();
  const kills = quick ? 5 : 25;
  // Each write is on disk before Redis acknowledges it: what is lost then was lost by the client.
  const redis = await Redis.start({ save: "", appendonly: "yes", appendfsync: "always" });
  const folder = temporaryFolder("sessions");
  let child;
  try {
    child = await Child.open("sessions", { url: redis.url }, { XDG_STATE_HOME: folder });
    const random = seeded(13);
    await child.ask("begin");
    for (let kill = 0; kill < kills; kill += 1) {
      await delay(UP_MS * (0.5 + random()));
      await redis.kill();
      await delay(DOWN_MS * (0.5 + random()));
      await redis.restart();
    }
    say(`  ${kills} times killed and started`);
    const file = `${folder}/history.jsonl`;
    const counts = await child.ask("end", { file });
    const report = judge([file], folder, ["--must-keep", "--slack-ms", "0"]);
    const wrong = (test) => report.examples.filter(test).length;
    const lost = report.lost + wrong(({ kind, overwrite }) => kind === "stale" && overwrite.op === "write");
    const back = wrong(({ kind, overwrite }) => kind === "stale" && overwrite.op === "delete") + report.from_nowhere + counts.saved_after_destroy;
    const raw = [{ round: 1, client: "ours", kills, lost, resurrected: back, ...counts, stale: report.stale, from_nowhere: report.from_nowhere, judged_lost: report.lost, reads: report.reads }];
    return {
      claims: [
        exactly(`acknowledged writes lost over ${kills} kills`, 0, lost),
        exactly("destroyed sessions that came back", 0, back),
        exactly("writes not replayed at the end", 0, counts.pending),
        shown("sessions", [counts.created]),
        shown("updates acknowledged", [counts.updated]),
        shown("sessions destroyed, acknowledged", [counts.destroyed]),
        shown("calls acknowledged while Redis was away", [counts.away]),
        shown("calls that rejected", [counts.rejected]),
        shown("reads judged", [report.reads]),
      ],
      tables: [],
      notes: [
        "One service with `fallback.replayWrites`, of default time limits; Redis with `--appendonly yes --appendfsync always`, ended by SIGKILL under load and started again on the same port and files.",
        `${WORKERS} workers create, update, read and destroy sessions of their own, and try a late save of each destroyed one. At the end, when everything was replayed, each session is read by that service and by another one. The judge is \`uat-check-history --must-keep --slack-ms 0\`.`,
        "Lost is also an older value than the acknowledged one; a late save that succeeded counts as come back.",
        ...(counts.errors.length > 0 ? [`Rejections: ${counts.errors.join("; ")}`] : []),
      ],
      raw: raw.map(({ errors, ...row }) => ({ ...row, errors: errors.join("; ") })),
    };
  } finally {
    await child?.close();
    await redis.stop();
  }
}

export async function child({ url }) {
  const service = await openService({ url, nearCache: false, fallback: { replayWrites: true } });
  const history = new History();
  const counts = { created: 0, updated: 0, destroyed: 0, away: 0, rejected: 0, saved_after_destroy: 0 };
  const errors = new Map();
  const ids = new Set();
  let stop = false;
  let value = 0;

  /** The answer, or `undefined` for a rejection, which is counted; `UAT_NOT_FOUND` is an answer. */
  async function asked(call) {
    try {
      const answer = await call();
      if (service.status().mode !== "redis") counts.away += 1;
      return { answer };
    } catch (error) {
      if (error.code === "UAT_NOT_FOUND") return { gone: true };
      counts.rejected += 1;
      errors.set(error.code, (errors.get(error.code) ?? 0) + 1);
      return undefined;
    }
  }

  async function update(worker, id) {
    const start = history.now();
    const made = (value += 1);
    const result = await asked(() => service.sessions.update(id, { value: made, padding: "p".repeat(200) }));
    // Gone, though nobody destroyed it: that is a read that found nothing.
    if (result?.gone) history.note(worker, id, "read", start, null);
    else history.note(worker, id, "write", start, made, result === undefined ? "unknown" : "ok");
    if (result?.answer) counts.updated += 1;
  }

  async function read(worker, id, from = service) {
    const start = history.now();
    const result = await asked(() => from.sessions.get(id));
    if (result !== undefined) history.note(worker, id, "read", start, result.answer?.data.value ?? null);
    return result;
  }

  async function destroy(worker, id) {
    const start = history.now();
    const result = await asked(() => service.sessions.destroy(id));
    history.note(worker, id, "delete", start, undefined, result === undefined ? "unknown" : "ok");
    if (result === undefined) return;
    counts.destroyed += 1;
    // Not in the history: a value of it that is ever read comes from nowhere.
    const late = await asked(() => service.sessions.update(id, { value: (value += 1) }));
    if (late?.answer) counts.saved_after_destroy += 1;
    await read(worker, id);
  }

  async function work(worker) {
    const random = seeded(worker);
    let mine = [];
    while (!stop) {
      const start = history.now();
      const made = (value += 1);
      const created = await asked(() => service.sessions.create({ value: made }, { userId: `user-${worker}`, ttl: 3600 }));
      if (created?.answer) {
        counts.created += 1;
        ids.add(created.answer.id);
        mine.push(created.answer.id);
        history.note(worker, created.answer.id, "write", start, made);
      }
      for (let call = 0; call < 6 && mine.length > 0 && !stop; call += 1) {
        const id = mine[Math.floor(random() * mine.length)];
        if (random() < 0.6) await update(worker, id);
        else await read(worker, id);
      }
      if (mine.length > 4 && random() < 0.7) {
        const id = mine[Math.floor(random() * mine.length)];
        mine = mine.filter((one) => one !== id);
        await destroy(worker, id);
      }
      // A worker has a few sessions at a time: the others stay as they are, to be found at the end.
      if (mine.length > 12) mine = mine.slice(6);
      await delay(1);
    }
  }

  let working;
  return {
    async begin() {
      working = Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker + 1)));
    },
    async end({ file }) {
      stop = true;
      await working;
      const until = performance.now() + REPLAY_MS;
      while ((service.status().mode !== "redis" || service.status().pendingReplays > 0) && performance.now() < until) await delay(20);
      const { pendingReplays: pending } = service.status();
      const other = await openService({ url, nearCache: false });
      const all = [...ids];
      for (let at = 0; at < all.length; at += READ_AT_ONCE) {
        await Promise.all(all.slice(at, at + READ_AT_ONCE).flatMap((id) => [read(100, id), read(101, id, other)]));
      }
      await Promise.all([service.close(), other.close()]);
      history.write(file);
      return { ...counts, pending, errors: [...errors].map(([code, times]) => `${code} ${times} times`) };
    },
  };
}
