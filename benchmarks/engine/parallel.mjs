// Eight chats at once beside one alone, and what running streams notice of a long prompt.

import { answered, chat, firstToken, get, seeded, settled, startEngine, words } from "../measure/engine.mjs";
import { figure } from "../measure/report.mjs";
import { atLeast, atMost, shown } from "../measure/goals.mjs";

const CHATS = 8;
const ANSWER_TOKENS = 128;
const LONG_PROMPT_TOKENS = 4000;
/** With the long prompt they fit into the engine's 8,192 tokens, so that nobody has to give way. */
const STREAMS = 4;
const STREAM_TOKENS = 900;

export const title = "Parallel chats";

export async function run({ quick, model }) {
  const rounds = quick ? 1 : 5;
  const engine = await startEngine();
  try {
    const { to } = engine;
    const random = seeded(3);
    const ask = (tokens, length) => story(model, random, tokens, length);
    await answered(to, ask(8));
    const raw = [];
    for (let round = 1; round <= rounds; round += 1) {
      const alone = await together(to, ask, 1);
      const eight = await together(to, ask, CHATS);
      const long = await besideLongPrompt(to, ask);
      const { threads } = await get(to, "/v1/stats");
      raw.push({ round, threads: threads.chosen, busy_elsewhere: threads.busy_elsewhere, alone_tokens_per_s: alone, together_tokens_per_s: eight, ratio: eight / alone, ...long });
      console.log(`  round ${round}: alone ${figure(alone)}, ${CHATS} together ${figure(eight)} tokens/s; beside ${long.prompt_tokens} tokens of prompt at most ${figure(long.longest_gap_ms)} ms between two texts`);
    }
    const column = (name) => raw.map((row) => row[name]);
    return {
      claims: [
        atLeast(`${CHATS} chats in parallel: tokens/s of one alone`, 1.6, column("ratio")),
        // The worst of all rounds: a stall that comes in one round of five is a stall.
        atMost(`longest gap of a stream while ${LONG_PROMPT_TOKENS} tokens are read, ms (worst round)`, 500, [Math.max(...column("longest_gap_ms"))]),
        shown("the same without the long prompt, ms", column("usual_gap_ms")),
        shown(`time to first token of the ${LONG_PROMPT_TOKENS} tokens, ms`, column("long_first_ms")),
        shown("one alone, tokens/s", column("alone_tokens_per_s")),
        shown(`${CHATS} together, tokens/s`, column("together_tokens_per_s")),
      ],
      tables: [],
      notes: [
        `The engine as it starts by default: ${[...new Set(column("threads"))].join(", then ")} threads, 8 slots. Chats: a short story each, ${ANSWER_TOKENS} tokens of answer; reading the questions counts.`,
        `Gaps: between two texts of one of ${STREAMS} running streams as its client sees them, from sending the long prompt to its first token.`,
      ],
      raw,
    };
  } finally {
    await engine.end();
  }
}

/** A question that no earlier one shares a beginning with, and that small models answer at length. */
const story = (model, random, tokens, length = 12) => ({
  model, temperature: 0, max_tokens: tokens,
  messages: [{ role: "system", content: words(random, 3) }, { role: "user", content: `${words(random, length)}\n\nWrite a long story with these words.` }],
});

/** Tokens per second of so many chats, from the first question to the end of the last answer. */
async function together(to, ask, chats) {
  // One that ends early leaves the others alone, and shows less than the engine can: other questions then.
  for (let tries = 0; tries < 10; tries += 1) {
    const answers = await Promise.all(Array.from({ length: chats }, () => answered(to, ask(ANSWER_TOKENS))));
    if (answers.some(({ usage }) => usage.completion_tokens < ANSWER_TOKENS)) continue;
    const seconds = (Math.max(...answers.map(({ endedAt }) => endedAt)) - Math.min(...answers.map(({ sentAt }) => sentAt))) / 1000;
    return chats * ANSWER_TOKENS / seconds;
  }
  throw new Error(`in none of ten tries did ${chats} answers reach ${ANSWER_TOKENS} tokens`);
}

/** Running streams, and then a prompt that takes many steps to read. */
async function besideLongPrompt(to, ask) {
  const leave = new AbortController();
  const streams = [];
  const stream = async (running) => {
    // One that ends early is followed by another; a gap is always inside one answer.
    while (!leave.signal.aborted) {
      const answer = await chat(to, ask(STREAM_TOKENS), { signal: leave.signal, onText: ({ times }) => times.length === 10 && running() });
      if (answer.error && !leave.signal.aborted) throw new Error(`a stream failed: ${JSON.stringify(answer.error)}`);
      streams.push(answer);
    }
  };
  const all = Array.from({ length: STREAMS }, () => {
    let done;
    const started = new Promise((resolve) => (done = resolve));
    return { started, ended: stream(done) };
  });
  await Promise.all(all.map(({ started, ended }) => Promise.race([started, ended])));
  const long = await answered(to, ask(1, LONG_PROMPT_TOKENS - 40));
  leave.abort();
  await Promise.all(all.map(({ ended }) => ended));
  const [from, until] = [long.sentAt, long.firstAt];
  // The last gap of an answer is the one until it ended, or was left.
  const gaps = streams.flatMap(({ times, endedAt }) =>
    times.map((at, index) => ({ from: at, until: times[index + 1] ?? endedAt })));
  const longest = (some) => Math.max(...some.map((gap) => gap.until - gap.from));
  const during = gaps.filter((gap) => gap.until > from && gap.from < until);
  if (during.length < 10 * STREAMS) throw new Error(`only ${during.length} texts came while the long prompt was read, which shows nothing`);
  // The lanes are free again: the next round begins like the first.
  await settled(to);
  return {
    prompt_tokens: long.usage.prompt_tokens, long_first_ms: firstToken(long), gaps: during.length,
    longest_gap_ms: longest(during), usual_gap_ms: longest(gaps.filter((gap) => gap.until <= from)),
  };
}
