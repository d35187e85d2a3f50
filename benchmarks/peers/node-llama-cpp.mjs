// Does one task of benchmarks/engine/speed.mjs with node-llama-cpp: a task as JSON on standard input, its result on
// standard output. `prompts` makes prompts of an exact length; `run` times answers to them.

import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";

import { Template } from "@huggingface/jinja";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const task = JSON.parse(readFileSync(0, "utf8"));
// The prebuilt binary for the CPU, or none. Without `maxThreads` it would take at least four threads.
const llama = await getLlama({ gpu: false, build: "never", usePrebuiltBinaries: true, maxThreads: task.threads, logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath: task.model });
const context = await model.createContext({ contextSize: task.context_tokens, threads: { ideal: task.threads, min: task.threads } });
const sequence = context.getSequence();

const result = task.do === "prompts" ? task.drafts.map(fit) : { release: llama.llamaCppRelease.release, threads: context.currentThreads, runs: await timed() };
process.stdout.write(JSON.stringify(result));
await llama.dispose();

/** Takes words off a draft until its conversation has exactly `task.tokens` tokens, as the model's template writes it. */
function fit({ words, question }) {
  const template = new Template(model.fileInfo.metadata.tokenizer.chat_template);
  const attempt = (count) => {
    // The first words differ from draft to draft, so that no two prompts share a beginning worth keeping.
    const messages = [
      { role: "system", content: words.slice(0, 3).join(" ") },
      { role: "user", content: `${words.slice(3, count).join(" ")}\n\n${question}` },
    ];
    const text = template.render({ messages, add_generation_prompt: true, bos_token: model.tokens.bosString, eos_token: model.tokens.eosString });
    return { messages, ids: model.tokenize(text, true) };
  };
  for (let count = words.length; count > 3; count -= 1) {
    const fitted = attempt(count);
    if (fitted.ids.length === task.tokens) return fitted;
  }
  throw new Error(`no beginning of ${words.length} words makes ${task.tokens} tokens`);
}

async function timed() {
  // The first answer of a process also reads the weights' pages and starts threads.
  await answer(task.prompts[0].slice(0, 32), 8);
  const runs = [];
  for (const ids of task.prompts) runs.push(await answer(ids, task.tokens));
  return runs;
}

async function answer(ids, most) {
  await sequence.clearHistory();
  const got = [];
  const from = performance.now();
  let first;
  for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    first ??= performance.now();
    got.push(token);
    if (got.length === most) break;
  }
  return { first_ms: first - from, rest_ms: performance.now() - first, generated: got.length, text: model.detokenize(got) };
}
