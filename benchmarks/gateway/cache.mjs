// CPU time for an answer that the response cache has.

import { ask } from "./judge.mjs";
import { atMost, shown } from "../measure/goals.mjs";
import { column, inTurn, overOneUpstream, put, sideBySide } from "./upstream.mjs";

export const title = "CPU per exact cache hit, 16 connections";

export async function run({ quick, say, gateways, limit, setup }) {
  const rounds = quick ? 2 : 5;
  const ours = gateways.filter(({ name }) => name === "uat");
  return overOneUpstream({ gateways: ours, limit, setup, say }, async (running) => {
    const uat = running.find(({ name }) => name === "uat");
    const said = [];
    for (let count = 0; count < 3; count += 1) {
      const { headers } = await ask(uat, { stream: false, patience_ms: 10_000, more: { temperature: 0 } });
      said.push(headers["x-uat-cache"]);
    }
    if (!said.includes("hit")) {
      const skipped = `the same request three times with temperature 0, and x-uat-cache says ${said.map((one) => one ?? "nothing").join(", ")}`;
      say(`  skipped: ${skipped}`);
      return { skipped, claims: [], tables: [], notes: [`Skipped: ${skipped}.`], raw: [] };
    }
    const raw = await inTurn(running, rounds, (target) => put(target, { connections: 16, requests: quick ? 10_000 : 200_000, warmup: 2_000, temperature: target.name === "uat" ? 0 : 0.7 }));
    return {
      rounds,
      claims: [atMost("CPU per exact cache hit, us", 20, column(raw, "uat", "cpu_us_per_request")), shown("bare hyper, passing the same request on, us", column(raw, "bare hyper", "cpu_us_per_request"))],
      tables: [sideBySide("", ["uat", "bare hyper"], [["CPU, us a request", (name) => column(raw, name, "cpu_us_per_request")], ["requests/s", (name) => column(raw, name, "requests_per_s")]])],
      notes: ["Temperature 0, one and the same request. Bare hyper has no cache: its line shows what an answer costs that is fetched. No peer here has an exact cache in its process that is on by default."],
      raw,
    };
  });
}
