// Prompt and generation of one stream, beside the same work done by the peers.

import { answered, firstToken, generationRate, promptRate, seeded, startEngine, words } from "../measure/engine.mjs";
import { figure, markdownTable, median } from "../measure/report.mjs";
import { atLeast, shown } from "../measure/goals.mjs";
import { installFromNpm, installFromPypi, peers } from "./peers.mjs";

const PROMPT_TOKENS = 512;
const ANSWER_TOKENS = 128;
/** What our engine gives a model by default; the peers get as much. */
const CONTEXT_TOKENS = 8192;
const THREADS = [1, 2];
/** Prompts in each process, so that starting processes is not most of the run. */
const PROMPTS = 2;

export const title = "Speed of one stream";

export async function run({ quick, model, file }) {
  await installFromNpm();
  await installFromPypi();
  const rounds = quick ? 1 : 7;
  const prompts = await makePrompts(file, rounds * PROMPTS);
  const programs = { "uat-engine": ours, ...peers };
  const names = Object.keys(programs);
  const raw = [];
  for (let round = 0; round < rounds; round += 1) {
    const batch = prompts.slice(round * PROMPTS, (round + 1) * PROMPTS);
    for (const threads of THREADS) {
      // Each round begins with another program, so that a machine that becomes slower favours nobody.
      for (let turn = 0; turn < names.length; turn += 1) {
        const name = names[(round + turn) % names.length];
        const task = { do: "run", model: file, context_tokens: CONTEXT_TOKENS, threads, tokens: ANSWER_TOKENS };
        const { release, runs } = name === "uat-engine"
          ? await ours({ ...task, model, prompts: batch })
          : await programs[name]({ ...task, prompts: batch.map(({ ids }) => ids) });
        runs.forEach((one, index) => raw.push(row(round + 1, threads, name, release, index + 1, one)));
      }
      const latest = raw.filter((one) => one.round === round + 1 && one.threads === threads);
      console.log(`  round ${round + 1}, ${threads} thread(s): ${names.map((name) => `${name} ${rates(latest, name)}`).join(", ")} tokens/s`);
    }
  }
  return { claims: claims(raw, names), tables: [table(raw, names)], notes: notes(raw, names), raw };
}

/** Conversations of exactly so many tokens, with the tokens that the model's own template makes of them. */
async function makePrompts(file, count) {
  const drafts = Array.from({ length: count }, (_, index) => ({
    words: words(seeded(index + 1), PROMPT_TOKENS).split(" "),
    question: "Write a long story with these words.",
  }));
  return peers["node-llama-cpp"]({ do: "prompts", model: file, context_tokens: CONTEXT_TOKENS, threads: 2, tokens: PROMPT_TOKENS, drafts });
}

async function ours({ model, threads, prompts, tokens }) {
  const engine = await startEngine(["--threads", String(threads), "--ctx", String(CONTEXT_TOKENS)]);
  try {
    const ask = (messages, most) => answered(engine.to, { model, messages, temperature: 0, max_tokens: most });
    await ask([{ role: "user", content: "Hello." }], 8);
    const runs = [];
    for (const { messages, ids } of prompts) {
      const answer = await ask(messages, tokens);
      const { prompt_tokens: read, completion_tokens: generated } = answer.usage;
      if (read !== ids.length) throw new Error(`the engine read ${read} tokens where the peers were given ${ids.length}`);
      // Beyond the template's own beginning, which all conversations share.
      if (answer.usage.prompt_tokens_details?.cached_tokens > 8) throw new Error("the engine had read the beginning of this prompt before");
      runs.push({ prompt_rate: promptRate(answer), generation_rate: generationRate(answer), first_ms: firstToken(answer), generated, text: answer.text });
    }
    return { release: engine.health.version, runs };
  } finally {
    await engine.end();
  }
}

function row(round, threads, program, release, prompt, { first_ms, rest_ms, generated, text, ...rates }) {
  // A few tokens would measure the beginning and not the rate.
  if (generated < ANSWER_TOKENS / 2) throw new Error(`${program} ended its answer after ${generated} tokens: ${JSON.stringify(text)}`);
  return {
    round, threads, program, release, prompt, first_ms, generated,
    prompt_tokens_per_s: rates.prompt_rate ?? PROMPT_TOKENS / (first_ms / 1000),
    generation_tokens_per_s: rates.generation_rate ?? (generated - 1) / (rest_ms / 1000),
    text,
  };
}

const of = (raw, name, threads, what) => raw.filter((one) => one.program === name && one.threads === threads).map((one) => one[what]);
const WHAT = { prompt: "prompt_tokens_per_s", generation: "generation_tokens_per_s" };
const rates = (raw, name) => Object.values(WHAT).map((what) => figure(median(of(raw, name, raw[0].threads, what)))).join("/");

/** Ours beside the peer whose median is better, round by round. */
function claims(raw, [us, ...others]) {
  return THREADS.flatMap((threads) => Object.entries(WHAT).map(([word, what]) => {
    const best = others.map((name) => ({ name, rate: median(of(raw, name, threads, what)) })).sort((a, b) => b.rate - a.rate)[0].name;
    const numbers = [...new Set(raw.map(({ round }) => round))];
    const inRound = (round, name) => median(of(raw.filter((one) => one.round === round), name, threads, what));
    return atLeast(`${word}, ${threads} thread(s): of ${best}`, 1, numbers.map((round) => inRound(round, us) / inRound(round, best)));
  })).concat(agreement(raw, us, others));
}

/** The same work gives the same words, as far as builds with other instructions round alike. */
function agreement(raw, us, others) {
  return others.map((name) => {
    const same = raw.filter((one) => one.program === us).map((one) => {
      const other = raw.find((two) => two.program === name && two.round === one.round && two.threads === one.threads && two.prompt === one.prompt);
      const length = Math.min(one.text.length, other.text.length);
      const differs = [...Array(length).keys()].find((index) => one.text[index] !== other.text[index]) ?? length;
      return 100 * differs / length;
    });
    return shown(`the same answer as ${name}, % of its characters from the beginning`, same);
  });
}

function table(raw, names) {
  return markdownTable(
    ["tokens/s, median", ...names],
    THREADS.flatMap((threads) => Object.entries(WHAT).map(([word, what]) =>
      [`${word}, ${threads} thread(s)`, ...names.map((name) => figure(median(of(raw, name, threads, what))))])),
  );
}

function notes(raw, names) {
  const release = (name) => `${name} ${raw.find((one) => one.program === name).release}`;
  return [
    `${names.map(release).join(", ")}; each alone at its time, in a process of its own, ${CONTEXT_TOKENS} tokens of context. node-llama-cpp names its llama.cpp.`,
    `Prompt: ${PROMPT_TOKENS} tokens, the same for all, until the first token of the answer is there. Generation: the ${ANSWER_TOKENS - 1} tokens after it, greedy.`,
    "uat-engine is asked over its socket: HTTP, the template, tokenising and streaming are part of its figures. The peers get tokens and give tokens (`LlamaContextSequence.evaluate`, `Llama.generate`).",
  ];
}
