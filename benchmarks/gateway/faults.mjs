// Complete answers while one of two backends fails: the goals of the fault handling, beside the peers.

import { markdownTable } from "../measure/report.mjs";
import { Backend } from "./backend.mjs";
import { isAlive, put, tally } from "./cell.mjs";
import { atLeast, shown } from "../measure/goals.mjs";

export const title = "Complete answers with one faulty of two backends";

const BEFORE_CONTENT = ["503", "429, seconds", "refuse", "hang before head", "close before content", "error before content"];
/** The backends continue a partial answer, if a gateway asks them to. */
const IN_THE_MIDDLE = ["cut after 10", "reset after 10", "stall after 10", "end after 10", "error after 10"];

export async function run({ quick, gateways, setup, say }) {
  const requests = quick ? 20 : 100;
  const raw = [];
  for (const gateway of gateways) {
    const mine = gateway.share === undefined ? requests : Math.min(requests, 40);
    for (const fault of [...BEFORE_CONTENT, ...IN_THE_MIDDLE]) {
      for (const stream of IN_THE_MIDDLE.includes(fault) ? [true] : [true, false]) {
        raw.push({ gateway: gateway.name, fault, stream, ...(await complete(gateway, setup, { fault, stream, requests: mine, patience_ms: quick ? 8_000 : 30_000 })) });
      }
      say(`  ${gateway.name}: ${fault}`);
    }
  }
  const share = (rows) => (rows.length === 0 ? [NaN] : rows.map((row) => (100 * row.complete) / row.sent));
  const ours = raw.filter((row) => row.gateway === "uat");
  const worst = (faults, rows) => [Math.min(...share(rows.filter((row) => faults.includes(row.fault))))];
  const peers = gateways.filter(({ name }) => name !== "uat");
  const kinds = [...BEFORE_CONTENT.flatMap((fault) => [[fault, true], [fault, false]]), ...IN_THE_MIDDLE.map((fault) => [fault, true])];
  return {
    claims: [
      atLeast("complete with a fault before content, %, the worst of 6", 100, worst(BEFORE_CONTENT, ours)),
      atLeast("complete with a stream cut, stalled or failed after 10 chunks, %, the worst of 5", 95, worst(IN_THE_MIDDLE, ours)),
      ...peers.flatMap(({ name }) => {
        const rows = raw.filter((row) => row.gateway === name);
        return [shown(`${name}: before content, %, the worst`, worst(BEFORE_CONTENT, rows)), shown(`${name}: after 10 chunks, %, the worst`, worst(IN_THE_MIDDLE, rows))];
      }),
    ],
    tables: [
      markdownTable(
        ["complete, of those sent", "", ...gateways.map(({ name }) => name)],
        kinds.map(([fault, stream]) => [
          fault, stream ? "stream" : "whole",
          ...gateways.map(({ name }) => {
            const row = raw.find((one) => one.gateway === name && one.fault === fault && one.stream === stream);
            return row.note ?? `${row.complete}/${row.sent}${row.asked === 0 ? " (never asked)" : ""}`;
          }),
        ]),
      ),
    ],
    notes: [
      "A fresh gateway for each line, so that nothing is learned before. A line in which the faulty backend was never asked proves nothing and says so. After a request that hung, no further ones are sent.",
      "The backends can continue a trailing assistant message. Ours is told so with `resume = \"prefill\"`. LiteLLM's fallbacks in the middle of a stream end at the first content in this version; the others have none.",
      ...raw.flatMap(({ gateway, fault, stream, examples }) => (gateway === "uat" ? (examples ?? []).map((example) => `${fault}, ${stream ? "stream" : "whole"}: ${example}`) : [])),
    ],
    raw: raw.map(({ examples, ...row }) => ({ ...row, examples: examples?.join(" | ") })),
  };
}

async function complete(gateway, setup, { fault, stream, requests, patience_ms }) {
  const backends = [await Backend.start(), await Backend.start()];
  try {
    const running = await gateway.start({ ...setup, backends: backends.map(({ url }) => url), patience_ms: 1_000 });
    try {
      await backends[1].behave(fault);
      const answers = await put(running, { stream, requests, patience_ms });
      // One that refuses cannot count its requests.
      const { asked } = await backends[1].seen();
      return { ...tally(answers), asked: fault === "refuse" ? null : asked, died: !isAlive(running) };
    } finally {
      await running.stop();
    }
  } catch (error) {
    if (error.name !== "NotStarted") throw error;
    return { note: "does not start", sent: 1, complete: 0, examples: [error.message] };
  } finally {
    await Promise.all(backends.map((backend) => backend.stop()));
  }
}
