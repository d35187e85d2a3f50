#!/usr/bin/env node
// The cache beside its peers, and in trouble: `npm run bench:cache [-- PART...] [--quick] [--json]`.
// Each part lies in `cache/`; see README.md in this folder.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

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
import { commandLine } from "./measure/command-line.mjs";
import { runParts } from "./measure/parts.mjs";
import { binary, build, repository } from "./measure/processes.mjs";

const PARTS = { near, latency, throughput, bytes, freeze, stale, gaps, sessions };
/** Of the peers that are installed, those which this benchmark runs. */
const PEERS = ["ioredis", "redis", "@valkey/valkey-glide", "lru-cache", "keyv", "@keyv/redis", "@bokuweb/zstd-wasm"];

const { options, asked, say } = commandLine("cache", PARTS);

if (!options["no-build"]) build(options.json ? 2 : 1);
if (!options["no-build"] && !existsSync(binary("uat-check-history"))) buildChecker();
await installFromNpm(say);
const versions = { ...peerVersions(PEERS), "redis-server": serverVersion() };
await runParts({ bench: "cache", parts: PARTS, asked, quick: options.quick, json: options.json, say, versions });
// A peer that was cut off may still hold a timer.
process.exit();

/** The judge of histories, which `build` leaves out. */
function buildChecker() {
  const { status } = spawnSync("cargo", ["build", "--release", "-p", "testkit", "--bin", "uat-check-history"], { cwd: repository, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Error(`building uat-check-history failed with status ${status}`);
}
