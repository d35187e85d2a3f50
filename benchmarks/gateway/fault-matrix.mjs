// Every fault with every gateway: one of two backends misbehaves, and what becomes of the answers.

import { setTimeout as delay } from "node:timers/promises";

import { markdownTable } from "../measure/report.mjs";
import { Backend } from "./backend.mjs";
import { brief, isAlive, put, tally } from "./cell.mjs";
import { FAULTS } from "./fault-list.mjs";
import { atMost, shown } from "../measure/goals.mjs";
import { resident } from "./memory.mjs";
import { OUTCOMES } from "./judge.mjs";
import { SPECIAL } from "./special-faults.mjs";

export const title = "The fault matrix";

/** Gateways that go through their faults at the same time: most of it is waiting. */
const AT_ONCE = 3;
/** The same for all: the shortest that those with whole seconds can say. */
const GATEWAY_PATIENCE_MS = 1_000;

export async function run({ quick, gateways, setup, say, only }) {
  const faults = FAULTS.filter(({ name }) => only === undefined || name.includes(only));
  const requests = quick ? 12 : 40;
  const patience_ms = quick ? 8_000 : 30_000;
  const raw = [];
  const left = [...gateways];
  const worker = async () => {
    for (let gateway = left.shift(); gateway !== undefined; gateway = left.shift()) {
      const rig = new Rig(gateway, setup);
      for (const fault of faults) {
        for (const stream of fault.modes) {
          const cell = { gateway, setup, stream, requests: Math.min(requests, fault.requests ?? requests), connections: fault.requests === undefined ? 4 : 1, patience_ms };
          const result = await tried(rig, fault, cell);
          raw.push({ gateway: gateway.name, fault: fault.name, stream, ...result });
          say(`  ${gateway.name}, ${fault.name}, ${stream ? "stream" : "whole"}: ${brief(result)}${result.asked === 0 ? " (never asked)" : ""}`);
        }
      }
      await rig.stop();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));

  const names = gateways.map(({ name }) => name);
  const find = (name, fault, stream) => raw.find((row) => row.gateway === name && row.fault === fault.name && row.stream === stream);
  const cellOf = (row) => `${brief(row)}${row.asked === 0 ? " (never asked)" : ""}${row.remark === undefined ? "" : ` (${row.remark})`}`;
  const table = (stream) =>
    markdownTable(
      [stream ? "streamed" : "whole", ...names],
      faults.filter(({ modes }) => modes.includes(stream)).map((fault) => [fault.name, ...names.map((name) => cellOf(find(name, fault, stream)))]),
    );
  const sum = (name, what) => raw.filter((row) => row.gateway === name).reduce((total, row) => total + (Number(row[what]) || 0), 0);
  const totals = markdownTable(
    ["of all requests", ...names],
    [
      ["sent", ...names.map((name) => sum(name, "sent"))],
      ...Object.keys(OUTCOMES).map((outcome) => [outcome, ...names.map((name) => sum(name, outcome))]),
      ["wrong text before an error", ...names.map((name) => sum(name, "displaced"))],
      ["lines with all complete", ...names.map((name) => raw.filter((row) => row.gateway === name && row.complete === row.sent && row.sent > 0).length)],
      ["processes that died", ...names.map((name) => raw.filter((row) => row.gateway === name && row.died).length)],
      ["faults it could not be started with", ...names.map((name) => raw.filter((row) => row.gateway === name && row.note === "does not start").length)],
      ["most memory, MiB", ...names.map((name) => Math.round(Math.max(0, ...raw.filter((row) => row.gateway === name).map((row) => row.most_mib ?? 0))))],
    ],
  );
  return {
    claims: [
      atMost("hangs, processes that died", 0, [sum("uat", "hang") + raw.filter((row) => row.gateway === "uat" && row.died).length]),
      ...names.flatMap((name) => [shown(`${name}: complete, %`, [(100 * sum(name, "complete")) / sum(name, "sent")]), shown(`${name}: silently wrong, %`, [(100 * sum(name, "wrong")) / sum(name, "sent")])]),
    ],
    tables: [totals, table(true), table(false)],
    notes: [
      ...Object.entries(OUTCOMES).map(([outcome, meaning]) => `${outcome}: ${meaning}`),
      "A number alone: all were complete. After a hang no further requests are sent in that line.",
      `Each gateway gives up on connecting, on the first content and on silence after ${GATEWAY_PATIENCE_MS} ms, where it has such limits. A fresh gateway for each line, except LiteLLM, which needs long to start: it keeps running, and before each line requests are sent until the second backend is asked again.`,
      ...raw.filter((row) => row.gateway === "uat").flatMap(({ fault, stream, examples }) => (examples ?? []).map((example) => `uat, ${fault}, ${stream ? "stream" : "whole"}: ${example}`)),
    ],
    raw: raw.map(({ examples, ...row }) => ({ ...row, examples: examples?.join(" | ") })),
  };
}

