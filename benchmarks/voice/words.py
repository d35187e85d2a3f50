"""Words beside faster-whisper int8, in one run: speed, word error rate, word times, and what becomes of noise.

`words.py TRANSCRIBE MODEL_FOLDER POCKETSPHINX_SDIST_FOLDER MOONSHINE_ASSETS_FOLDER OUT.json [--threads 2] [--rounds 5] [--beam 5]`

TRANSCRIBE is the crate's example (`cargo build --release -p whisper --example transcribe`); both sides read the same model.bin.
The folders are the unpacked pocketsphinx 5.1.1 sdist and moonshine-voice 0.1.5 wheel. Needs espeak-ng and sox. Both sides take turns, so
that what else the machine does meets both.
"""

import argparse
import difflib
import glob
import json
import os
import re
import subprocess
import tempfile
import time

import numpy as np
import soundfile

RATE = 16_000
NUMBERS = "zero one two three four five six seven eight nine ten".split()
SPOKEN = [
    "The meeting starts at half past nine in the morning.", "Please send the report to the office before Friday.",
    "Rivers carry sand and stones down to the sea.", "She opened the window and looked out at the garden.",
    "The train to the city leaves from platform four.", "A good engineer measures before she changes anything.",
    "We walked along the beach until the sun went down.", "The doctor asked him to take the medicine every day.",
    "Nobody knew why the old clock had stopped.", "My brother bought a new bicycle last summer.",
    "The children were playing football behind the school.", "Water boils faster at the top of a mountain.",
    "They painted the kitchen yellow and the door green.", "Can you tell me the way to the railway station?",
    "The library is closed on Sundays and holidays.", "He wrote a long letter to his mother.",
    "Cold winds from the north brought snow and ice.", "The bread is in the oven and will be ready soon.",
    "Our neighbours have three cats and a small dog.", "Music was coming from the house across the street.",
]


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


def clips(sphinx, moonshine, folder):
    """Name, file and text of each clip of speech; then of a long one without a text."""
    data = os.path.join(sphinx, "test", "data")
    for wav in sorted(glob.glob(os.path.join(data, "librivox", "*.wav"))):
        yield os.path.basename(wav), wav, open(wav[:-4] + ".txt").read()
    for line in open(os.path.join(data, "cards", "cards.transcription")):
        text, name = re.match(r"<s>(.*)</s> \((.*)\)", line).groups()
        yield "card-" + name, os.path.join(data, "cards", name + ".wav"), text
    yield "beckett", os.path.join(moonshine, "beckett.wav"), "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
    for number, text in enumerate(SPOKEN):
        raw, wav = os.path.join(folder, "raw.wav"), os.path.join(folder, f"espeak-{number:02}.wav")
        voice = ["en-us", "en-gb"][number % 2]
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(140 + number), "-w", raw, text], check=True)
        subprocess.run(["sox", "-D", raw, "-r", str(RATE), "-c", "1", "-b", "16", wav, "gain", "-3", "rate"], check=True)
        yield f"espeak-{number:02}", wav, text


