// Runs the parts of a benchmark one after the other, prints what each found, and keeps it.

import { performance } from "node:perf_hooks";

import { goalsTable, met } from "./goals.mjs";
import { circumstances, csv, keep } from "./report.mjs";

/**
 * `bench`: the name of the folder and of the npm script. `parts`: modules with `title` and `run`, of which `asked` names some.
 * `context` is what `run` gets besides `quick` and `say`; `files` of what it gives are kept beside the summary; `versions` what the figures depend on; `footnote` ends each summary.
 * A part that fails does not take the others with it. A goal that is missed sets the exit code.
 */
export async function runParts({ bench, parts, asked, quick, json, say, context = {}, versions = {}, footnote = "" }) {
  const results = [];
  for (const name of asked) {
    say(`\n${parts[name].title} (${name})`);
    // Taken for each part: the machine may become busy during a run of all.
    const about = { ...circumstances(), ...versions };
    const from = performance.now();
    const result = await measured(parts[name], { ...context, quick, say });
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
    const kept = keep(`${bench}/${name}`, {
      ...result.files,
      "raw.csv": csv(result.raw),
      "summary.json": `${JSON.stringify({ about, rounds: result.rounds, claims: result.claims }, null, 2)}\n`,
      "summary.md": `# ${parts[name].title}, ${about.date.slice(0, 10)}\n\nReproduce with \`npm run bench:${bench} -- ${name}\`.\n\n${body}\n${footnote}${facts}`,
    });
    say(`Kept in ${kept}`);
  }
  if (json) console.log(JSON.stringify(results, null, 2));
  if (quick) say("A quick look: nothing was kept, and nothing here may be quoted.");
  const short = results.flatMap(({ name, claims, failed, skipped }) => {
    if (skipped !== undefined) return [`${name}: skipped: ${skipped}`];
    return failed !== undefined ? [`${name}: not measured`] : claims.filter((claim) => !met(claim)).map((claim) => `${name}: ${claim.name}`);
  });
  if (short.length > 0) {
    say(`Missed, or not measured:\n${short.map((line) => `  ${line}\n`).join("")}`);
    process.exitCode = 1;
  }
}

async function measured(part, context) {
  try {
    return await part.run(context);
  } catch (error) {
    return { failed: error.stack ?? String(error), claims: [], raw: [] };
  }
}
