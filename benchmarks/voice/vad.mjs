// Silero in Rust beside ONNX Runtime.

import path from "node:path";

import { atLeast, atMost, shown } from "../measure/goals.mjs";
import { python, speech } from "./peers.mjs";

export const title = "Voice activity";

export async function run({ program, silero }) {
  const found = await python("vad.py", [program("probabilities"), silero, path.join(speech().sphinx, "test", "data", "librivox")]);
  const groups = { clean: found.clean, white_noise_0_db: found.white_noise_0_db };
  return {
    rounds: 1,
    raw: Object.entries(groups).map(([name, row]) => ({ name, ...row })).concat([{ name: "long", ...found.long }]),
    claims: [
      atMost("a window of 32 ms, us", 20, [found.long.us_per_window]),
      shown("the same with ONNX Runtime from Python, us", [found.long.us_per_window_onnxruntime]),
      atMost("largest difference from ONNX Runtime's probability", 1e-5, [found.clean, found.white_noise_0_db, found.long].map((row) => row.largest_difference)),
      atLeast("area under the curve, clean", 0.996, [found.clean.auc]),
      atLeast("area under the curve, white noise as loud as the speech", 0.98, [found.white_noise_0_db.auc]),
    ],
    tables: [],
    notes: [`${found.windows} windows, of which ${(found.speech * 100).toFixed(0)} % are speech by the alignments that come with the recordings; one thread, the best of five runs.`],
  };
}
