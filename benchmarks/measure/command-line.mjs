// What the benchmarks of parts are asked for: `NAME.mjs [PART]... [--quick] [--json] [--no-build]`, and options of their own.

import { parseArgs } from "node:util";

/**
 * Reads the command line, or says how it is written and ends. `own`: further options as `parseArgs` has them, `usage` how they are written,
 * `lacking` what is missing for the parts that were asked for, if something is.
 */
export function commandLine(bench, parts, { own = {}, usage = "", lacking = () => undefined } = {}) {
  const { values: options, positionals: named } = parseArgs({
    allowPositionals: true,
    options: {
      ...own,
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      "no-build": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const unknown = named.find((name) => !(name in parts));
  const asked = named.length === 0 ? Object.keys(parts) : named;
  const wrong = unknown === undefined ? lacking(asked, options) : `there is no part ${unknown}`;
  if (options.help || wrong !== undefined) {
    if (!options.help || unknown !== undefined) console.error(`${bench}.mjs: ${wrong}`);
    console.log(`${bench}.mjs [${Object.keys(parts).join("] [")}] ${usage === "" ? "" : `${usage} `}[--quick] [--json] [--no-build]; without a part, all`);
    process.exit(options.help ? 0 : 2);
  }
  // What is for people goes to standard error where standard output is for programs.
  const say = options.json ? console.error : console.log;
  return { options, named, asked, say };
}
