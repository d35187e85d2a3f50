// optimize() and record(): 2,000 calls of simulated models whose best parameters are known. Nobody else offers it, so there is no peer.

import { atLeast, atMost } from "../measure/goals.mjs";
import { markdownTable } from "../measure/report.mjs";
import { jsonLines } from "./peers.mjs";

export const title = "Parameters of calls, learned within limits";

const percent = (share) => `${(100 * share).toFixed(1)} %`;

export async function run({ program, quick, seeds, say }) {
  say("  sixteen simulated models");
  const lines = await jsonLines(program("advice_sim"), ["--json", "--brief", "--seeds", String(seeds ?? (quick ? 2 : 20))]);
  const rows = lines.filter((row) => row.world !== undefined);
  const told = lines.filter((row) => row.told !== undefined);
  const loops = rows.filter((row) => row.loop === "explore");
  const share = (holds) => loops.filter(holds).length / loops.length;
  return {
    rounds: 1,
    raw: lines,
    claims: [
      atLeast("worlds with at most 10 % of the last 200 calls beyond a limit, share", 1, [share((row) => row.miss <= 0.1)]),
      atLeast("worlds whose mean reward is within 5 % of the best that meets the limits nine times in ten, share", 1, [share((row) => row.ratio_sure >= 0.95)]),
      atLeast("calls of the last 200 that were modelled, not prior, share in the worst world", 1, [Math.min(...loops.map((row) => row.bayesian))]),
      atMost("advise in a loop that learns, CPU us, mean of the worst world", 1_000, [Math.max(...loops.map((row) => row.advise_us_mean))]),
    ],
    tables: [
      markdownTable(
        ["world", "loop", "beyond a limit", "reward beside the best with P >= 0.9", "its worst seed", "beside the best by mean", "seeds that pass"],
        rows.filter((row) => row.loop !== "recommend").map((row) => [row.world, row.loop, percent(row.miss), row.ratio_sure.toFixed(3), row.worst.toFixed(3), row.ratio_mean.toFixed(3), `${row.passed} of ${row.seeds}`]),
      ),
      markdownTable(["feasibleProbability told", "met", "calls"], told.map((row) => [row.told.toFixed(3), row.met.toFixed(3), row.count])),
    ],
    notes: ["`explore` is a loop of 2,000 calls, of which the last 200 count; `after` are 200 recommendations that follow it."],
  };
}
