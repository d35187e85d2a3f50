"""Silero in Rust beside ONNX Runtime: what 32 ms cost, how far apart they are, and how well speech is told from silence.

    cargo build --release -p silero-vad --example probabilities
    pip download --no-deps --no-binary :all: pocketsphinx==5.1.1 && tar xf pocketsphinx-5.1.1.tar.gz
    python3 benchmarks/voice/vad.py PROBABILITIES MODEL.onnx pocketsphinx-5.1.1/test/data/librivox

PROBABILITIES is the example's program, MODEL.onnx what `uat models pull silero-vad-6` fetched. Needs numpy and onnxruntime. One
thread each, one after the other; the best of five runs. Labels are the word alignments: a window is speech if a word covers
more than half of it.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import wave

import numpy as np
import onnxruntime

WINDOW, RATE, RUNS = 512, 16_000, 5
program, model, folder = sys.argv[1:4]


def read(path):
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels()) == (RATE, 1)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32_768


def labels(path, windows):
    words = [word for word in json.loads(path.read_text())["w"] if word["t"] not in ("<sil>", "<s>", "</s>", "[NOISE]")]
    covered = np.zeros(windows * WINDOW, bool)
    for word in words:
        covered[int(word["b"] * RATE) : int((word["b"] + word["d"]) * RATE)] = True
    return covered.reshape(windows, WINDOW).mean(axis=1) > 0.5


def auc(scores, truth):
    """The probability that a window of speech scores higher than one of silence."""
    speech, silence = scores[truth], scores[~truth]
    return float(((speech[:, None] > silence).mean() + 0.5 * (speech[:, None] == silence).mean()))


options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def reference(signal):
    state, context, rate = np.zeros((2, 1, 128), np.float32), np.zeros((1, 64), np.float32), np.array(RATE, np.int64)
    found = []
    for window in signal.reshape(-1, 1, WINDOW):
        seen = np.concatenate([context, window], axis=1)
        probability, state = session.run(None, {"input": seen, "state": state, "sr": rate})
        context = seen[:, -64:]
        found.append(probability[0, 0])
    return np.array(found)


def ours(signal):
    with tempfile.NamedTemporaryFile(suffix=".f32") as file:
        signal.astype("<f4").tofile(file.name)
        done = subprocess.run([program, model, file.name, str(RUNS)], capture_output=True, text=True, check=True)
    return np.array([float(line) for line in done.stdout.split()]), json.loads(done.stderr)["us_per_window"]


signals, truths = [], []
for path in sorted(pathlib.Path(folder).glob("*.wav")):
    samples = read(path)
    windows = len(samples) // WINDOW
    signals.append(samples[: windows * WINDOW])
    truths.append(labels(path.with_suffix(".json"), windows))
truth = np.concatenate(truths)
random = np.random.default_rng(1)
noisy = [signal + random.normal(0, np.sqrt(np.mean(signal**2)), len(signal)).astype(np.float32) for signal in signals]

result = {"windows": len(truth), "speech": float(truth.mean())}
for name, group in (("clean", signals), ("white_noise_0_db", noisy)):
    pairs = [(ours(signal)[0], reference(signal)) for signal in group]
    mine, theirs = (np.concatenate(side) for side in zip(*pairs))
    result[name] = {
        "auc": round(auc(mine, truth), 4),
        "auc_onnxruntime": round(auc(theirs, truth), 4),
        "largest_difference": float(np.abs(mine - theirs).max()),
    }

# Minutes of it, in one stream, for time and for what adds up.
long = np.concatenate((signals + noisy) * 4)
best = float("inf")
for _ in range(RUNS):
    begun = time.perf_counter()
    theirs = reference(long)
    best = min(best, (time.perf_counter() - begun) / len(theirs) * 1e6)
mine, us = ours(long)
result["long"] = {
    "seconds": round(len(long) / RATE, 1),
    "largest_difference": float(np.abs(mine - theirs).max()),
    "us_per_window": us,
    "us_per_window_onnxruntime": round(best, 1),
}
print(json.dumps(result, indent=2))
