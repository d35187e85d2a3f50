// Which keys are asked for, in which order: seeded, so that each run asks for the same.

/** Numbers in [0, 1): mulberry32. */
export function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Draws ranks from 0, the most frequent, by Zipf's law. */
export function zipf(ranks, exponent, random) {
  const sums = new Float64Array(ranks);
  let sum = 0;
  for (let rank = 0; rank < ranks; rank += 1) sums[rank] = sum += (rank + 1) ** -exponent;
  return () => {
    const sought = random() * sum;
    let low = 0;
    let high = ranks - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle] < sought) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

const of = (length, at) => Uint32Array.from({ length }, (_, index) => at(index));

/** Name, keys there is room for (at key and value alone), and a maker of the trace. */
export function traces() {
  const random = seeded(7);
  const rank = zipf(100_000, 0.9, random);
  return [
    ["Zipf 0.9, 100k keys, room for 2 %", 2000, () => of(1_000_000, rank)],
    ["Zipf 0.9, 100k keys, room for 10 %", 10_000, () => of(1_000_000, rank)],
    ["Zipf 0.9, 100k keys, room for 20 %", 20_000, () => of(1_000_000, rank)],
    ["Zipf 0.9, 1M keys, room for 2 %", 20_000, () => of(3_000_000, zipf(1_000_000, 0.9, random))],
    ["Zipf 0.9, a third of it scans of new keys", 5000, () => of(1_000_000, (at) => (at % 60_000 < 40_000 ? rank() : 1_000_000 + at))],
    ["Zipf 0.9, half of it keys that never return", 2000, () => of(1_000_000, (at) => (random() < 0.5 ? rank() : 1_000_000 + at))],
    ["Loop over twice what there is room for", 3000, () => of(500_000, (at) => at % 6000)],
    ["Zipf 0.9, other ranks after each 200k reads", 2000, () => of(1_000_000, (at) => (rank() + 20_011 * Math.floor(at / 200_000)) % 100_000)],
    ["A window that moves over the keys", 4000, () => of(1_000_000, (at) => Math.max(0, Math.floor(at / 20 + Math.log(1 - random()) * 1500)))],
    ["New keys, and old ones the less the older", 5000, () => of(1_000_000, (at) => Math.floor(random() < 0.25 ? at / 4 : Math.max(0, at / 4 + 20 - 20 * (1 - random()) ** (-1 / 0.6))))],
  ];
}
