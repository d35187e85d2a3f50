// rolter with a static file: retries, cooldowns and the circuit breaker on with their default numbers, and queues as large
// as the load, since their defaults admit eight requests at a time to a backend.

import { writeFileSync } from "node:fs";
import path from "node:path";

import { freePort } from "../../measure/processes.mjs";
import { installed, pinned } from "./install.mjs";
import { answers, serve } from "./program.mjs";

export const name = "rolter";
export const policy = "power_of_two";

export async function install(_, say) {
  installed("rolter", say);
  return { version: pinned("rolter") };
}

export async function start({ backends, patience_ms, folder, env, wrap }) {
  const port = await freePort();
  const seconds = patience_ms === undefined ? "" : `[timeouts]\nconnect_secs = ${Math.ceil(patience_ms / 1e3)}\nrequest_secs = ${Math.ceil(patience_ms / 1e3)}\n`;
  const providers = backends.map((backend, index) => `[[providers]]\nname = "e${index}"\nkind = "openai_compatible"\napi_base = "${backend}"\n`);
  const targets = backends.map((_, index) => `[[routes.targets]]\nprovider = "e${index}"\nmodel = "m"\n`);
  const file = path.join(folder, `rolter-${port}.toml`);
  writeFileSync(
    file,
    `[server]
host = "127.0.0.1"
port = ${port}
require_auth = false
${providers.join("")}[[routes]]
model = "m"
strategy = "power_of_two"
${targets.join("")}[breaker]
enabled = true
[queue]
capacity = 8192
workers = 512
${seconds}`,
  );
  const url = `http://127.0.0.1:${port}`;
  return serve({
    file: path.join(installed("rolter"), "rolter"),
    args: ["gateway", "--config", file],
    url,
    ready: answers(`${url}/metrics`),
    env: { RUST_LOG: "warn", ...env },
    wrap,
  });
}