def noises(folder):
    """50 clips in which nobody speaks, 2 to 10 s long, from seeds."""
    for seed in range(50):
        random = np.random.default_rng(seed)
        count = int(RATE * random.uniform(2, 10))
        t = np.arange(count) / RATE
        kind = ["silence", "white", "pink", "hum", "tones", "chords"][seed % 6]
        if kind == "silence":
            sound = random.normal(0, 1e-5 * (seed % 12 > 5), count)
        elif kind == "white":
            sound = random.normal(0, 10 ** random.uniform(-3, -1), count)
        elif kind == "pink":
            spectrum = np.fft.rfft(random.normal(0, 1, count)) / np.sqrt(np.arange(count // 2 + 1) + 1)
            sound = np.fft.irfft(spectrum, count)
            sound *= 0.1 / np.abs(sound).max()
        elif kind == "hum":
            sound = sum(0.1 / k * np.sin(2 * np.pi * 50 * k * t) for k in range(1, 6)) + random.normal(0, 1e-3, count)
        elif kind == "tones":
            sound = 0.2 * np.sin(2 * np.pi * random.uniform(200, 2000) * t) * (np.sin(2 * np.pi * random.uniform(0.3, 3) * t) > 0)
        else:
            chord = (t * 2).astype(int)
            roots = 220 * 2 ** (random.integers(0, 12, chord.max() + 1) / 12)
            sound = sum(0.08 * np.sin(2 * np.pi * roots[chord] * step * t) for step in (1, 1.26, 1.5)) * np.exp(-3 * (t * 2 % 1))
        wav = os.path.join(folder, f"noise-{seed:02}-{kind}.wav")
        soundfile.write(wav, sound.astype(np.float32), RATE, subtype="PCM_16")
        yield f"{seed:02}-{kind}", wav


def ours(options, wavs, *flags):
    run = subprocess.run([options.transcribe, options.model, *wavs, "--threads", str(options.threads), "--beam", str(options.beam), *flags], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in run.stdout.splitlines()][1:]


def speed(options, peer, folder):
    """Median and least time of each side, in turns."""
    long = os.path.join(folder, "long.wav")
    subprocess.run(["sox", "-D", os.path.join(options.moonshine, "two_cities.wav"), "-r", str(RATE), "-c", "1", "-b", "16", long, "gain", "-1", "rate"], check=True)
    short = glob.glob(os.path.join(options.sphinx, "test", "data", "librivox", "*0880.wav"))[0]
    for name, wav in [("3 s", short), ("10 s", os.path.join(options.moonshine, "beckett.wav")), ("44 s", long)]:
        theirs, own = [], []
        for _ in range(options.rounds):
            from_ = time.perf_counter()
            list(peer.transcribe(wav, beam_size=options.beam, language="en")[0])
            theirs.append(time.perf_counter() - from_)
            # The first of a process is cold.
            own.append(min(ours(options, [wav], "--repeat", "2")[0]["took_s"]))
        ratio = np.median(own) / np.median(theirs)
        yield {"clip": name, "ours_s": sorted(own), "faster_whisper_s": sorted(theirs), "ratio_of_medians": ratio, "ratio_of_least": min(own) / min(theirs)}


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


def main():
    parser = argparse.ArgumentParser()
    for name in ["transcribe", "model", "sphinx", "moonshine", "out"]:
        parser.add_argument(name)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beam", type=int, default=5)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    from faster_whisper import WhisperModel, __version__

    peer = WhisperModel(options.model, device="cpu", compute_type="int8", cpu_threads=options.threads)
    result = {"faster_whisper": __version__, "threads": options.threads, "beam": options.beam, "load_average": os.getloadavg()}
    with tempfile.TemporaryDirectory() as folder:
        all_clips = list(clips(options.sphinx, options.moonshine, folder))
        found = ours(options, [wav for _, wav, _ in all_clips], "--words")
        pairs, texts, spoken, theirs_spoken = [], [], {}, {}
        for (name, wav, text), own in zip(all_clips, found):
            segments = list(peer.transcribe(wav, beam_size=options.beam, language="en", word_timestamps=True)[0])
            theirs = "".join(segment.text for segment in segments)
            reference = words_of(text)
            pairs.append([errors(reference, words_of(own["text"])), errors(reference, words_of(theirs)), len(reference)])
            texts.append({"clip": name, "reference": text.strip(), "ours": own["text"], "faster_whisper": theirs.strip(), "errors": pairs[-1]})
            spoken[name] = [(word["text"], word["start_ms"] / 1e3, word["end_ms"] / 1e3) for segment in own["segments"] for word in segment["words"]]
            theirs_spoken[name] = [(word.word, word.start, word.end) for segment in segments for word in segment.words]
        human = 11
        result["wer_recorded"] = interval(pairs[:human], np.random.default_rng(0))
        result["wer_synthetic"] = interval(pairs[human:], np.random.default_rng(0))
        result["word_times"] = {"ours": time_errors(options.sphinx, spoken), "faster_whisper": time_errors(options.sphinx, theirs_spoken)}
        result["texts"] = texts
        keep(options, result)
        result["speed"] = list(speed(options, peer, folder))
        result["load_average_after"] = os.getloadavg()
        keep(options, result)
        quiet = list(noises(folder))
        heard = ours(options, [wav for _, wav in quiet])
        result["noise"] = {"clips": len(quiet), "with_words": sum(bool(words_of(clip["text"])) for clip in heard), "texts": {name: clip["text"] for (name, _), clip in zip(quiet, heard) if clip["text"]}}
    keep(options, result)
    print(json.dumps({name: value for name, value in result.items() if name != "texts"}, indent=1))


if __name__ == "__main__":
    main()
