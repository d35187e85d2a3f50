// How much quality the learned scoring buys for the strong model's calls, beside simpler ways, on a table of judged answers.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { atLeast, atMost, exactly } from "../measure/goals.mjs";
import { figure, markdownTable } from "../measure/report.mjs";
import { binary } from "../measure/processes.mjs";

/** What ours has to be better by. */
const MARGIN = 0.02;
/** Of two of the simpler ways; `uat models pull` fetches it unless it is there. */
const EMBEDDER = "minilm-l6";
const REFERENCES = ["random", "oracle", "learned"];
/** What a prediction is put together from, and the gate between familiar and strange prompts. */
const PARTS = ["curve", "length", "words", "trees", "gate"];

export const title = "Quality for calls";

export async function run({ data, quick, say }) {
  const folder = mkdtempSync(path.join(os.tmpdir(), "uat-router-"));
  try {
    const { status } = spawnSync(binary("uat"), ["models", "pull", EMBEDDER], { stdio: ["ignore", 2, 2] });
    if (status !== 0) throw new Error(`uat models pull ${EMBEDDER} ended with ${status}`);
    const training = uat(["train", "--data", data, "--out", path.join(folder, "learned.bin")]);
    say(`  ${training.report.summary}, ${training.seconds.toFixed(1)} s, ${training.bytes} bytes`);
    const shuffled = uat(["train", "--data", data, "--out", path.join(folder, "shuffled.bin"), "--shuffled"]);
    say(`  scores dealt out at random: ${shuffled.report.summary}`);
    const svg = path.join(folder, "quality.svg");
    const { settings } = uat(["eval", "--train", data, "--svg", svg, "--embed", EMBEDDER, ...(quick ? ["--only", "folds"] : [])]);
    const [stripped] = uat(["eval", "--train", data, "--without-options", "--only", "folds"]).settings;
    const worth = quick ? [] : PARTS.map((part) => ({ part, apgr: apgr(uat(["eval", "--train", data, "--without", part, "--only", "folds"]).settings[0], "learned") }));
    const files = { "quality.json": `${JSON.stringify({ training, settings, stripped, worth }, null, 1)}\n`, "quality.svg": readFileSync(svg, "utf8") };
    if (settings.length > 1) files["quality-subjects.svg"] = readFileSync(path.join(folder, "quality-subjects.svg"), "utf8");
    const rows = (setting, result) => result.scorings.map(({ curve: _, ours_less_this: less, ...one }) => ({ setting, ...one, ours_less_this: less?.join(" ") }));
    return {
      rounds: 1,
      files,
      raw: [...settings, { ...stripped, setting: "without options" }].flatMap(({ setting, result }) => rows(setting, result)),
      claims: [
        ...settings.flatMap(claims),
        atLeast("5-fold, answer options taken out: APGR beyond prompt length", 0, [apgr(stripped, "learned") - apgr(stripped, "prompt length")]),
        exactly("trainings on shuffled scores that found a signal", 0, shuffled.report.summary.startsWith("no signal, priors used") ? 0 : 1),
        atMost("training, s", 20, [training.seconds]),
        atMost("looking at a prompt and scoring it, us", 100, [training.scoring_us]),
      ],
      tables: [
        ...settings.map(table),
        table({ ...stripped, setting: "5-fold, answer options taken out" }),
        ...(worth.length === 0 ? [] : [`5-fold, a part left out\n\n${markdownTable(["without", "APGR"], worth.map((one) => [one.part, one.apgr.toFixed(3)]))}`]),
      ],
      notes: [training.report.summary, `Scores dealt out at random: ${shuffled.report.summary}`, "Intervals are of a paired bootstrap over prompts."],
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function apgr({ result }, name) {
  return result.scorings.find((one) => one.name === name).apgr;
}

/** Among the baselines, prompt length is what has to be beaten where subjects were never seen. */
function claims({ setting, result }) {
  const of = (name) => result.scorings.find((one) => one.name === name);
  const known = result.scorings.filter(({ name }) => !REFERENCES.includes(name));
  const whole = setting !== "5-fold";
  const rival = whole ? of("prompt length") : known.reduce((best, one) => (one.apgr > best.apgr ? one : best));
  const found = [atLeast(`${setting}: APGR beyond ${rival.name}`, MARGIN, [of("learned").apgr - rival.apgr])];
  if (!whole) found.push(atMost(`${setting}: calibration error`, 0.05, [Math.max(...result.calibration.slice(0, 2))]));
  return found;
}

function table({ setting, result }) {
  const percent = (share) => `${Math.round(100 * share)} %`;
  const signed = (value) => `${value < 0 ? "" : "+"}${value.toFixed(3)}`;
  const rows = result.scorings.map(({ name, apgr, cpt50, cpt80, cpt95, ours_less_this: less }) => [
    name, apgr.toFixed(3), percent(cpt50), percent(cpt80), percent(cpt95),
    less ? `${signed(less[0])} (${signed(less[1])} .. ${signed(less[2])})` : "",
  ]);
  const head = `${setting}: ${result.rows} prompts; calibration errors ${result.calibration.map(figure).join(", ")}`;
  return `${head}\n\n${markdownTable(["", "APGR", "CPT50", "CPT80", "CPT95", "ours less this, 95 %"], rows)}`;
}

function uat(args) {
  const { status, stdout, stderr, error } = spawnSync(binary("uat"), ["router", ...args, "--json"], { encoding: "utf8", maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`uat router ${args[0]} ended with ${status}: ${error ?? stderr}`);
  return JSON.parse(stdout);
}
