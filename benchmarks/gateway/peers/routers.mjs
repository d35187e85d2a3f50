// What vllm-router and sglang-router have in common: Rust routers with a Python entry point and almost the same options.

import path from "node:path";

import { freePort } from "../../measure/processes.mjs";
import { installed, pinned } from "./install.mjs";
import { answers, serve } from "./program.mjs";

/** Power of two choices needs two workers. Their default, cache_aware, sends equal prompts to one worker on purpose. */
export const policy = "power_of_two, which both describe as the one for load; round_robin with one backend";

export function router({ name, program, before, logLevel, more = [] }) {
  return {
    name,
    policy,
    async install(_, say) {
      installed(name, say);
      return { version: pinned(name) };
    },
    async start({ backends, patience_ms, env, wrap }) {
      const [port, metrics] = [await freePort(), await freePort()];
      // Whole seconds for the whole answer. Retries, circuit breaker and health checks are on with their defaults.
      const patience = patience_ms === undefined ? [] : ["--request-timeout-secs", String(Math.ceil(patience_ms / 1e3))];
      const url = `http://127.0.0.1:${port}`;
      return serve({
        file: path.join(installed(name), program),
        args: [
          ...before, "--host", "127.0.0.1", "--port", String(port), "--prometheus-port", String(metrics), "--log-level", logLevel,
          "--worker-urls", ...backends, "--policy", backends.length > 1 ? "power_of_two" : "round_robin",
          "--worker-startup-check-interval", "1", "--worker-startup-timeout-secs", "5", ...patience, ...more,
        ],
        url,
        // The list of workers fills as they register.
        ready: async () => (await answers(`${url}/health`)()) && (await answers(`${url}/v1/models`)()),
        env,
        wrap,
        patience_s: 20,
      });
    },
  };
}
