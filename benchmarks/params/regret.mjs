// How good the best trial is, problem by problem and seed by seed, beside the peers. The studies are kept as they end, so that a run that
// was interrupted goes on.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { atLeast, atMost, exactly, shown } from "../measure/goals.mjs";
import { repository } from "../measure/processes.mjs";
import { figure, markdownTable } from "../measure/report.mjs";
import { curves } from "./curves.mjs";
import { python } from "./peers.mjs";

export const title = "Regret";

const SEEDS = 20;
/** A difference with a smaller chance of being one counts. */
const SIGNIFICANT = 0.05;
/** Groups without noise, where no point has to be tried twice. */
const DETERMINISTIC = ["plain", "bbob", "mixed", "constrained", "table"];

export async function run({ program, quick, samplers, groups, seeds, say }) {
  const work = path.join(repository, ".cache", "bench-params");
  mkdirSync(work, { recursive: true });
  const file = path.join(work, quick ? "quick.jsonl" : "studies.jsonl");
  if (!quick && !existsSync(file)) writeFileSync(file, keptStudies());
  const count = seeds ?? (quick ? 2 : SEEDS);
  await python("regret.py", [file, program("suggest"), "--samplers", samplers, "--groups", groups, "--seeds", String(count), ...(quick ? ["--share", "0.5"] : [])]);
  say("  paired tests");
  const [pairs] = await python("judge.py", [file, "--suggest", program("suggest"), "--groups", groups]);
  const peers = [...new Set(pairs.map((pair) => pair.peer))].filter((peer) => samplers.split(",").includes(peer));
  const of = (peer, group) => pairs.filter((pair) => pair.peer === peer && (group === undefined || pair.group === group));
  const notWorse = (rows) => rows.filter((pair) => !isWorse(pair)).length / rows.length;
  return {
    rounds: 1,
    raw: pairs.map(({ curves: _, ...pair }) => pair),
    files: {
      ...Object.fromEntries(peers.map((peer) => [`curves-${peer.replace(":", "-")}.svg`, curves(of(peer), peer)])),
      "studies.jsonl": readFileSync(file, "utf8").split("\n").filter((line) => line !== "" && JSON.parse(line).build === "").map((line) => `${line}\n`).join(""),
    },
    claims: peers.flatMap((peer) => claims(peer, (group) => of(peer, group), notWorse)),
    tables: peers.map((peer) => table(peer, of(peer))),
    notes: [
      "Medians over the seeds of the regret after the last trial; better and worse: in how many seeds; p: two-sided Wilcoxon signed-rank test, paired by seed.",
      "Not worse: the test does not find ours worse at 5 %. With few seeds it finds little: look at better and worse as well.",
      "Under noise the regret is that of the trial which the study calls its best.",
      "CPU: only of studies that both ran on the same kind of machine.",
      "Everybody runs with defaults; the peers have no constraints for SMAC and BoTorch here.",
    ],
  };
}

/** The peers' studies that the last run has, which took them a day: what comes of a study does not depend on the machine's speed. */
function keptStudies() {
  const runs = path.join(repository, "benchmarks", "runs");
  const files = readdirSync(runs).map((run) => path.join(runs, run, "params", "regret", "studies.jsonl"));
  // Names of runs begin with the day, and each has what the one before it had.
  const last = files.filter(existsSync).sort().at(-1);
  return last === undefined ? "" : readFileSync(last, "utf8");
}

const isWorse = (pair) => pair.p < SIGNIFICANT && pair.sign > 0;
const isBetter = (pair) => pair.p < SIGNIFICANT && pair.sign < 0;

function claims(peer, of, notWorse) {
  const all = of();
  const found = [
    atLeast(`${peer}: share of ${all.length} problems where ours is not worse`, 0.8, [notWorse(all)]),
    shown(`${peer}: share where ours is better`, [all.filter(isBetter).length / all.length]),
    shown(`${peer}: share where the median is at or below the peer's`, [all.filter((pair) => pair.ours <= pair.theirs).length / all.length]),
  ];
  for (const group of ["noisy", "mixed"]) {
    const rows = of(group);
    const won = rows.reduce((sum, pair) => sum + pair.better, 0);
    const lost = rows.reduce((sum, pair) => sum + pair.worse, 0);
    if (rows.length > 0) found.push(atLeast(`${peer}, ${group}: seeds where ours is better, of those that differ`, 0.5, [won / (won + lost)]), shown(`${peer}, ${group}: problems better / worse`, [rows.filter(isBetter).length - rows.filter(isWorse).length]));
  }
  const limited = of("constrained");
  if (limited.length > 0) {
    const sum = (what) => limited.reduce((total, pair) => total + pair[what], 0);
    found.push(exactly(`${peer}, constrained: problems where ours is worse`, 0, limited.filter(isWorse).length), atMost(`${peer}, constrained: violations beside the peer's`, 0.5, [sum("violations") / sum("peer_violations")]));
  }
  const plain = all.filter((pair) => DETERMINISTIC.includes(pair.group));
  if (plain.length > 0) found.push(exactly(`duplicates without noise (${peer}: ${plain.reduce((total, pair) => total + pair.peer_duplicates, 0)})`, 0, plain.reduce((total, pair) => total + pair.duplicates, 0)));
  return found;
}

function table(peer, pairs) {
  const rows = pairs.map((pair) => [
    pair.problem, pair.group, pair.seeds, figure(pair.ours), figure(pair.theirs), `${pair.better} / ${pair.worse}`, figure(pair.p), isWorse(pair) ? "**worse**" : isBetter(pair) ? "better" : "",
    pair.group === "constrained" ? `${figure(pair.violations)} / ${figure(pair.peer_violations)}` : "", pair.cpu_ms === null ? "" : figure(pair.peer_cpu_ms / pair.cpu_ms),
  ]);
  return markdownTable(["problem", "group", "seeds", "ours", peer, "better / worse", "p", "", "violations", "CPU, times ours"], rows);
}
