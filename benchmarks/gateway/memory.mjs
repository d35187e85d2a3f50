// Resident memory at rest, and after a million requests.

import { residentMib } from "../measure/processes.mjs";
import { atMost, shown } from "../measure/goals.mjs";
import { overOneUpstream, put, sideBySide } from "./upstream.mjs";

export const title = "Memory at rest and after many requests";

/** Resident memory of these processes, in MiB. */
export const resident = (pids) => pids.reduce((sum, pid) => sum + residentMib(pid), 0);

export async function run({ quick, say, gateways, limit, setup }) {
  const requests = quick ? 20_000 : 1_000_000;
  const raw = await overOneUpstream({ gateways, limit, setup, say }, async (running) => {
    const rows = [];
    for (const target of running) {
      const rest_mib = resident(target.pids());
      // Caches and pools fill first; the peers have the same beginning with fewer requests.
      const isOurs = target.name === "uat";
      const warm = await put({ ...target, share: 1 }, { connections: 16, requests: Math.max(500, Math.round((isOurs ? 0.1 : 0.01) * requests * (target.share ?? 1))) });
      const warm_mib = resident(target.pids());
      const soak = await put({ ...target, share: isOurs ? 1 : 0.1 * (target.share ?? 1) }, { connections: 16, requests, least: 500 });
      const after_mib = resident(target.pids());
      rows.push({ round: 1, gateway: target.name, rest_mib, warm_mib, after_mib, requests: warm.requests + soak.requests, growth: (after_mib / warm_mib - 1) * 100 });
      say(`  ${target.name}: ${rest_mib.toFixed(1)} MiB at rest, ${after_mib.toFixed(1)} after ${soak.requests} requests`);
    }
    return rows;
  });
  const of = (gateway, name) => raw.filter((row) => row.gateway === gateway).map((row) => row[name]);
  const names = raw.map((row) => row.gateway);
  return {
    rounds: 1,
    claims: [
      atMost("RSS at rest, MiB", 25, of("uat", "rest_mib")),
      atMost(`RSS growth by ${requests} requests more, %`, 5, of("uat", "growth")),
      ...names.filter((name) => name !== "uat").map((name) => shown(`${name}: RSS at rest, MiB`, of(name, "rest_mib"))),
    ],
    tables: [
      sideBySide("", names, [
        ["at rest, MiB", (name) => of(name, "rest_mib")], ["warm, MiB", (name) => of(name, "warm_mib")], ["after, MiB", (name) => of(name, "after_mib")],
        ["growth, %", (name) => of(name, "growth")], ["requests", (name) => of(name, "requests")],
      ]),
    ],
    notes: ["The peers get a tenth of the requests, the slow ones fewer still: their growth is only shown. Growth is from a warm process, after a tenth of the requests, to the end."],
    raw,
  };
}
