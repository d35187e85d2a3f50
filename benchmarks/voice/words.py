"""Words beside faster-whisper int8, in one run: word error rate greedy and at five beams, word times, what becomes of noise, and speed.

`words.py TRANSCRIBE HEAR MODEL_FOLDER SILERO.onnx SPHINX MOONSHINE OUT.json [--quick] [--rounds 5] [--parts accuracy,noise,speed]`

TRANSCRIBE and HEAR are examples of the crates `whisper` and `voice-processing`; both sides read the same model.bin. SPHINX and MOONSHINE are the
unpacked pocketsphinx 5.1.1 sdist and the `assets` of the moonshine-voice 0.1.5 wheel. Needs espeak-ng and sox. Both sides take turns, so that
what else the machine does meets both.
"""

import argparse
import difflib
import glob
import json
import os
import re
import resource
import subprocess
import tempfile
import time

import numpy as np

from clips import RATE, changed, noises, recorded, synthetic

NUMBERS = "zero one two three four five six seven eight nine ten".split()


def words_of(text):
    """Lower case without marks, titles spelt out, small numbers as words: both sides and the reference alike."""
    text = re.sub(r"[^a-z0-9' ]", " ", text.lower().replace("’", "'").replace("mr.", "mister").replace("mrs.", "misses"))
    spelt = {"mr": "mister", "neighbors": "neighbours", **{str(number): word for number, word in enumerate(NUMBERS)}}
    return [spelt.get(word, word) for word in text.split()]


