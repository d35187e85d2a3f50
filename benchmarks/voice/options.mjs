// What the benchmarks of speech are told beside their parts.

import os from "node:os";
import path from "node:path";

/** As `parseArgs` has them. FOLDER is CTranslate2's conversion of a Whisper model with its config.json and vocabulary, which the peer wants; both sides read its model.bin. */
export const own = {
  model: { type: "string" },
  silero: { type: "string", default: path.join(os.homedir(), ".cache/uat/models/silero_vad_16k_op15.onnx") },
};

export const usage = "--model FOLDER [--silero FILE]";
