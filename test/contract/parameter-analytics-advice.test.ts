import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from 'vitest';

import { type OptimizeRequest, type Outcome, ParameterAnalytics, type ParameterValues, type SearchSpace } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf } from '../support/errors.js';

const REQUEST: OptimizeRequest = { model: 'gpt-4', taskType: 'code-generation', constraints: { maxLatency: 1_000 } };
const SPACE: SearchSpace = { heat: { type: 'float', low: 0, high: 1 }, length: { type: 'int', low: 50, high: 4_000, log: true }, style: { type: 'categorical', choices: ['plain', 'terse'] } };

/** A repeatable noise of about -1 to 1. */
const noise = (n: number): number => Math.sin(n * 12.9898) * Math.cos(n * 78.233);

eachBackend(() => {
  const open: ParameterAnalytics[] = [];
  const folders: string[] = [];
  const analytics = (storage = ':memory:', seed = 0): ParameterAnalytics => {
    open.push(new ParameterAnalytics({ storage, seed }));
    return open.at(-1)!;
  };
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
    for (const one of folders.splice(0)) rmSync(one, { recursive: true, force: true });
  });

  describe('optimize', () => {
    it('begins with usual parameters and says that nothing is known', async () => {
      const advice = await analytics().optimize(REQUEST);
      expect(advice).toMatchObject({ source: 'prior', observations: 0, trialId: expect.any(String) as string });
      expect(advice.parameters).toMatchObject({ temperature: expect.any(Number) as number });
      expect(advice.feasibleProbability).toSatisfy((chance: number) => chance >= 0 && chance <= 1);
    });

    it('learns what is good and keeps within a limit on the latency', async () => {
      const learning = analytics(':memory:', 4);
      const request: OptimizeRequest = { model: 'm', taskType: 't', space: SPACE, constraints: { maxLatency: 900 } };
      // The best is as long as the latency allows, at a heat of 0.3.
      const reward = ({ heat, length, style }: ParameterValues): number => 0.5 - ((heat as number) - 0.3) ** 2 + 0.1 * Math.log10(length as number) + (style === 'terse' ? 0.1 : 0);
      const latency = ({ length }: ParameterValues): number => 100 + (length as number);
      const late: { reward: number; latency: number }[] = [];
      let source = '';
      for (let n = 0; n < 400; n++) {
        const advice = await learning.optimize(request);
        const found = { reward: reward(advice.parameters), latency: latency(advice.parameters) * (1 + 0.1 * noise(n)) };
        await learning.record({ trialId: advice.trialId, reward: found.reward + 0.05 * noise(n + 0.5), latencyMs: found.latency });
        if (n >= 300) late.push(found);
        source = advice.source;
      }
      expect(source).toBe('bayesian');
      expect(late.filter(({ latency }) => latency > 900).length).toBeLessThanOrEqual(10);
      const best = reward({ heat: 0.3, length: 720, style: 'terse' });
      expect(late.reduce((sum, { reward }) => sum + reward, 0) / late.length).toBeGreaterThan(0.93 * best);
      const recommended = await learning.optimize({ ...request, mode: 'recommend' });
      expect(recommended.feasibleProbability).toBeGreaterThan(0.9);
      expect(recommended.parameters['style']).toBe('terse');
      expect((await learning.optimize({ ...request, mode: 'recommend' })).parameters).toEqual(recommended.parameters);
      // The same data under a limit that is never met: said, not hidden.
      expect((await learning.optimize({ ...request, constraints: { maxLatency: 50 }, mode: 'recommend' })).feasibleProbability).toBeLessThan(0.1);
    }, 60_000);

    it('counts errors against what led to them', async () => {
      const learning = analytics();
      const request: OptimizeRequest = { model: 'm', taskType: 't', space: { mode: { type: 'categorical', choices: ['broken', 'sound'] } } };
      for (let n = 0; n < 60; n++) {
        const { trialId, parameters } = await learning.optimize(request);
        await learning.record(parameters['mode'] === 'broken' ? { trialId, error: 'context length exceeded' } : { trialId, reward: 0.4 });
      }
      expect((await learning.optimize({ ...request, mode: 'recommend' })).parameters).toEqual({ mode: 'sound' });
    });

    it.each([
      [{ ...REQUEST, model: '' }, 'model'],
      [{ model: 'm' }, 'taskType'],
      [{ ...REQUEST, mode: 'guess' }, 'mode'],
      [{ ...REQUEST, constraints: { maxLatency: -1 } }, 'maxLatency'],
      [{ ...REQUEST, constraints: { maxlatency: 1 } }, 'maxlatency'],
      [{ ...REQUEST, space: { x: { type: 'float', low: 2, high: 1 } } }, 'x'],
      [{ ...REQUEST, context: { size: NaN } }, 'size'],
    ])('refuses %j', async (request, field) => {
      const error = await errorOf(analytics().optimize(request as OptimizeRequest));
      expect(error.code).toBe('UAT_INVALID_INPUT');
      expect(error.message).toContain(field);
    });
  });

  describe('record', () => {
    it('takes one outcome for each recommendation, also after a restart', async () => {
      folders.push(mkdtempSync(join(tmpdir(), 'uat-advice-')));
      const storage = folders.at(-1)!;
      const first = analytics(storage);
      const { trialId } = await first.optimize(REQUEST);
      await first.close();
      const second = analytics(storage);
      await second.record({ trialId, reward: 0.9, latencyMs: 640 });
      expect(await errorOf(second.record({ trialId, reward: 0.9 }))).toMatchObject({ code: 'UAT_CONFLICT' });
      expect((await second.optimize(REQUEST)).observations).toBe(1);
      await second.close();
      expect(await errorOf(analytics(storage).record({ trialId, reward: 0.1 }))).toMatchObject({ code: 'UAT_CONFLICT' });
    });

    it('knows no trial that was never asked for', async () => {
      expect(await errorOf(analytics().record({ trialId: 'nobody', reward: 1 }))).toMatchObject({ code: 'UAT_NOT_FOUND' });
    });

    it.each([[{ trialId: '' }, 'trialId'], [{ trialId: 'x', reward: NaN }, 'reward'], [{ trialId: 'x', latencyMs: -1 }, 'latencyMs'], [{ trialId: 'x', error: 7 }, 'error'], [{ trialId: 'x', latency: 7 }, 'latency']])('refuses %j', async (outcome, field) => {
      expect(await errorOf(analytics().record(outcome as Outcome))).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field: `outcome.${field}` } });
    });
  });

  it('tells the performance of each model and kind of task', async () => {
    const told = analytics();
    expect(await told.performance()).toEqual([]);
    const before = Date.now();
    for (let n = 1; n <= 20; n++) {
      for (const model of ['b', 'a']) {
        const { trialId } = await told.optimize({ model, taskType: 't' });
        await told.record(n === 20 ? { trialId, error: 'gone' } : { trialId, reward: 0.5, latencyMs: n, costUsd: 0.25 });
      }
    }
    const [a, b] = await told.performance();
    expect(a).toMatchObject({ model: 'a', taskType: 't', trials: 20, errors: 1, latencyP50: 10, latencyP95: 19, costUsd: 19 * 0.25 });
    expect(a!.rewardMean).toBeCloseTo(0.5, 9);
    expect(a!.best).toMatchObject({ temperature: expect.any(Number) as number });
    expect(b!.model).toBe('b');
    expect(await told.performance({ model: 'b', sinceMs: before })).toHaveLength(1);
    expect(await told.performance({ sinceMs: Date.now() + 1_000 })).toEqual([]);
    expect(await told.performance({ taskType: 'other' })).toEqual([]);
  });

  it('is closed, and says so', async () => {
    const closed = analytics();
    await closed.close();
    await closed.close();
    for (const call of [closed.optimize(REQUEST), closed.record({ trialId: 'x' }), closed.performance()]) expect(await errorOf(call)).toMatchObject({ code: 'UAT_CLOSED' });
  });
});
