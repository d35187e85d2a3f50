// What `live.py` finds, with its goals.

import { atMost, exactly, shown } from "../../measure/goals.mjs";
import { figure, markdownTable } from "../../measure/report.mjs";
import { python, speech } from "../peers.mjs";

const NOTES = [
  "Frames of 20 ms at real time into the crate `voice-processing`; onsets and ends are those of its own detector of speech: a turn begins 300 ms before the onset, so that no first sound is lost.",
  "No peer: sherpa-onnx and moonshine-voice fetch their streaming models from hosts that are no package registries.",
];

async function found(part, { program, model, silero, quick }) {
  if (model === undefined) throw new Error("--model FOLDER is missing");
  const { sphinx, moonshine } = speech();
  return await python("live.py", [program("live"), program("hear"), model, silero, sphinx, moonshine, part, ...(quick ? ["--quick"] : [])]);
}

const sorted = (turns, what) => turns.map((turn) => turn[what]).filter((value) => value !== null).sort((one, other) => one - other);
const middle = (values) => values[Math.floor(values.length / 2)];

/** What a signal with words came to. */
function heard(result) {
  const [partial, last] = [sorted(result.turns, "first_partial_ms"), sorted(result.turns, "last_text_ms")];
  return {
    rounds: result.rounds,
    raw: result.turns,
    files: { "found.json": `${JSON.stringify(result, null, 1)}\n` },
    claims: [
      atMost("first partial text after the onset, ms", 500, partial),
      shown("turns without a partial text", [result.turns.length - partial.length]),
      atMost("last text after the endpoint, ms", 150, last),
      atMost("settled words that the last text does not have, of 100", 1, [(100 * result.retracted_words) / result.settled_words]),
      atMost(`wrong words of 100, beyond the ${figure(result.wrong_batch)} of the recording as a file`, 1, [result.wrong_live - result.wrong_batch]),
      atMost("how far texts were behind, ms, most", 1_000, [result.behind_ms]),
      exactly("stretches that could not be written down", 0, result.failed),
    ],
    tables: [markdownTable(["turns", "first partial, ms: median", "longest", "last text, ms: median", "longest", "CPU s of s"], [[result.turns.length, middle(partial), partial.at(-1), middle(last), last.at(-1), `${figure(result.cpu_ms / 1e3)} of ${result.seconds}`]])],
    notes: NOTES,
  };
}

export const turns = { title: "Turns at real time", run: async (context) => heard(await found("turns", context)) };
const SIMULATED = "Frames of 20 ms without waiting for them: each text is there as much later as it kept each of two threads busy. 11 recorded clips, and 33 changed ones: slower, faster, in noise. A turn begins 300 ms before its onset.";
export const words = {
  title: "Words of a longer signal, simulated",
  async run(context) {
    const of = heard(await found("words", context));
    return { ...of, notes: [SIMULATED, ...of.notes.slice(1)] };
  },
};
export const busy = { title: "Ten minutes beside a busy core", run: async (context) => heard(await found("busy", context)) };

export const streams = {
  title: "64 streams: voice activity and endpoints",
  async run(context) {
    const end = await found("streams", context);
    return {
      rounds: 1,
      raw: [{ ...end, rss_kb: end.rss_kb.join(" ") }],
      claims: [
        atMost("CPU of two cores, percent", 50, [end.cpu_ms / end.seconds / 20]),
        exactly("frames that were heard 20 ms late or more", 0, end.late),
        shown("the latest frame, ms", [end.latest_ms]),
      ],
      tables: [],
      notes: NOTES.slice(0, 1),
    };
  },
};

export const hour = {
  title: "An hour",
  async run(context) {
    const result = await found("hour", context);
    const of = heard(result);
    // The first minutes are those in which buffers find their size.
    const [first, last] = [result.rss_kb[Math.min(9, result.rss_kb.length - 1)], result.rss_kb.at(-1)];
    return { ...of, claims: [atMost("resident memory after an hour, beyond that after five minutes, MB", 5, [(last - first) / 1e3]), ...of.claims] };
  },
};
