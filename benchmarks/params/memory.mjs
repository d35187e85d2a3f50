// What a study of 10,000 trials takes.

import { atMost, shown } from "../measure/goals.mjs";
import { python } from "./peers.mjs";

export const title = "Memory of 10,000 trials of 20 parameters";

export async function run({ program }) {
  const [found] = await python("memory.py", [program("suggest")]);
  return {
    rounds: 1,
    raw: [found],
    claims: [atMost("resident, MiB", 50, [found.mib]), shown("an ask then (tpe), CPU ms", [found.last_ask_ms])],
    tables: [],
    notes: ["What the process has more than before the first trial, after an ask."],
  };
}