async function tried(rig, fault, cell, isAgain = false) {
  try {
    const { running, answers, asked, remark, note, isEnded, most_mib } = fault.special === undefined ? await rig.put(fault.behaviour, cell) : await SPECIAL[fault.special](cell);
    if (note !== undefined) return { note, sent: 0 };
    return { ...tally(answers), asked, remark, most_mib, died: isEnded !== true && running.hasDied === true };
  } catch (error) {
    if (error.name !== "NotStarted") throw error;
    // The port that was free a moment ago may have been taken by a gateway beside it.
    if (!isAgain) return tried(rig, fault, cell, true);
    return { note: "does not start", sent: 0, examples: [error.message] };
  }
}

/** A gateway and its two backends, fresh for each line, or kept where starting is slow. */
class Rig {
  #gateway;
  #setup;
  #kept = null;

  constructor(gateway, setup) {
    [this.#gateway, this.#setup] = [gateway, setup];
  }

  async put(behaviour, cell) {
    const { running, backends } = await this.#ready(cell);
    let most_mib = 0;
    const looking = setInterval(() => {
      try {
        most_mib = Math.max(most_mib, resident(running.pids()));
      } catch {
        // It ended while we looked.
      }
    }, 100);
    try {
      await backends[1].behave(behaviour);
      const answers = await put(running, cell);
      // One that refuses cannot count its requests.
      const asked = behaviour === "refuse" ? null : (await backends[1].seen()).asked;
      running.hasDied = !isAlive(running);
      return { running, answers, asked, most_mib };
    } finally {
      clearInterval(looking);
      if (!this.#gateway.slowStart || !isAlive(running)) await this.stop();
    }
  }

  async #ready(cell) {
    if (this.#kept !== null && !(await this.#isRecovered(cell))) await this.stop();
    if (this.#kept === null) {
      const backends = [await Backend.start(), await Backend.start()];
      this.#kept = { backends };
      this.#kept.running = await this.#gateway.start({ ...this.#setup, backends: backends.map(({ url }) => url), patience_ms: GATEWAY_PATIENCE_MS }).catch(async (error) => {
        await this.stop();
        throw error;
      });
    }
    return this.#kept;
  }

  /** Whether the second backend is asked again, now that it is well. */
  async #isRecovered({ stream }) {
    const { running, backends } = this.#kept;
    await Promise.all(backends.map((backend) => backend.behave("good", { fresh: true })));
    for (const until = Date.now() + 8_000; Date.now() < until; await delay(50)) {
      await put(running, { stream, requests: 4, patience_ms: 5_000 });
      if ((await backends[1].seen()).asked > 1) return true;
    }
    return false;
  }

  async stop() {
    const { running, backends = [] } = this.#kept ?? {};
    this.#kept = null;
    await running?.stop();
    await Promise.all(backends.map((backend) => backend.stop()));
  }
}