def errors(reference, found):
    """Levenshtein's distance over words."""
    row = list(range(len(found) + 1))
    for i, word in enumerate(reference, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(found, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


def ours(options, wavs, beam, threads, *flags):
    run = subprocess.run([options.transcribe, options.model, *wavs, "--threads", str(threads), "--beam", str(beam), *flags], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in run.stdout.splitlines()][1:]


def cpu(act):
    """What `act` returns, its CPU seconds (those of programs that it waited for too), and its wall seconds."""
    def spent():
        return sum(resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

    from_, wall = spent(), time.perf_counter()
    result = act()
    return result, spent() - from_, time.perf_counter() - wall


def speed(options, peers, folder):
    """CPU time of each side with one thread and wall time with two, in turns."""
    long = os.path.join(folder, "long.wav")
    subprocess.run(["sox", "-D", os.path.join(options.moonshine, "two_cities.wav"), "-r", str(RATE), "-c", "1", "-b", "16", long, "gain", "-1", "rate"], check=True)
    short = glob.glob(os.path.join(options.sphinx, "test", "data", "librivox", "*0880.wav"))[0]
    for name, wav in [("3 s", short), ("10 s", os.path.join(options.moonshine, "beckett.wav")), ("44 s", long)]:
        for threads, peer in peers.items():
            rounds = []
            for _ in range(options.rounds):
                def hear():
                    return list(peer.transcribe(wav, beam_size=5, language="en")[0])
                _, theirs, theirs_wall = cpu(hear)
                # The first of a process reads the model and is cold: what four more cost is a difference of two processes.
                _, one, _ = cpu(lambda: ours(options, [wav], 5, threads))
                found, five, _ = cpu(lambda: ours(options, [wav], 5, threads, "--repeat", "5"))
                rounds.append([(five - one) / 4, theirs, float(np.median(found[0]["took_s"][1:])), theirs_wall])
            own, theirs, own_wall, theirs_wall = np.median(rounds, axis=0)
            yield {"clip": name, "threads": threads, "rounds": rounds, "ours_cpu_s": own, "faster_whisper_cpu_s": theirs, "cpu_ratio": own / theirs, "ours_wall_s": own_wall, "faster_whisper_wall_s": theirs_wall, "wall_ratio": own_wall / theirs_wall}


def interval(pairs, random):
    """Words wrong of 100, with the 95 % interval of 2,000 samples of clips; of the difference too."""
    table = np.array(pairs, dtype=float)
    picks = random.integers(0, len(table), (2_000, len(table)))
    rates = table[picks][:, :, :2].sum(1) / table[picks][:, :, 2].sum(1)[:, None] * 100
    of = lambda values: [float(value) for value in np.percentile(values, [2.5, 97.5])]
    total = table.sum(0)
    return {"ours": total[0] / total[2] * 100, "ours_95": of(rates[:, 0]), "faster_whisper": total[1] / total[2] * 100, "faster_whisper_95": of(rates[:, 1]), "difference_95": of(rates[:, 0] - rates[:, 1])}


def time_errors(sphinx, spoken):
    """Milliseconds between each word's begin and end and those of pocketsphinx's own alignment, where both have the word."""
    off = []
    for name, found in spoken.items():
        path = os.path.join(sphinx, "test", "data", "librivox", name[:-4] + ".json")
        if not os.path.exists(path):
            continue
        known = [(re.sub(r"\(\d\)", "", word["t"]), word["b"], word["b"] + word["d"]) for word in json.load(open(path))["w"]]
        known = [word for word in known if not word[0].startswith(("<", "["))]
        found = [(part, start, end) for text, start, end in found for part in words_of(text)[:1]]
        for a, b, size in difflib.SequenceMatcher(None, [word[0] for word in known], [word[0] for word in found], autojunk=False).get_matching_blocks():
            for i in range(size):
                off.append([1e3 * abs(known[a + i][1] - found[b + i][1]), 1e3 * abs(known[a + i][2] - found[b + i][2])])
    off = np.array(off)
    return {"words": len(off), "begin_median_ms": float(np.median(off[:, 0])), "end_median_ms": float(np.median(off[:, 1])), "begin_p90_ms": float(np.percentile(off[:, 0], 90)), "median_ms": float(np.median(off))}


def keep(options, result):
    """After each part, so that a run that is cut off leaves what it has."""
    with open(options.out, "w") as file:
        json.dump(result, file, indent=1)


def accuracy(options, peer, groups, beam, times):
    """Both sides' words on all groups of clips; `times` asks for word times too."""
    flat = [clip for clips_ in groups.values() for clip in clips_]
    found = iter(ours(options, [wav for _, wav, _ in flat], beam, 2, "--words"))
    result, texts, spoken = {}, [], {"ours": {}, "faster_whisper": {}}
    for group, clips_ in groups.items():
        pairs = []
        for (name, wav, text), own in zip(clips_, found):
            segments = list(peer.transcribe(wav, beam_size=beam, language="en", word_timestamps=times)[0])
            theirs = "".join(segment.text for segment in segments)
            reference = words_of(text)
            pairs.append([errors(reference, words_of(own["text"])), errors(reference, words_of(theirs)), len(reference)])
            texts.append({"clip": name, "reference": text.strip(), "ours": own["text"], "faster_whisper": theirs.strip(), "errors": pairs[-1]})
            if times:
                spoken["ours"][name] = [(word["text"], word["start_ms"] / 1e3, word["end_ms"] / 1e3) for segment in own["segments"] for word in segment["words"]]
                spoken["faster_whisper"][name] = [(word.word, word.start, word.end) for segment in segments for word in segment.words]
        result[group] = interval(pairs, np.random.default_rng(0))
        for half, part in [("even", pairs[::2]), ("odd", pairs[1::2])]:
            result[group][half] = [int(value) for value in np.sum(part, axis=0)]
    if times:
        result["word_times"] = {side: time_errors(options.sphinx, words) for side, words in spoken.items()}
    return {**result, "texts": texts}


def no_speech(options, peer, folder):
    """On how many clips without speech each side says words."""
    quiet = list(noises(folder))[:: 4 if options.quick else 1]
    wavs = [wav for _, wav in quiet]
    run = subprocess.run([options.hear, options.model, options.vad, *wavs], check=True, capture_output=True, text=True)
    said = {"voice-processing": [line.split("\t", 1)[1] for line in run.stdout.splitlines()], "whisper, no VAD": [clip["text"] for clip in ours(options, wavs, 5, 2)]}
    for name, vad in [("faster-whisper, no VAD", False), ("faster-whisper, its VAD", True)]:
        said[name] = ["".join(part.text for part in peer.transcribe(wav, beam_size=5, language="en", vad_filter=vad)[0]) for wav in wavs]
    return {name: {"clips": len(texts), "with_words": sum(bool(words_of(text)) for text in texts), "texts": {clip: text for (clip, _), text in zip(quiet, texts) if text}} for name, texts in said.items()}


def main():
    parser = argparse.ArgumentParser()
    for name in ["transcribe", "hear", "model", "vad", "sphinx", "moonshine", "out"]:
        parser.add_argument(name)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", default="accuracy,noise,speed")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 3
    from faster_whisper import WhisperModel, __version__

    peers = {threads: WhisperModel(options.model, device="cpu", compute_type="int8", cpu_threads=threads) for threads in (1, 2)}
    result = {"faster_whisper": __version__, "quick": options.quick, "load_average": os.getloadavg()}
    with tempfile.TemporaryDirectory() as folder:
        if "speed" in options.parts:
            result["speed"] = list(speed(options, peers, folder))
            keep(options, result)
        if "accuracy" in options.parts:
            clips_ = list(recorded(options.sphinx, options.moonshine))
            groups = {"recorded": clips_, "changed": list(changed(clips_, folder))[:: 3 if options.quick else 1], "synthetic": list(synthetic(folder))[:: 2 if options.quick else 1]}
            for beam in (1, 5):
                result[f"beam_{beam}"] = accuracy(options, peers[2], groups, beam, beam == 5)
                keep(options, result)
        if "noise" in options.parts:
            result["no_speech"] = no_speech(options, peers[2], folder)
    result["load_average_after"] = os.getloadavg()
    keep(options, result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
