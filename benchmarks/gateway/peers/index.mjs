// The gateways that are measured, ours first. A module of this folder gives `name`, `policy`, `install(setup, say)` and
// `start(setup)`, whose result has `url`, `headers`, `model`, `child`, `pids()`, `log` and `stop()`.

import * as bare from "./bare.mjs";
import * as litellm from "./litellm.mjs";
import * as portkey from "./portkey.mjs";
import * as rolter from "./rolter.mjs";
import * as sglangRouter from "./sglang-router.mjs";
import * as uat from "./uat.mjs";
import * as vllmRouter from "./vllm-router.mjs";

export { bare, uat };
/** By the word that `--peers` takes. */
export const PEERS = { "vllm-router": vllmRouter, "sglang-router": sglangRouter, rolter, portkey, litellm };

/** Those that could be installed, with their versions; what went wrong with the others is said. */
export async function install(wanted, setup, say) {
  const ready = [];
  const versions = {};
  for (const gateway of wanted) {
    try {
      const { version } = await gateway.install(setup, say);
      versions[gateway.name] = version;
      ready.push(gateway);
    } catch (error) {
      versions[gateway.name] = "not installed";
      say(`${gateway.name} could not be installed and is left out: ${error.message}`);
    }
  }
  return { ready, versions };
}
