// What the engine has to show: a goal, the figures of all rounds, and whether their median meets it.

import { figure, markdownTable, median } from "../measure/report.mjs";

export const atLeast = (name, goal, values) => claim(name, `>= ${goal}`, values, (middle) => middle >= goal);
export const atMost = (name, goal, values) => claim(name, `<= ${goal}`, values, (middle) => middle <= goal);
export const exactly = (name, goal, value) => claim(name, `${goal}`, [value], (middle) => middle === goal);
/** A figure without a goal. */
export const shown = (name, values) => claim(name, "", values, () => true);

function claim(name, goal, values, meets) {
  const middle = median(values);
  return { name, goal, median: middle, least: Math.min(...values), most: Math.max(...values), met: meets(middle) };
}

export function claimsTable(claims) {
  const spread = ({ least, most }) => (least === most ? "" : `${figure(least)} .. ${figure(most)}`);
  const verdict = ({ goal, met }) => (goal === "" ? "" : met ? "yes" : "**no**");
  return markdownTable(
    ["", "goal", "median", "over the rounds", "met"],
    claims.map((one) => [one.name, one.goal, figure(one.median), spread(one), verdict(one)]),
  );
}
