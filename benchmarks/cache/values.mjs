// The values that are read: strings of an exact length, and where they lie.

import { seeded } from "./traces.mjs";

/** Sizes in bytes, and how many keys hold such values: enough that no two calls under way at once have to be of one key. */
export const SIZES = { "1 KB": { bytes: 1024, keys: 1000 }, "16 KB": { bytes: 16_384, keys: 200 }, "256 KB": { bytes: 262_144, keys: 20 } };

/** Letters and digits, as base64 would give them; no value is like another. */
export function text(number, bytes) {
  const random = seeded(number + 1);
  const block = Buffer.from(Float64Array.from({ length: 96 }, random).buffer).toString("base64").slice(0, 1024);
  return Buffer.alloc(bytes, `${number}:${block}`).toString("latin1");
}

export const keyOf = (size, number) => `bench:${size}:${number % SIZES[size].keys}`;

/** Writes the values of these sizes. */
export async function fill(redis, sizes) {
  for (const size of sizes) {
    const { bytes, keys } = SIZES[size];
    for (let number = 0; number < keys; number += 1) await redis.control.set(keyOf(size, number), text(number, bytes));
  }
}
