// What a decision takes: in the core, with the features given, and through Node, with a prompt of 1 KB.

import { spawnSync } from "node:child_process";

import { atMost, shown } from "../measure/goals.mjs";
import { figure, markdownTable, quantile } from "../measure/report.mjs";
import { repository } from "../measure/processes.mjs";

/** Lets the machine code and the caches of both sides settle. */
const WARM = 2_000;
const CALLS = 20_000;
const MODELS = 20;
const PROMPT = "Why is the sky blue, and what colour has it on Mars at noon? ".repeat(17).slice(0, 1_024);

export const title = "Microseconds of a decision";

export async function run({ quick }) {
  const core = inTheCore();
  const { native, typescript } = Object.fromEntries(["native", "typescript"].map((backend) => [backend, throughNode(backend, quick)]));
  const of = (name, models) => core.find((one) => one.name === name && one.models === models).us;
  return {
    rounds: 1,
    raw: [...core.map(({ name, models, us }) => ({ where: `core, ${name}`, models, us })), ...native.map((us) => ({ where: "native", models: MODELS, us }))],
    claims: [
      atMost("core, 20 models, us", 50, [of("auto", 20)]),
      atMost("core, 1,000 models, us", 1_000, [of("auto", 1_000)]),
      atMost(`\`plan()\` through Node, ${MODELS} models, 1 KB, us (p50)`, 200, [quantile(native, 0.5)]),
      shown("the same, p99", [quantile(native, 0.99)]),
      shown("`plan()` of the TypeScript fallback, us (p50)", [quantile(typescript, 0.5)]),
    ],
    tables: [markdownTable(["core", "models", "us, median"], core.map(({ name, models, us }) => [name, models, figure(us)]))],
    notes: ["The core's figures are those of `cargo bench -p llm-router`; `plan()` reads the request, looks at endpoints, decides, and writes the plan."],
  };
}

/** Each line of divan's table that has a median: its name and how many models there were. */
function inTheCore() {
  const { status, stdout, stderr } = spawnSync("cargo", ["bench", "-q", "-p", "llm-router", "--bench", "decide"], { cwd: repository, encoding: "utf8" });
  if (status !== 0) throw new Error(`cargo bench ended with ${status}: ${stderr}`);
  const found = [];
  let name = "";
  for (const line of stdout.split("\n")) {
    const group = /^[├╰]─ (\w+)/u.exec(line);
    if (group !== null) name = group[1];
    const row = /^[│ ]\s+[├╰]─ (\d+)\s+(.*)$/u.exec(line);
    if (row === null) continue;
    const [, , median] = row[2].split("│").map((cell) => cell.trim());
    const [, number, unit] = /^([\d.]+) (ns|µs|ms)$/u.exec(median);
    found.push({ name, models: Number(row[1]), us: Number(number) * { ns: 1e-3, "µs": 1, ms: 1e3 }[unit] });
  }
  return found;
}

/** Each backend in a process of its own, which is what chooses it. */
function throughNode(backend, quick) {
  const script = `
    import { LLMRouter } from "./dist/index.js";
    const models = Array.from({ length: ${MODELS} }, (_, at) => ({ name: "m" + at, tier: ["fast", "balanced", "strong"][at % 3], quality: at / ${MODELS}, capabilities: ["chat"], context_tokens: 8000 + at, price: { input: at, output: 2 * at }, endpoints: [{ endpoint: "e" }] }));
    const router = new LLMRouter();
    await router.initialize({ engine: { enabled: false }, endpoints: [{ name: "e", protocol: "openai", base_url: "http://127.0.0.1:9/v1" }], models });
    if (router.backend.kind !== "${backend}") throw new Error("the backend is " + router.backend.kind);
    const messages = [{ role: "user", content: ${JSON.stringify(PROMPT)} }];
    const times = [];
    for (let call = 0; call < ${WARM + (quick ? CALLS / 10 : CALLS)}; call += 1) {
      const from = performance.now();
      router.plan("auto", messages);
      if (call >= ${WARM}) times.push((performance.now() - from) * 1e3);
    }
    await router.close();
    console.log(JSON.stringify(times));
  `;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { cwd: repository, encoding: "utf8", maxBuffer: 1 << 26, env: { ...process.env, UAT_BACKEND: backend } });
  if (status !== 0) throw new Error(`Node ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}
