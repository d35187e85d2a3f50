// A simulation: five models whose qualities drift and whose providers fail, and who finds out.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { atMost } from "../measure/goals.mjs";
import { markdownTable } from "../measure/report.mjs";
import { repository } from "../measure/processes.mjs";

export const title = "Regret of learning from feedback (a simulation)";

export async function run() {
  const folder = mkdtempSync(path.join(os.tmpdir(), "uat-router-"));
  try {
    const svg = path.join(folder, "regret.svg");
    const { status, stdout, stderr } = spawnSync("cargo", ["run", "--release", "-q", "-p", "llm-router", "--example", "feedback", "--", svg], { cwd: repository, encoding: "utf8" });
    if (status !== 0) throw new Error(`the simulation ended with ${status}: ${stderr}`);
    const found = JSON.parse(stdout);
    const regret = (start) => found.policies.find(({ policy }) => policy.startsWith(start)).regret;
    return {
      rounds: 1,
      files: { "regret.svg": readFileSync(svg, "utf8") },
      raw: found.policies,
      claims: [
        atMost("regret, share of the best fixed model's", 1, [regret("learned") / regret("best fixed")]),
        atMost("regret, share of round-robin's", 1, [regret("learned") / regret("round-robin")]),
      ],
      tables: [markdownTable(["policy", "mean score", "regret"], found.policies.map(({ policy, score, regret }) => [policy, score.toFixed(3), regret.toFixed(0)]))],
      notes: ["A simulation: no real model was asked.", `${found.rounds} requests; regret is what asking the best model for each prompt at each moment would have gained.`],
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
