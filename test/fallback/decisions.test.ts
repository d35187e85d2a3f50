import { describe, expect, it } from 'vitest';

import { PeakEwma, peakEwma, powerOfTwo } from '../../src/fallback/fast-llm-coordinator/balance.js';
import { Breaker, RetryBudget } from '../../src/fallback/fast-llm-coordinator/breaker.js';
import { nearestFew } from '../../src/fallback/fast-llm-coordinator/nearest.js';
import { choose, type Contender } from '../../src/fallback/fast-llm-coordinator/select.js';
import { seeded } from '../support/random.js';

describe('the estimate of an endpoint’s latency', () => {
  it('believes a peak at once', () => {
    const ewma = new PeakEwma(30, 10_000, 0);
    ewma.observe(20, 10);
    ewma.observe(400, 20);
    expect(ewma.at(20)).toBe(400);
  });

  it('forgets it within a few time constants', () => {
    const ewma = new PeakEwma(30, 1_000, 0);
    ewma.observe(400, 0);
    expect(ewma.at(5_000)).toBeLessThan(3);
  });

  it('takes time that runs backwards for no time', () => {
    const ewma = new PeakEwma(30, 1_000, 500);
    ewma.observe(40, 0);
    expect(ewma.at(0)).toBe(40);
  });
});

describe('the power of two choices', () => {
  it('never takes the dearest of several', () => {
    const random = seeded(1);
    for (let draw = 0; draw < 1_000; draw++) expect(powerOfTwo([1, 9, 2], random)).not.toBe(1);
  });

  it('spreads equal costs over all', () => {
    const random = seeded(2);
    const hits = [0, 0, 0, 0];
    for (let draw = 0; draw < 4_000; draw++) hits[powerOfTwo([1, 1, 1, 1], random)!]! += 1;
    expect(hits.every(hit => hit > 800 && hit < 1_200)).toBe(true);
  });

  it('has nothing to choose from nothing', () => expect(powerOfTwo([], Math.random)).toBeUndefined());
});

describe('the choice of an endpoint', () => {
  const contender = (kind: 'ready' | 'suspect' | 'quarantined' | 'full', cost: number, tried: Contender['tried'] = 'not-yet'): Contender => ({ name: '', weight: 1, inFlight: 0, availability: { kind }, cost, tried });
  const pausing = (untilMs: number): Contender => ({ name: '', weight: 1, inFlight: 0, availability: { kind: 'cooling-down', untilMs }, cost: 1, tried: 'not-yet' });

  it.each<[string, Contender[], object]>([
    ['takes the cheaper of two that are ready', [contender('ready', 2), contender('ready', 1)], { kind: 'ask', index: 1 }],
    ['takes a suspect one only when nobody else is left', [contender('suspect', 1), contender('ready', 9)], { kind: 'ask', index: 1 }],
    ['but takes it then', [contender('suspect', 1), contender('ready', 9, 'finished')], { kind: 'ask', index: 0 }],
    ['asks again only after all others', [contender('ready', 1, 'briefly'), contender('ready', 9)], { kind: 'ask', index: 1 }],
    ['but asks again then', [contender('ready', 1, 'briefly'), contender('ready', 9, 'finished')], { kind: 'ask-again', index: 0 }],
    ['waits rather than asks a suspect one', [contender('full', 1), contender('suspect', 1)], { kind: 'wait', indices: [0] }],
    ['asks a suspect one where nobody has a place', [contender('full', 1, 'turned-away'), contender('suspect', 1)], { kind: 'ask', index: 1 }],
    ['tells the shortest pause', [pausing(5_000), pausing(2_000)], { kind: 'nobody', why: 'cooling-down', pauseMs: 2_000 }],
    ['waits for those at their limit before it asks again or gives up', [contender('full', 1), contender('quarantined', 1), contender('ready', 1, 'briefly'), contender('full', 9)], { kind: 'wait', indices: [0, 3] }],
    ['says when all were tried', [contender('ready', 1, 'finished')], { kind: 'nobody', why: 'all-tried' }],
  ])('%s', (_, options, expected) => {
    for (let seed = 0; seed < 20; seed++) expect(choose(options, 0, peakEwma, () => '', seeded(seed))).toEqual(expected);
  });
});

describe('the breaker', () => {
  const failing = (times: number): Breaker => {
    const breaker = new Breaker(0);
    for (let call = 0; call < times; call++) breaker.onFailure(0, () => 0.5);
    return breaker;
  };

  it('opens at the fifth failure in a row', () => {
    expect(failing(4).state(0)).toBe('closed');
    expect(failing(5).state(0)).toBe('open');
  });

  it('opens when half of many calls fail, without a row of failures', () => {
    const breaker = new Breaker(0);
    for (let call = 0; call < 10; call++) {
      breaker.onSuccess(0);
      breaker.onFailure(0, () => 0.5);
    }
    expect(breaker.state(0)).toBe('open');
  });

  it('closes after a probe that succeeds, and lets one probe through at a time', () => {
    const breaker = failing(5);
    expect(breaker.state(2_000)).toBe('half-open');
    breaker.onStart(2_000);
    expect(breaker.state(2_000)).toBe('probing');
    breaker.onAbandoned();
    expect(breaker.state(2_000)).toBe('half-open');
    breaker.onSuccess(2_000);
    expect(breaker.state(2_000)).toBe('closed');
    expect(breaker.failureRate()).toBe(0);
  });

  it('opens for longer after each probe that fails, but never beyond half a minute', () => {
    const breaker = failing(5);
    let now = 0;
    const lengths: number[] = [];
    for (let probe = 0; probe < 10; probe++) {
      let until = now;
      while (breaker.state(until) === 'open') until += 50;
      lengths.push(until - now);
      now = until;
      breaker.onStart(now);
      breaker.onFailure(now, () => 0.999);
    }
    expect(lengths[3]).toBeGreaterThan(lengths[0]! * 4);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(30_050);
  });
});

describe('the budget of repetitions', () => {
  it('allows a burst, then the trickle, and a fifth of the requests', () => {
    const budget = new RetryBudget(0);
    let burst = 0;
    while (budget.tryWithdraw(0)) burst += 1;
    expect(burst).toBe(100);
    expect(budget.tryWithdraw(50)).toBe(false);
    expect(budget.tryWithdraw(150)).toBe(true);
    for (let request = 0; request < 5; request++) budget.deposit(150);
    expect(budget.tryWithdraw(150)).toBe(true);
  });
});

describe('what was meant', () => {
  it.each([
    ['bnd', ['hold_ms', 'bind'], ['bind']],
    ['smollm2', ['llama3.2:3b', 'smollm2-135m'], ['smollm2-135m']],
    ['SmolLM-135M', ['smollm2-135m'], ['smollm2-135m']],
    ['bsae_url', ['name', 'base_url'], ['base_url']],
    ['llama3', ['llama2', 'qwen', 'llama3.2:3b'], ['llama3.2:3b', 'llama2']],
    ['gpt-5', ['smollm2-135m', 'bind'], []],
    ['', ['bind'], []],
  ])('by %s is found', (word, known, expected) => expect(nearestFew(word, known, 2)).toEqual(expected));
});
