import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

import { describe, expect, it } from 'vitest';

import { leastInFlight, type Option, prefixAffinity, priority, roundRobin } from '../../src/fallback/fast-llm-coordinator/balance.js';
import { loadConfig } from '../../src/fallback/fast-llm-coordinator/config.js';
import type { Endpoint } from '../../src/fallback/fast-llm-coordinator/endpoint.js';
import { Failure, refused } from '../../src/fallback/fast-llm-coordinator/failure.js';
import { History } from '../../src/fallback/fast-llm-coordinator/history.js';
import { Places } from '../../src/fallback/fast-llm-coordinator/queue.js';
import { Wiring } from '../../src/fallback/fast-llm-coordinator/wiring.js';
import { seeded } from '../support/random.js';

const options = (weights: number[], inFlight: number[] = []): Option[] => weights.map((weight, index) => ({ name: `e${index}`, weight, cost: 1, inFlight: inFlight[index] ?? 0 }));

describe('round-robin', () => {
  it('spreads as the weights say, never several times in a row where that can be avoided', () => {
    const pick = roundRobin();
    const all = options([5, 1, 1]);
    expect(Array.from({ length: 14 }, () => pick(all, () => '', () => 0)).join('')).toBe('00102000010200');
  });

  it('goes on with those that are left', () => {
    const pick = roundRobin();
    const [a, b, c] = options([1, 1, 1]) as [Option, Option, Option];
    const seen = Array.from({ length: 300 }, (_, turn) => {
      const left = turn % 2 === 0 ? [a, b, c] : [a, c];
      return left[pick(left, () => '', () => 0)]!.name;
    });
    for (const name of ['e0', 'e2']) expect(seen.filter(one => one === name).length).toBeGreaterThan(90);
  });
});

describe('least-in-flight', () => {
  it.each([[[1, 1, 1], [2, 0, 1], [1]], [[4, 1], [4, 1], [0, 1]], [[1, 1], [1, 1], [0, 1]]])('of weights %j with %j under way takes one of %j', (weights, inFlight, expected) => {
    const random = seeded(1);
    const seen = new Set(Array.from({ length: 50 }, () => leastInFlight(options(weights, inFlight), () => '', random)));
    expect([...seen].sort()).toEqual(expected);
  });
});

describe('priority', () => {
  it('takes the first', () => expect(priority(options([1, 9]), () => '', () => 0.9)).toBe(0));
});

describe('prefix-affinity', () => {
  const pick = (all: Option[], prefix: string): string => all[prefixAffinity(all, () => prefix, () => 0)]!.name;
  const prefixes = Array.from({ length: 2_000 }, (_, index) => `conversation ${index}`);

  it('sends what begins alike to the same one, and spreads the rest by weight', () => {
    const all = options([3, 1]);
    const first = prefixes.filter(prefix => pick(all, prefix) === 'e0').length;
    expect(first / prefixes.length).toBeGreaterThan(0.7);
    expect(first / prefixes.length).toBeLessThan(0.8);
    for (const prefix of prefixes.slice(0, 50)) expect(pick([...all].reverse(), prefix)).toBe(pick(all, prefix));
  });

  it('moves only what lay on the endpoint that is gone', () => {
    const all = options([1, 1, 1, 1]);
    for (const prefix of prefixes) {
      const before = pick(all, prefix);
      if (before !== 'e2') expect(pick(all.filter(({ name }) => name !== 'e2'), prefix)).toBe(before);
    }
  });

  it('never gives one much more than its share', () => {
    const all = options([1, 1, 1]);
    for (let request = 0; request < 300; request += 1) all.find(({ name }) => name === pick(all, 'always the same'))!.inFlight += 1;
    expect(Math.max(...all.map(({ inFlight }) => inFlight))).toBeLessThanOrEqual(Math.ceil(1.25 * 100) + 1);
  });
});

