#!/usr/bin/env node
// The official SDKs' own tests against the gateway: `npm run bench:sdk-suites`. See README.md in this folder.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { binary, build, freePort, startGateway, startServer, stop } from "./measure/processes.mjs";
import { circumstances, csv, keep, markdownTable } from "./measure/report.mjs";
import { reason, record } from "./sdk-suites/recorder.mjs";
import { install, SUITES } from "./sdk-suites/suites.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    // The dialects that the fake provider behind the gateway speaks, one pass each; `engine`: the local engine instead.
    upstream: { type: "string", multiple: true },
    "no-build": { type: "boolean", default: false },
    uat: { type: "string", default: binary("uat") },
    fake: { type: "string", default: binary("uat-fake-provider") },
    // Nothing is kept.
    look: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (options.help) {
  console.log(`sdk-suites.mjs [${SUITES.map(({ name }) => name).join("|")}]... [--upstream openai|anthropic|gemini|ollama|engine]... [--no-build] [--uat FILE] [--fake FILE] [--look]`);
  process.exit(0);
}

if (!options["no-build"]) build();
const about = circumstances();
const scratch = mkdtempSync(path.join(os.tmpdir(), "uat-sdk-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
const kept = path.join(path.dirname(path.dirname(binary("uat"))), "sdk-suites");

const passes = [];
for (const suite of SUITES.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
  const installed = install(suite, kept);
  const one = async (upstream) => {
    const result = { suite: suite.name, version: installed.version, upstream, ...(await pass(suite, installed, upstream)) };
    process.stderr.write(`${suite.name} ${installed.version} over ${upstream}: ${result.error ?? `${result.outcomes.length} tests`}\n`);
    return result;
  };
  // Nothing is timed here, so the passes may share the machine.
  passes.push(...(await Promise.all((options.upstream ?? suite.upstreams).map(one))));
}

/** One suite over one kind of upstream. */
async function pass(suite, installed, upstream) {
  const folder = path.join(scratch, `${suite.name}-${upstream}`);
  mkdirSync(folder);
  const fake = upstream === "engine" ? undefined : await startServer(path.relative(path.dirname(binary("uat")), options.fake), []);
  const port = await freePort();
  const config = path.join(folder, "uat.toml");
  writeFileSync(config, configuration(port, upstream, fake?.url, installed.models));
  const env = { XDG_RUNTIME_DIR: folder, UAT_ENGINE_PATH: binary("uat-engine") };
  let uat;
  try {
    uat = await startGateway(options.uat, config, `http://127.0.0.1:${port}`, env);
    const recorder = await record(uat.url);
    const outcomes = await tests(installed, recorder.url + suite.base, path.join(folder, "outcomes.jsonl"));
    await recorder.close();
    return { outcomes, refusals: [...recorder.refusals.values()], dropped: [...recorder.dropped.values()] };
  } catch (error) {
    return { outcomes: [], refusals: [], dropped: [], error: String(error.message).trim() };
  } finally {
    await Promise.all([uat, fake].filter(Boolean).map(({ child }) => stop(child)));
  }
}

function configuration(port, upstream, url, models) {
  const endpoint = upstream === "engine" ? 'protocol = "uat-engine"' : `protocol = "${upstream}"\nbase_url = "${url}"`;
  const model = (name) => `[[models]]
name = "${name}"
endpoints = [{ endpoint = "upstream", model = "${upstream === "engine" ? "smollm2-135m" : name}" }]
`;
  return `[server]\nbind = "127.0.0.1:${port}"\n[[endpoints]]\nname = "upstream"\n${endpoint}\n${models.map(model).join("")}`;
}

/** Runs the tests and gives the outcome of each. */
async function tests({ sources, python, files }, url, outcomes) {
  // Of the suite's own settings only those that name tests are left out: they start one process per core.
  const args = ["-m", "pytest", "-o", "addopts=", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "outcomes", "-q", "--tb=short", ...files];
  const env = { ...process.env, OUTCOMES: outcomes, PYTHONPATH: path.join(import.meta.dirname, "sdk-suites"), PYTHONDONTWRITEBYTECODE: "1", TEST_API_BASE_URL: url };
  const child = spawn(python, args, { cwd: sources, env, stdio: ["ignore", "pipe", "inherit"] });
  let last = "";
  child.stdout.on("data", (data) => (last = (last + data).slice(-4_000)));
  const code = await new Promise((resolve) => child.once("close", resolve));
  // 1: some tests failed, which is what we want to know.
  if (code > 1 || !existsSync(outcomes)) throw new Error(`pytest ended with ${code}:\n${last}`);
  return readFileSync(outcomes, "utf8").trim().split("\n").map(JSON.parse);
}

/** The failures of a pass by call, since each call is made by several clients in several ways. */
function failures({ outcomes }) {
  const groups = new Map();
  for (const { test, message } of outcomes.filter(({ outcome }) => outcome === "failed")) {
    const [, file, name] = /^tests\/api_resources\/(\S+?)\.py::\w+::(\w+)/.exec(test) ?? ["", "", test];
    const call = `${file}: ${name.replace(/^test_(?:method|raw_response|streaming_response)_/, "")}`;
    const why = explained(message);
    const key = `${call} ${why.field} ${why.message}`;
    const group = groups.get(key) ?? { call, ...why, tests: 0 };
    group.tests += 1;
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** What made a test fail: the server's error, or what of its answer was wrong. */
function explained(message) {
  const [, status, said] = /Error code: (\d+) - ([\s\S]*)/.exec(message) ?? [];
  if (status === undefined) return { status: "", field: "", message: message.split("\n").slice(0, 2).join(" ").slice(0, 240) };
  // One SDK prints the error's text, the other the whole document as Python writes it.
  const text = (name) => new RegExp(`'${name}': (?:'((?:[^'\\\\]|\\\\.)*)'|"((?:[^"\\\\]|\\\\.)*)")`).exec(said)?.slice(1).find(Boolean);
  const error = { message: text("message") ?? said.slice(0, 240), param: text("param") };
  return { status, field: "", ...reason({ body: JSON.stringify({ error }) }) };
}

const count = ({ outcomes }, wanted) => outcomes.filter(({ outcome }) => outcome === wanted).length;
const cell = (value) => String(value ?? "").replaceAll("|", "\\|").replaceAll("\n", " ");
const summary = markdownTable(
  ["suite", "upstream", "passed", "failed", "skipped"],
  passes.map((one) => [`${one.suite} ${one.version}`, one.upstream, ...(one.error ? [cell(one.error.slice(0, 200)), "", ""] : [count(one, "passed"), count(one, "failed"), count(one, "skipped")])]),
);
const details = passes.filter(({ outcomes }) => outcomes.length > 0).map((one) => {
  const failed = failures(one);
  const refused = one.refusals.filter(({ field }) => field !== undefined);
  return `## ${one.suite} ${one.version} over ${one.upstream}

### Calls that fail

${failed.length ? markdownTable(["call", "tests", "status", "field", "why"], failed.map((row) => [row.call, row.tests, row.status, row.field, row.message].map(cell))) : "None.\n"}
### Fields that are refused, one after the other

${refused.length ? markdownTable(["path", "status", "field", "value", "why"], refused.map((row) => [row.path, row.status, row.field, JSON.stringify(row.value)?.slice(0, 60), row.message].map(cell))) : "None.\n"}
### Fields that are dropped, and said so

${one.dropped.length ? markdownTable(["path", "field"], one.dropped.map((row) => [row.path, row.field].map(cell))) : "None.\n"}`;
});
const report = `# The official SDKs' own tests against the gateway

\`npm run bench:sdk-suites\`, ${about.date.slice(0, 10)}, ${about.commit}. Behind the gateway stands \`uat-fake-provider\`, which speaks the upstream's
dialect. A refused field is taken out and the request sent again, so that one with every parameter tells of all of them.

${summary}
${details.join("\n")}`;
console.log(summary);
if (!options.look) {
  const rows = passes.flatMap((one) => one.outcomes.map(({ test, outcome, message }) => ({ suite: one.suite, upstream: one.upstream, test, outcome, message: message.slice(0, 300) })));
  console.log(`kept in ${keep("sdk-suites", { "README.md": report, "tests.csv": csv(rows), "circumstances.json": `${JSON.stringify(about, null, 2)}\n` })}`);
} else {
  console.log(details.join("\n"));
}
