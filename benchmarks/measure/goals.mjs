// What is to be shown: a goal, the figures of all rounds, and whether their median reaches it.

import { figure, markdownTable, median } from "./report.mjs";

export const atLeast = (name, goal, values) => claim(name, `>= ${goal}`, values, (middle) => middle >= goal);
export const atMost = (name, goal, values) => claim(name, `<= ${goal}`, values, (middle) => middle <= goal);
export const exactly = (name, goal, value) => claim(name, `${goal}`, [value], (middle) => middle === goal);
/** A figure without a goal. */
export const shown = (name, values) => claim(name, "", values, () => true);

function claim(name, goal, values, meets) {
  const middle = median(values);
  return { name, goal, median: middle, least: Math.min(...values), most: Math.max(...values), met: meets(middle) };
}

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