describe('an endpoint', () => {
  const failing = (verdict: Failure['verdict']): Failure => new Failure({ code: 'UAT_UPSTREAM', message: 'endpoint `a`: status 500', verdict, retryable: true });
  const endpoint = (more: object = {}, now = performance.now()): { one: Endpoint; now: number } => {
    const config = loadConfig({ endpoints: [{ name: 'a', protocol: 'openai', base_url: 'http://h', ...more }], models: [{ name: 'm', endpoints: [{ endpoint: 'a' }] }] }, {});
    return { one: new Wiring(config, undefined).endpoints[0]!, now };
  };

  it('that came back gets a growing share for a while', () => {
    const { one, now } = endpoint();
    expect(one.share(now)).toBe(1);
    for (let call = 0; call < 5; call += 1) one.begin(now).failure(failing({ kind: 'unhealthy' }), now);
    expect(one.availability(now).kind).toBe('suspect');
    one.begin(now + 2_000).success(now + 2_000);
    expect(one.share(now + 2_000)).toBe(0.1);
    expect(one.share(now + 17_000)).toBeCloseTo(0.5);
    expect(one.share(now + 33_000)).toBe(1);
    expect(one.cost(one.share(now + 2_000), now + 2_000)).toBeGreaterThan(one.cost(1, now + 2_000) * 9);
  });

  it('remembers how it fell ill and recovered', () => {
    const { one, now } = endpoint();
    for (let call = 0; call < 5; call += 1) one.begin(now).failure(failing({ kind: 'unhealthy' }), now);
    one.begin(now + 2_000).success(now + 2_000);
    expect(one.health(now + 2_000).history.map(({ from, to, reason }) => [from, to, reason])).toEqual([
      ['healthy', 'degraded', 'endpoint `a`: status 500'], ['degraded', 'open', 'endpoint `a`: status 500'], ['open', 'half-open', 'the next request is a probe'], ['half-open', 'healthy', 'it answers'],
    ]);
  });

  it('reads its key again after it was refused', () => {
    const folder = mkdtempSync(join(tmpdir(), 'uat-test-'));
    const file = join(folder, 'key');
    try {
      writeFileSync(file, 'old\n');
      const { one, now } = endpoint({ api_key_file: file });
      one.begin(now).failure(failing({ kind: 'quarantine' }), now);
      writeFileSync(file, 'new\n');
      expect(one.availability(now + 59_000).kind).toBe('quarantined');
      one.begin(now + 61_000);
      expect(one.headers).toEqual({ authorization: 'Bearer new' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the history of states', () => {
  it('keeps the last sixteen changes', () => {
    const history = new History();
    for (let at = 0; at < 40; at += 1) history.note(at % 2 === 0 ? 'open' : 'healthy', String(at), at);
    expect(history.changes().map(({ at }) => at)).toEqual(Array.from({ length: 16 }, (_, index) => index + 24));
  });

  it('notes nothing that does not change', () => {
    const history = new History();
    history.note('healthy', 'as before', 0);
    expect(history.changes()).toEqual([]);
  });
});

describe('a pause that an endpoint asks for', () => {
  const now = Date.UTC(2026, 0, 1);
  it.each<[string, string | undefined, string, number]>([
    ['in seconds', '5', '', 5_000], ['in parts of a second', '0.5', '', 500], ['until a date', 'Thu, 01 Jan 2026 00:00:07 GMT', '', 7_000], ['until a date that has passed', 'Thu, 01 Jan 2025 00:00:00 GMT', '', 0],
    ['until a date in an older form', 'Thursday, 01-Jan-26 00:00:07 GMT', '', 7_000], ['until a date in the oldest form', 'Thu Jan  1 00:00:07 2026', '', 7_000],
    ['without a time', undefined, '', 1_000], ['in words', 'soon', '', 1_000], ['by a negative number', '-5', '', 1_000], ['by a date that is none', 'Thu, 99 Jan', '', 1_000],
    ['in Google’s words', undefined, '{"error":{"code":429,"details":[{"@type":"x","retryDelay":"34.5s"}]}}', 34_500],
  ])('%s', (_, header, body, pauseMs) => expect(refused('a', 429, body, header === undefined ? {} : { 'retry-after': header }, now).verdict).toEqual({ kind: 'cool-down', pauseMs }));

  it('in milliseconds is finer, and comes first', () => {
    expect(refused('a', 429, '', { 'retry-after': '2', 'retry-after-ms': '1500' }, now).verdict).toEqual({ kind: 'cool-down', pauseMs: 1_500 });
  });
});

describe('the line before an endpoint', () => {
  it('expects the turn of one who comes by what others took', () => {
    const line = new Places(2, 10);
    expect(line.expectedMs).toBeUndefined();
    line.took(800);
    expect(line.expectedMs).toBe(400);
    line.took(1_600);
    expect(line.expectedMs).toBe(450);
  });
});
