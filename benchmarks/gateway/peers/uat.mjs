// Our gateway with its defaults, but for what a part says.

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";

import { freePort } from "../../measure/processes.mjs";
import { answers, serve, versionOf } from "./program.mjs";

export const name = "uat";
export const policy = "peak-ewma, the default";

/** `setup.uat` is the binary. */
export async function install(setup) {
  return { version: versionOf(setup.uat, "--version") };
}

/**
 * @param {{ backends: string[], patience_ms?: number, redis?: string, folder: string, uat: string, env?: object, wrap?: string[] }} setup
 * `patience_ms` limits connecting, the first content and silence in a stream.
 */
export async function start(setup) {
  const port = await freePort();
  const file = path.join(setup.folder, `uat-${port}.toml`);
  // An older binary than the one that learned to continue a stream refuses the key, and is measured without it.
  const text = [true, false].map((resume) => configuration(setup, port, resume)).find((candidate, index) => {
    writeFileSync(file, candidate);
    return index === 1 || isValid(setup.uat, file);
  });
  const url = `http://127.0.0.1:${port}`;
  const gateway = await serve({ file: setup.uat, args: ["serve", "--config", file], url, ready: answers(`${url}/health/ready`), env: setup.env, wrap: setup.wrap });
  return { ...gateway, resumes: text.includes("resume") };
}

const isValid = (uat, file) => spawnSync(uat, ["config", "validate", "--config", file]).status === 0;

function configuration({ backends, patience_ms, redis }, port, resume) {
  const patience = patience_ms === undefined ? "" : ["connect", "first_token", "idle"].map((one) => `${one}_timeout_ms = ${patience_ms}\n`).join("");
  const endpoints = backends.map((url, index) => `[[endpoints]]
name = "e${index}"
protocol = "openai"
base_url = "${url}"
${resume ? 'resume = "prefill"\n' : ""}${patience}`);
  const places = backends.map((_, index) => `{ endpoint = "e${index}", model = "m" }`);
  return `[server]
bind = "127.0.0.1:${port}"
${redis === undefined ? "" : `[redis]\nurl = "${redis}"\n`}${endpoints.join("")}[[models]]
name = "m"
context_tokens = 8192
max_output_tokens = 4096
endpoints = [${places.join(", ")}]
`;
}
