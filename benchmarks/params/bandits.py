"""MABWiser's decisions per second, with the rewards of each: `bandits.py SECONDS` prints lines of JSON.

As its documentation has it for one decision at a time: `predict`, then `partial_fit` with that one reward.
"""

import json
import sys
import time

import numpy as np
from mabwiser.mab import MAB, LearningPolicy

ARMS, FEATURES, WARM = 10, 16, 2_000
stream = np.random.default_rng(1)
contexts = stream.uniform(-1, 1, size=(4_096, FEATURES))


def reward(arm, turn):
    """The pattern of zeros and ones of `examples/bandits.rs`."""
    return float(turn * 7_919 % 20 < 8 + arm)


def rate(name, policy, linear):
    mab = MAB(list(range(ARMS)), policy, seed=1)
    arms = stream.integers(ARMS, size=WARM)
    rewards = [reward(int(arm), turn) for turn, arm in enumerate(arms)]
    mab.fit(arms, rewards, *([contexts[:WARM]] if linear else []))
    for with_reward in (False, True):
        turns, end = 0, time.process_time() + float(sys.argv[1])
        while (now := time.process_time()) < end:
            for _ in range(10):
                context = [contexts[turns % len(contexts)][None, :]] if linear else []
                arm = mab.predict(*context)
                if with_reward:
                    mab.partial_fit([arm], [reward(arm, turns)], *context)
                turns += 1
        print(json.dumps({"policy": name, "with_reward": with_reward, "per_second": turns / (float(sys.argv[1]) + now - end)}), flush=True)


rate("thompson", LearningPolicy.ThompsonSampling(), False)
rate("lin-thompson", LearningPolicy.LinTS(alpha=1.0), True)
