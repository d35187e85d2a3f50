// What the cache has to show, and the line that says whether it did.

import { figure, markdownTable } from "../measure/report.mjs";

export { atLeast, atMost, exactly, shown } from "../engine/claims.mjs";

/** A goal that was not reached, or not measured, is not met. */
export const met = ({ goal, met }) => goal === "" || met;

export function goalsTable(claims) {
  const spread = ({ least, most }) => (least === most ? "" : `${figure(least)} .. ${figure(most)}`);
  const verdict = ({ goal, median, met }) => (goal === "" ? "" : !Number.isFinite(median) ? "**not measured**" : met ? "reached" : "**missed**");
  return markdownTable(
    ["", "goal", "median", "least .. most", ""],
    claims.map((one) => [one.name, one.goal, figure(one.median), spread(one), verdict(one)]),
  );
}
