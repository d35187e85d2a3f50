// Bandits: decisions per second beside MABWiser, regret beside an exact Thompson sampler, and verdicts on the best arm.

import { atLeast, atMost } from "../measure/goals.mjs";
import { figure, markdownTable } from "../measure/report.mjs";
import { jsonLines, python } from "./peers.mjs";

export const title = "Bandits";

export async function run({ program, quick, say }) {
  const ours = (...args) => jsonLines(program("bandits"), args.map(String));
  say("  decisions per second");
  const rates = await ours("rate", quick ? 200 : 2_000);
  const peer = await python("bandits.py", [quick ? "0.3" : "3"]);
  const rate = (rows, policy, withReward) => rows.find((row) => row.policy === policy && row.with_reward === withReward).per_second;
  say("  regret");
  const regrets = await ours("regret", quick ? 20 : 200);
  const regret = (problem, policy) => regrets.find((row) => row.problem === problem && row.policy === policy);
  say("  verdicts");
  const verdicts = await ours("identify", quick ? 100 : 1_000);
  const beside = ["easy", "hard"].map((problem) => ({ problem, own: regret(problem, "thompson"), exact: regret(problem, "exact-thompson-reference") }));
  const plain = regret("switch", "thompson").regret;
  return {
    rounds: 1,
    raw: [...rates.map((row) => ({ by: "ours", ...row })), ...peer.map((row) => ({ by: "mabwiser", ...row })), ...regrets, ...verdicts],
    claims: [
      atLeast("Thompson decisions and rewards per second of a core", 300_000, [rate(rates, "thompson", true)]),
      atLeast("linear Thompson decisions and rewards per second, 10 arms x 16 features", 50_000, [rate(rates, "lin-thompson", true)]),
      // Two means of as many seeds differ by chance: twice the standard error of the difference is allowed.
      ...beside.map(({ problem, own, exact }) => atMost(`${problem}: regret beyond an exact Thompson sampler's ${figure(exact.regret)}, in standard errors`, 2, [(own.regret - exact.regret) / Math.hypot(own.standardError, exact.standardError)])),
      atMost("switch: regret of a sliding window beside the plain one's", 0.5, [regret("switch", "thompson, sliding window").regret / plain]),
      ...verdicts.map((row) => atMost(`${row.problem}: wrong verdicts of ${row.runs}, at an error of ${row.error}`, row.error * row.runs, [row.wrong])),
    ],
    tables: [
      markdownTable(["policy", "", "ours / s", "MABWiser / s", "ratio"], rates.map((row) => [row.policy, row.with_reward ? "decision and reward" : "decision", figure(row.per_second), figure(rate(peer, row.policy, row.with_reward)), figure(row.per_second / rate(peer, row.policy, row.with_reward))])),
      markdownTable(["problem", "policy", "regret", "standard error"], regrets.map((row) => [row.problem, row.policy, row.regret.toFixed(1), row.standardError.toFixed(1)])),
      markdownTable(["verdicts", "error allowed", "wrong", "rewards on average"], verdicts.map((row) => [row.problem, row.error, `${row.wrong} of ${row.runs}`, row.rewards])),
    ],
    notes: ["Each on one thread; MABWiser is called from Python for one decision at a time, as its interface has it, and ours from Rust. Through Node a call costs more."],
  };
}
