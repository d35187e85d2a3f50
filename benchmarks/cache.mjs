#!/usr/bin/env node
// The cache beside its peers, and in trouble: `npm run bench:cache [-- PART...] [--quick] [--json]`.
// Each part lies in `cache/`; see README.md in this folder.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";

import { goalsTable, met } from "./cache/goals.mjs";
import { serverVersion } from "./cache/redis.mjs";
import * as bytes from "./cache/bytes.mjs";
import * as freeze from "./cache/freeze.mjs";
import * as gaps from "./cache/gaps.mjs";
import * as latency from "./cache/latency.mjs";
import * as near from "./cache/near-hits.mjs";
import * as sessions from "./cache/sessions.mjs";
import * as stale from "./cache/stale.mjs";
import * as throughput from "./cache/throughput.mjs";
import { installFromNpm, peerVersions } from "./engine/peers.mjs";
import { binary, build, repository } from "./measure/processes.mjs";
import { circumstances, csv, keep } from "./measure/report.mjs";

const PARTS = { near, latency, throughput, bytes, freeze, stale, gaps, sessions };
/** Of the peers that are installed, those which this benchmark runs. */
const PEERS = ["ioredis", "redis", "@valkey/valkey-glide", "lru-cache", "keyv", "@keyv/redis", "@bokuweb/zstd-wasm"];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const unknown = positionals.find((name) => !(name in PARTS));
if (options.help || unknown !== undefined) {
  if (unknown !== undefined) console.error(`cache.mjs: there is no part ${unknown}`);
  console.log(`cache.mjs [${Object.keys(PARTS).join("] [")}] [--quick] [--json] [--no-build]; without a part, all`);
  process.exit(options.help ? 0 : 2);
}
const asked = positionals.length === 0 ? Object.keys(PARTS) : positionals;
const { quick } = options;
// What is for people goes to standard error where standard output is for programs.
const say = options.json ? console.error : console.log;

if (!options["no-build"]) build(options.json ? 2 : 1);
if (!options["no-build"] && !existsSync(binary("uat-check-history"))) buildChecker();
await installFromNpm(say);
const versions = { ...peerVersions(PEERS), "redis-server": serverVersion() };
const results = [];
for (const name of asked) {
  say(`\n${PARTS[name].title} (${name})`);
  // Taken for each part: the machine may become busy during a run of all.
  const about = { ...circumstances(), ...versions };
  const from = performance.now();
  const result = await measured(PARTS[name]);
  const seconds = (performance.now() - from) / 1e3;
  results.push({ name, about, seconds, ...result });
  if (result.failed !== undefined) {
    say(`Not measured: ${result.failed}`);
    continue;
  }
  const body = [goalsTable(result.claims), ...result.tables, result.notes.map((note) => `- ${note}\n`).join("")].join("\n");
  say(`\n${body}\n${seconds.toFixed(0)} s`);
  if (quick) continue;
  const facts = Object.entries(about).map(([key, value]) => `- ${key}: ${value}\n`).join("");
  const kept = keep(`cache/${name}`, {
    "raw.csv": csv(result.raw),
    "summary.json": `${JSON.stringify({ about, claims: result.claims }, null, 2)}\n`,
    "summary.md": `# ${PARTS[name].title}, ${about.date.slice(0, 10)}\n\nReproduce with \`npm run bench:cache -- ${name}\`.\n\n${body}\n${facts}`,
  });
  say(`Kept in ${kept}`);
}
if (options.json) console.log(JSON.stringify(results, null, 2));
if (quick) say("A quick look: nothing was kept, and nothing here may be quoted.");
const short = results.flatMap(({ name, claims, failed }) =>
  failed !== undefined ? [`${name}: not measured`] : claims.filter((claim) => !met(claim)).map((claim) => `${name}: ${claim.name}`),
);
if (short.length > 0) {
  say(`Missed, or not measured:\n${short.map((line) => `  ${line}\n`).join("")}`);
  process.exitCode = 1;
}
// A peer that was cut off may still hold a timer.
process.exit();

/** What a part found; a part that fails does not take the others with it. */
async function measured(part) {
  try {
    return await part.run({ quick, say });
  } catch (error) {
    return { failed: error.stack ?? String(error), claims: [], raw: [] };
  }
}

/** The judge of histories, which `build` leaves out. */
function buildChecker() {
  const { status } = spawnSync("cargo", ["build", "--release", "-p", "testkit", "--bin", "uat-check-history"], { cwd: repository, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Error(`building uat-check-history failed with status ${status}`);
}
