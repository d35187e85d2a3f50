// Which share of reads hits, beside LRU with the same bytes, on traces that tell policies apart.

import { describe, expect, test } from 'vitest';

import { NearTier } from '../../src/native/redis-service/near/near-tier.js';
import { type Random, seeded, zipf } from '../support/random.js';

const VALUE = 'v'.repeat(500);
const name = (key: number): string => `item:${key}`;
/** What LRU is charged for an entry: key and value alone, as if it had no overhead at all. */
const entryBytes = (key: number): number => name(key).length + VALUE.length;

/** Reads each key of the trace, and puts it after a miss. */
function nearRatio(trace: Uint32Array, maxBytes: number): number {
  const tier = new NearTier({ maxBytes, now: () => 0 });
  let hits = 0;
  for (const key of trace) {
    if (tier.get(name(key)) !== undefined) hits += 1;
    else tier.put(name(key), 'string', VALUE, Infinity);
  }
  return hits / trace.length;
}

function lruRatio(trace: Uint32Array, maxBytes: number): number {
  const entries = new Set<number>();
  let bytes = 0;
  let hits = 0;
  for (const key of trace) {
    if (entries.delete(key)) hits += 1;
    else bytes += entryBytes(key);
    entries.add(key);
    for (const oldest of entries) {
      if (bytes <= maxBytes) break;
      entries.delete(oldest);
      bytes -= entryBytes(oldest);
    }
  }
  return hits / trace.length;
}

/** Expects the tier to have a hit ratio of at least LRU's plus `points` hundredths. */
function check(makeTrace: (random: Random) => (at: number) => number, length: number, entries: number, points: number): void {
  const trace = Uint32Array.from({ length }, (_, at) => at).map(makeTrace(seeded(7)));
  const maxBytes = entries * entryBytes(10_000);
  const [near, lru] = [nearRatio(trace, maxBytes), lruRatio(trace, maxBytes)];
  expect((near - lru) * 100, `near ${near.toFixed(3)}, LRU ${lru.toFixed(3)}`).toBeGreaterThan(points);
}

const universe = 100_000;

describe('hit ratio against LRU', () => {
  test('Zipf 0.9, room for 2 %', () => check(random => zipf(universe, 0.9, random), 500_000, 2000, 7));
  test('Zipf 0.9, room for 10 %', () => check(random => zipf(universe, 0.9, random), 500_000, 10_000, 3.5));
  test('Zipf 0.9 with a scan of 20,000 new keys after each 40,000 reads', () => {
    check(random => {
      const rank = zipf(universe, 0.9, random);
      return at => (at % 60_000 < 40_000 ? rank() : universe + at);
    }, 500_000, 5000, 5);
  });
  test('a loop one and a half times as long as what there is room for', () => check(() => at => at % 6000, 200_000, 4000, 25));
  test('Zipf whose ranks all change at times', () => {
    check(random => {
      const rank = zipf(universe, 0.9, random);
      return at => (rank() + 20_011 * Math.floor(at / 100_000)) % universe;
    }, 500_000, 2000, 4);
  });
  // What is good for LRU: keys are read soon after they came, and never again.
  test('a window that moves over the keys', () => check(random => at => Math.max(0, Math.floor(at / 20 + Math.log(1 - random()) * 1500)), 300_000, 4000, -5));
  test('new keys, and old ones the less the older', () => {
    check(random => at => Math.floor(random() < 0.25 ? at / 4 : Math.max(0, at / 4 + 20 - 20 * (1 - random()) ** (-1 / 0.6))), 300_000, 2000, -4);
  });
});
