// Words beside faster-whisper int8: errors, times of words, sounds without speech, speed.

import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { atMost, exactly, shown } from "../measure/goals.mjs";
import { figure, markdownTable } from "../measure/report.mjs";
import { python, speech } from "./peers.mjs";

export const title = "Words beside faster-whisper";

/** Of faster-whisper's CPU time, by clip. */
const GOALS = { "3 s": 0.1, "10 s": 0.2, "44 s": 0.5 };

export async function run({ program, model, silero, quick }) {
  if (model === undefined) throw new Error("--model FOLDER is missing");
  const { sphinx, moonshine } = speech();
  const folder = mkdtempSync(path.join(os.tmpdir(), "bench-voice-"));
  const args = [program("transcribe"), program("hear"), model, silero, sphinx, moonshine, path.join(folder, "out.json")];
  const found = await python("words.py", [...args, ...(quick ? ["--quick"] : [])]).finally(() => rmSync(folder, { recursive: true }));
  const rates = [1, 5].flatMap((beam) => ["recorded", "changed", "synthetic"].map((group) => ({ beam, group, ...found[`beam_${beam}`][group] })));
  const times = found.beam_5.word_times;
  const range = ([from, to]) => `${figure(from)} .. ${figure(to)}`;
  return {
    rounds: found.speed[0].rounds.length,
    raw: found.speed.flatMap(({ clip, threads, rounds }) => rounds.map(([ours, theirs, ours_wall, theirs_wall]) => ({ clip, threads, ours, theirs, ours_wall, theirs_wall }))),
    files: { "found.json": `${JSON.stringify(found, null, 1)}\n` },
    claims: [
      ...rates.map((row) => atMost(`${row.group}, beam ${row.beam}: words wrong of 100, beyond faster-whisper's ${figure(row.faster_whisper)}`, 0, [row.ours - row.faster_whisper])),
      ...found.speed.filter(({ threads }) => threads === 1).map((row) => atMost(`${row.clip}, beam 5: CPU time of one thread, of faster-whisper's`, GOALS[row.clip], [row.cpu_ratio])),
      ...found.speed.filter(({ threads }) => threads === 2).map((row) => shown(`${row.clip}, beam 5: wall time of two threads, of faster-whisper's`, [row.wall_ratio])),
      atMost("time of a word, median error, ms", 50, [times.ours.median_ms]),
      shown("the same with faster-whisper, ms", [times.faster_whisper.median_ms]),
      exactly(`of ${found.no_speech["voice-processing"].clips} clips without speech, those with words`, 0, found.no_speech["voice-processing"].with_words),
    ],
    tables: [
      markdownTable(["clips", "beam", "ours", "95 %", "faster-whisper", "95 %", "difference, 95 %"], rates.map((row) => [row.group, row.beam, figure(row.ours), range(row.ours_95), figure(row.faster_whisper), range(row.faster_whisper_95), range(row.difference_95)])),
      markdownTable(["clips without speech", "clips", "with words"], Object.entries(found.no_speech).map(([name, row]) => [name, row.clips, row.with_words])),
      markdownTable(["clip", "threads", "CPU s, ours", "faster-whisper", "wall s, ours", "faster-whisper"], found.speed.map((row) => [row.clip, row.threads, ...["ours_cpu_s", "faster_whisper_cpu_s", "ours_wall_s", "faster_whisper_wall_s"].map((name) => figure(row[name]))])),
    ],
    notes: [
      "Intervals are of 2,000 samples of clips with a fixed seed. The recorded clips are eleven; the changed ones are the same faster, slower and with white noise 15 dB below, and are no new speech.",
      "How much silence the encoder hears was chosen on these clips; `found.json` has the errors of even and odd clips apart.",
    ],
  };
}
