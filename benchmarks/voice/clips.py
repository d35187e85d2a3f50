"""What both sides hear: recorded speech with its texts, the same faster, slower and in noise, synthetic speech, and sounds without any."""

import glob
import os
import re
import subprocess

import numpy as np
import soundfile

RATE = 16_000
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


def recorded(sphinx, moonshine):
    """Name, file and text of each recorded clip of speech."""
    data = os.path.join(sphinx, "test", "data")
    for wav in sorted(glob.glob(os.path.join(data, "librivox", "*.wav"))):
        yield os.path.basename(wav), wav, open(wav[:-4] + ".txt").read()
    for line in open(os.path.join(data, "cards", "cards.transcription")):
        text, name = re.match(r"<s>(.*)</s> \((.*)\)", line).groups()
        yield "card-" + name, os.path.join(data, "cards", name + ".wav"), text
    yield "beckett", os.path.join(moonshine, "beckett.wav"), "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."


def synthetic(folder):
    """The same of espeak-ng's voices."""
    for number, text in enumerate(SPOKEN):
        raw, wav = os.path.join(folder, "raw.wav"), os.path.join(folder, f"espeak-{number:02}.wav")
        voice = ["en-us", "en-gb"][number % 2]
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(140 + number), "-w", raw, text], check=True)
        subprocess.run(["sox", "-D", raw, "-r", str(RATE), "-c", "1", "-b", "16", wav, "gain", "-3", "rate"], check=True)
        yield f"espeak-{number:02}", wav, text


KINDS = ["silence", "white", "pink", "brown", "clicks", "hum", "tones", "chords"]


def changed(recorded, folder):
    """Recorded clips at nine and eleven and a half tenths of their speed, and with white noise 15 dB below them."""
    for name, wav, text in recorded:
        for tag, effect in [("slow", ["tempo", "-s", "0.9"]), ("fast", ["tempo", "-s", "1.15"])]:
            file = os.path.join(folder, f"{tag}-{os.path.basename(wav)}")
            subprocess.run(["sox", "-D", wav, file, "gain", "-3", *effect], check=True)
            yield f"{tag}-{name}", file, text
        sound, _ = soundfile.read(wav)
        sound = sound + np.random.default_rng(1).normal(0, sound.std() * 10 ** (-15 / 20), len(sound))
        file = os.path.join(folder, f"noisy-{os.path.basename(wav)}")
        soundfile.write(file, np.clip(sound, -1, 1), RATE, subtype="PCM_16")
        yield f"noisy-{name}", file, text


def noises(folder):
    """50 clips in which nobody speaks, 2 to 10 s long, from seeds."""
    for seed in range(50):
        random = np.random.default_rng(seed)
        count = int(RATE * random.uniform(2, 10))
        t = np.arange(count) / RATE
        kind = KINDS[seed % len(KINDS)]
        if kind == "silence":
            sound = random.normal(0, 1e-5 * (seed % 16 > 7), count)
        elif kind == "white":
            sound = random.normal(0, 10 ** random.uniform(-3, -1), count)
        elif kind == "pink":
            spectrum = np.fft.rfft(random.normal(0, 1, count)) / np.sqrt(np.arange(count // 2 + 1) + 1)
            sound = np.fft.irfft(spectrum, count)
            sound *= 0.1 / np.abs(sound).max()
        elif kind == "brown":
            sound = np.cumsum(random.normal(0, 1, count))
            sound -= np.linspace(sound[0], sound[-1], count)
            sound *= 0.3 / np.abs(sound).max()
        elif kind == "clicks":
            sound = random.normal(0, 1e-4, count)
            sound[random.integers(0, count, int(count / RATE * 4))] = random.choice([-0.7, 0.7])
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


