// LiteLLM's proxy with one worker, set up as its documentation advises for production: simple-shuffle, retries, fallbacks
// and cooldowns on, production mode, no debug output.

import { writeFileSync } from "node:fs";
import path from "node:path";

import { freePort } from "../../measure/processes.mjs";
import { installed, pinned } from "./install.mjs";
import { answers, serve } from "./program.mjs";

export const name = "LiteLLM";
export const policy = "simple-shuffle; where a replica is slow, latency-based-routing";
/** Of the requests that the others get, the share that keeps a run short. */
export const share = 0.01;
/** It needs ten seconds to start: the fault matrix keeps one running from fault to fault. */
export const slowStart = true;

export async function install(_, say) {
  installed("litellm", say);
  return { version: pinned("litellm") };
}

export async function start({ backends, patience_ms, folder, slowReplica = false, env = {}, wrap }) {
  const port = await freePort();
  const place = (group, backend) => ({
    model_name: group,
    // The client library behind it wants a key, whatever it is.
    litellm_params: { model: "openai/m", api_base: `${backend}/v1`, api_key: "none" },
  });
  const seconds = patience_ms === undefined ? {} : { timeout: patience_ms / 1e3, stream_timeout: patience_ms / 1e3 };
  const hasOthers = backends.length > 1;
  const configuration = {
    model_list: [...backends.map((backend) => place("m", backend)), ...(hasOthers ? backends.map((backend) => place("m-again", backend)) : [])],
    router_settings: {
      routing_strategy: slowReplica ? "latency-based-routing" : "simple-shuffle",
      num_retries: 2,
      allowed_fails: 3,
      cooldown_time: patience_ms === undefined ? 30 : 1,
      ...(hasOthers ? { fallbacks: [{ m: ["m-again"] }] } : {}),
      ...seconds,
    },
  };
  const file = path.join(folder, `litellm-${port}.yaml`);
  // YAML contains JSON.
  writeFileSync(file, JSON.stringify(configuration, null, 2));
  const url = `http://127.0.0.1:${port}`;
  return serve({
    file: path.join(installed("litellm"), "litellm"),
    args: ["--config", file, "--host", "127.0.0.1", "--port", String(port), "--num_workers", "1", "--telemetry", "False"],
    url,
    ready: answers(`${url}/health/liveliness`),
    env: {
      LITELLM_MODE: "PRODUCTION",
      LITELLM_LOG: "ERROR",
      LITELLM_LOCAL_MODEL_COST_MAP: "True",
      LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: "true",
      ...env,
    },
    wrap,
  });
}
