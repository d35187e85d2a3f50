// What the gateway has to show. A claim may also carry the figure of the bare proxy, and a unit, for the picture.

export { atLeast, atMost, shown } from "../engine/claims.mjs";
export { goalsTable, met } from "../cache/goals.mjs";
