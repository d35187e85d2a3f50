// What a second request saves whose beginning was read before.

import { answered, firstToken, seeded, startEngine, words } from "../measure/engine.mjs";
import { figure } from "../measure/report.mjs";
import { atMost, shown } from "../measure/goals.mjs";

const PREFIX_TOKENS = 1000;

export const title = "Shared prefix";

export async function run({ quick, model }) {
  const rounds = quick ? 1 : 7;
  const engine = await startEngine();
  try {
    const ask = (messages) => answered(engine.to, { model, temperature: 0, max_tokens: 8, messages });
    await ask([{ role: "user", content: "Write a long story." }]);
    const raw = [];
    for (const between of [false, true]) {
      for (let round = 1; round <= rounds; round += 1) {
        // Another beginning in every round: what earlier rounds left behind must not help.
        const random = seeded(round * 2 + Number(between));
        const system = { role: "system", content: words(random, PREFIX_TOKENS) };
        const first = await ask([system, { role: "user", content: "Write a long story with these words." }]);
        if (between) await ask([{ role: "user", content: `${words(random, 300)}\n\nWrite a long story with these words.` }]);
        const second = await ask([system, { role: "user", content: "With these words, write a long letter to a friend." }]);
        const row = {
          round, another_between: between, prompt_tokens: first.usage.prompt_tokens,
          first_ms: firstToken(first), second_ms: firstToken(second), ratio: firstToken(second) / firstToken(first),
          cached_tokens: second.usage.prompt_tokens_details?.cached_tokens,
        };
        raw.push(row);
        console.log(`  round ${round}${between ? ", another conversation between" : ""}: ${figure(row.first_ms)} ms, then ${figure(row.second_ms)} ms`);
      }
    }
    const column = (between, name) => raw.filter((row) => row.another_between === between).map((row) => row[name]);
    return {
      claims: [
        atMost(`time to first token with a shared ${PREFIX_TOKENS}-token prefix, of the first's`, 0.2, column(false, "ratio")),
        atMost("the same, another conversation between", 0.2, column(true, "ratio")),
        shown("first request, ms", column(false, "first_ms")),
        shown("second request, ms", column(false, "second_ms")),
      ],
      tables: [],
      notes: ["The shared prefix is a system message; the questions after it differ. The engine as it starts by default."],
      raw,
    };
  } finally {
    await engine.end();
  }
}
