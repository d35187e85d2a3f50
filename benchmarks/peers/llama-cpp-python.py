"""Does one task of benchmarks/engine/speed.mjs with llama-cpp-python: JSON on standard input, the result on standard output."""

import json
import sys
import time
from itertools import islice

import llama_cpp

task = json.load(sys.stdin)
llama = llama_cpp.Llama(
    model_path=task["model"],
    n_ctx=task["context_tokens"],
    n_threads=task["threads"],
    n_threads_batch=task["threads"],
    verbose=False,
)


def answer(ids, most):
    # Without it, a common beginning with the prompt before would not be computed again.
    llama.reset()
    got = []
    start = time.perf_counter()
    first = start
    for token in islice(llama.generate(ids, temp=0.0), most):
        if not got:
            first = time.perf_counter()
        got.append(token)
    end = time.perf_counter()
    text = llama.detokenize(got).decode(errors="replace")
    return {"first_ms": (first - start) * 1000, "rest_ms": (end - first) * 1000, "generated": len(got), "text": text}


# The first answer of a process also reads the weights' pages and starts threads.
answer(task["prompts"][0][:32], 8)
runs = [answer(ids, task["tokens"]) for ids in task["prompts"]]
json.dump({"release": llama_cpp.__version__, "threads": llama.n_threads, "runs": runs}, sys.stdout)
