// Portkey's gateway on Node. Its configuration comes with each request: requests are spread, and each falls back to the
// other backends, with retries.

import { existsSync } from "node:fs";
import path from "node:path";

import { installFromNpm, peerVersions } from "../../engine/peers.mjs";
import { freePort } from "../../measure/processes.mjs";
import { answers, serve } from "./program.mjs";

export const name = "Portkey";
export const policy = "loadbalance over fallbacks";
export const share = 0.05;

const program = path.join(import.meta.dirname, "..", "..", "peers", "node_modules", "@portkey-ai", "gateway", "build", "start-server.js");

export async function install(_, say) {
  await installFromNpm(say);
  if (!existsSync(program)) throw new Error(`${program} is missing`);
  return { version: peerVersions(["@portkey-ai/gateway"])["@portkey-ai/gateway"] };
}

export async function start({ backends, patience_ms, env, wrap }) {
  const port = await freePort();
  const target = (backend) => ({
    provider: "openai",
    api_key: "none",
    custom_host: `${backend}/v1`,
    retry: { attempts: 1 },
    ...(patience_ms === undefined ? {} : { request_timeout: patience_ms }),
  });
  const from = (index) => [...backends.slice(index), ...backends.slice(0, index)].map(target);
  const configuration =
    backends.length === 1
      ? target(backends[0])
      : { strategy: { mode: "loadbalance" }, targets: backends.map((_, index) => ({ strategy: { mode: "fallback" }, targets: from(index) })) };
  const url = `http://127.0.0.1:${port}`;
  return serve({
    file: process.execPath,
    args: [program, `--port=${port}`, "--headless"],
    url,
    headers: { "x-portkey-config": JSON.stringify(configuration) },
    ready: answers(url),
    env: { NODE_ENV: "production", TRUSTED_CUSTOM_HOSTS: "localhost,127.0.0.1,flapping.test", ...env },
    wrap,
  });
}
