"""A live signal at real time: `live.py PROGRAM HEAR MODEL_FOLDER SILERO.onnx SPHINX MOONSHINE PART [--quick]`. Prints one document.

PROGRAM is the example `live` of the crate `voice-processing`, HEAR its `hear`. The signal is eleven recorded clips, with 1.2 s of silence before each.
PART: `turns` plays it once, `busy` for ten minutes beside a program that keeps one core busy, `streams` into 64 streams without words, `hour` for an hour;
`words` has 33 changed clips, too, and does not wait for the time to pass.
"""

import difflib
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import soundfile

from clips import RATE, changed, recorded
from words import errors, words_of

program, hear, model, silero, sphinx, moonshine, part = sys.argv[1:8]
quick = "--quick" in sys.argv
PAUSE = np.zeros(int(1.2 * RATE), np.int16)
# A turn begins this long before speech was found, which is when somebody begins to speak.
PRE_ROLL_MS = 300


def played(signal, *flags, words=True):
    """The events, and what it took."""
    run = subprocess.run([program, model if words else "-", silero, signal, *map(str, flags)], check=True, capture_output=True, text=True)
    *events, end = [json.loads(line) for line in run.stdout.splitlines()]
    return events, end


def text_of(events):
    return words_of(" ".join(event["text"] for event in events if event["event"] == "final"))


def turns(events):
    """Of each turn: ms from its onset to the first partial text, and from when its end was known to its last text."""
    # The last text of one may come when the next has begun.
    found, done = [], 0
    for event in events:
        kind = event["event"]
        if kind == "started":
            found.append({"onset_ms": event["at_ms"] + PRE_ROLL_MS, "first_partial_ms": None, "last_text_ms": None})
        elif kind == "partial" and found[-1]["first_partial_ms"] is None:
            found[-1]["first_partial_ms"] = event["now_ms"] - found[-1]["onset_ms"]
        elif kind == "stopped":
            found[-1]["stopped_at"] = event["now_ms"]
        elif kind == "done":
            found[done]["last_text_ms"] = event["now_ms"] - found[done].pop("stopped_at")
            done += 1
    return found


def retracted(events):
    """Words that were told to be settled and are not in the last text of their stretch, and how many were settled."""
    stretches, start = [], None
    for event in events:
        if event["event"] == "partial":
            if event["start_ms"] != start:
                start = event["start_ms"]
                stretches.append({"settled": "", "last": ""})
            stretches[-1]["settled"] = event["committed"]
        elif event["event"] == "final" and stretches:
            # The last text of a stretch comes before the first partial one of the next.
            stretches[-1]["last"] += " " + event["text"]
    wrong, count = 0, 0
    for stretch in stretches:
        settled, last = words_of(stretch["settled"]), words_of(stretch["last"])
        kept = sum(block.size for block in difflib.SequenceMatcher(None, settled, last, autojunk=False).get_matching_blocks())
        wrong, count = wrong + len(settled) - kept, count + len(settled)
    return wrong, count


def main():
    clips = list(recorded(sphinx, moonshine))
    with tempfile.TemporaryDirectory() as folder:
        if part == "words" and not quick:
            clips += changed(list(clips), folder)
        sound = np.concatenate([piece for _, wav, _ in clips for piece in (PAUSE, soundfile.read(wav, dtype="int16")[0])] + [PAUSE])
        sound = sound[: len(sound) // 320 * 320]
        signal, whole = os.path.join(folder, "signal.pcm"), os.path.join(folder, "signal.wav")
        sound.astype("<i2").tofile(signal)
        soundfile.write(whole, sound, RATE, subtype="PCM_16")
        seconds = len(sound) // RATE
        if part == "streams":
            _, end = played(signal, "--streams", 64, "--seconds", 20 if quick else 120, words=False)
            print(json.dumps(end))
            return
        reference = [word for _, _, text in clips for word in words_of(text)]
        batch = subprocess.run([hear, model, silero, whole], check=True, capture_output=True, text=True).stdout.split("\t", 1)[1]
        rounds = {"turns": 1, "words": 1, "busy": 1 if quick else -(-600 // seconds), "hour": 1 if quick else -(-3600 // seconds)}[part]
        beside = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if part == "busy" else None
        try:
            events, end = played(signal, *(["--simulated"] if part == "words" else ["--seconds", seconds * rounds]))
        finally:
            if beside:
                beside.kill()
                beside.wait()
    found, (wrong, settled) = turns(events), retracted(events)
    print(json.dumps({
        "signal_s": seconds, "rounds": rounds, "turns": found, "retracted_words": wrong, "settled_words": settled, "failed": sum(event["event"] == "failed" for event in events),
        "wrong_live": 100 * errors(reference * rounds, text_of(events)) / len(reference * rounds), "wrong_batch": 100 * errors(reference, words_of(batch)) / len(reference), **end,
    }))


main()
