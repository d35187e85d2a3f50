// Bandits and studies through the public classes of Node, native beside TypeScript.

import { fork } from "node:child_process";
import process from "node:process";

import { atMost, shown } from "../measure/goals.mjs";
import { markdownTable } from "../measure/report.mjs";

export const title = "Through Node";

const POLICIES = ["thompson", "ucb", "epsilon-greedy"];

export async function run({ quick }) {
  const sides = {};
  for (const backend of ["native", "typescript"]) sides[backend] = await child(backend, quick ? 5_000 : 50_000);
  return {
    rounds: 1,
    raw: Object.entries(sides).map(([backend, found]) => ({ backend, ...found })),
    claims: [
      atMost("Thompson: select and reward, 10 arms, CPU us", 5, [sides.native.thompson]),
      atMost("import, new ParameterAnalytics, study and first ask, ms", 20, [sides.native.coldMs]),
      shown("an ask at 100 trials of Hartmann6's six dimensions, CPU ms", [sides.native.askMs]),
    ],
    tables: [
      markdownTable(["select and reward, CPU us", "native", "TypeScript"], POLICIES.map((policy) => [policy, sides.native[policy].toFixed(2), sides.typescript[policy].toFixed(2)])),
      markdownTable(["", "native", "TypeScript"], [["import to first ask, ms", sides.native.coldMs.toFixed(1), sides.typescript.coldMs.toFixed(1)], ["an ask at 100 trials, CPU ms", sides.native.askMs.toFixed(1), sides.typescript.askMs.toFixed(1)]]),
    ],
    notes: ["The probability of a decision is computed with each; it is most of the time of Thompson sampling."],
  };
}

async function child(backend, decisions) {
  const forked = fork(import.meta.filename, [String(decisions)], { env: { ...process.env, UAT_BACKEND: backend } });
  return await new Promise((resolve, reject) => forked.once("message", resolve).once("error", reject).once("exit", (code) => code !== 0 && reject(new Error(`ended with ${code}`))));
}

if (process.send !== undefined && process.argv[1] === import.meta.filename) process.send(await measured(Number(process.argv[2])), () => process.disconnect());

async function measured(decisions) {
  const started = performance.now();
  const { ParameterAnalytics } = await import("universal-ai-tools/services/parameter-analytics-rust");
  const analytics = new ParameterAnalytics({ storage: ":memory:", seed: 1 });
  const space = Object.fromEntries(Array.from({ length: 6 }, (_, place) => [`x${place}`, { type: "float", low: 0, high: 1 }]));
  const study = await analytics.createStudy({ name: "s", space });
  await study.ask();
  const found = { coldMs: performance.now() - started };
  for (const policy of POLICIES) {
    const bandit = analytics.bandit({ name: policy, arms: Array.from({ length: 10 }, (_, arm) => `arm ${arm}`), policy });
    let coin = 1;
    const play = (count) => {
      const before = process.cpuUsage();
      for (let n = 0; n < count; n++) {
        const { decisionId } = bandit.select();
        coin = (coin * 48_271) % 2_147_483_647;
        bandit.reward(decisionId, coin % 2);
      }
      const { user, system } = process.cpuUsage(before);
      return (user + system) / count;
    };
    play(decisions / 5);
    found[policy] = play(decisions);
  }
  for (let n = 0; n < 100; n++) {
    const [{ id, parameters }] = await study.ask();
    await study.tell(id, Object.values(parameters).reduce((sum, x, place) => sum + (x - place / 6) ** 2, 0));
  }
  const before = process.cpuUsage();
  for (let n = 0; n < 10; n++) {
    const [{ id, parameters }] = await study.ask();
    await study.tell(id, Object.values(parameters).reduce((sum, x, place) => sum + (x - place / 6) ** 2, 0));
  }
  const { user, system } = process.cpuUsage(before);
  await analytics.close();
  return { ...found, askMs: (user + system) / 10_000 };
}
