import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from 'vitest';

import { type BanditOptions, ParameterAnalytics } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf, thrownBy } from '../support/errors.js';

interface Case {
  options: Omit<BanditOptions, 'name'>;
  firstId: string;
  rewards: number[];
  arms: string;
  probabilities: number[];
  /** Mean, deviation, pulls and probability of being the best of each arm. */
  posteriors: [number, number, number, number][][];
  contexts?: number[][];
}

const vectors = JSON.parse(readFileSync(new URL('vectors/parameter-analytics-bandits.json', import.meta.url), 'utf8')) as { lag: number; lost: number; noted: number; weighed: number; cases: Case[] };

eachBackend(backend => {
  const open: ParameterAnalytics[] = [];
  const folders: string[] = [];
  const analytics = (storage?: string): ParameterAnalytics => {
    const made = new ParameterAnalytics({ storage: storage ?? ':memory:', seed: 0 });
    open.push(made);
    return made;
  };
  const folder = (): string => {
    folders.push(mkdtempSync(join(tmpdir(), 'uat-bandit-')));
    return folders.at(-1)!;
  };
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
    for (const one of folders.splice(0)) rmSync(one, { recursive: true, force: true });
  });
  const bandit = (options: Partial<BanditOptions> = {}) => analytics().bandit({ name: 'b', arms: ['short', 'long'], ...options });

  it('says which backend answers', () => {
    expect(analytics().backend.kind).toBe(backend);
  });

  describe('the same seed and calls give the arms, decision ids and posteriors of the vectors', () => {
    it.each(vectors.cases)('$options.policy, $options.reward, discount $options.discount, $options.contextDims features', ({ options, firstId, rewards, arms, probabilities, posteriors, contexts }) => {
      const played = bandit(options);
      const ids: string[] = [];
      for (const [number, arm] of [...arms].entries()) {
        const decision = played.select(contexts === undefined ? undefined : Float64Array.from(contexts[number]!));
        expect([number, decision.arm, decision.decisionId]).toEqual([number, arm, firstId.replace(/0$/, String(number))]);
        if (number % vectors.weighed === 0) expect(decision.probability).toBe(probabilities[number / vectors.weighed]!);
        ids.push(decision.decisionId);
        const due = number - vectors.lag;
        if (due >= 0 && due % vectors.lost !== 0) played.reward(ids[due]!, rewards[due]!);
        if ((number + 1) % vectors.noted !== 0) continue;
        const expected = posteriors[(number + 1) / vectors.noted - 1]!;
        for (const [place, { mean, std, pulls, probabilityBest }] of Object.values(played.posterior()).entries()) {
          expect([mean, std, pulls, probabilityBest]).toEqual(expected[place]);
        }
      }
    });
  });

  it('finds the better arm', () => {
    const played = bandit({ policy: 'top-two-thompson' });
    for (let n = 0; n < 500; n++) {
      const { arm, decisionId } = played.select();
      played.reward(decisionId, arm === 'long' ? Number(n % 10 !== 0) : Number(n % 5 === 0));
    }
    expect(played.posterior()['long']!.probabilityBest).toBeGreaterThan(0.99);
    expect(played.select()).toMatchObject({ arm: 'long', probability: 1 });
  });

  it('with a discount, follows rewards that change', () => {
    const late = (discount?: number): number => {
      const played = bandit(discount === undefined ? {} : { discount });
      let chosen = 0;
      for (let n = 0; n < 1_000; n++) {
        const { arm, decisionId } = played.select();
        if (n >= 600 && arm === 'short') chosen += 1;
        played.reward(decisionId, Number((arm === 'long') === n < 500));
      }
      return chosen / 400;
    };
    expect(late(0.98)).toBeGreaterThan(0.8);
    expect(late(0.98)).toBeGreaterThan(late());
  });

  it('counts a reward once, and only for its own decision', () => {
    const played = bandit();
    const { decisionId } = played.select();
    const foreign = bandit({ name: 'other', seed: 7 }).select().decisionId;
    played.reward(decisionId, 1);
    expect(thrownBy(() => played.reward(decisionId, 1))).toMatchObject({ code: 'UAT_CONFLICT' });
    expect(thrownBy(() => played.reward(foreign, 1))).toMatchObject({ code: 'UAT_NOT_FOUND' });
    expect(thrownBy(() => played.reward(decisionId.replace(/0$/, '1'), 1))).toMatchObject({ code: 'UAT_NOT_FOUND' });
    expect(thrownBy(() => played.reward('nonsense', 1))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
    expect(Object.values(played.posterior()).reduce((sum, { pulls }) => sum + pulls, 0)).toBe(1);
  });

  it.each([NaN, Infinity, -0.1, 1.1])('refuses a reward of %d, and the decision still waits', reward => {
    const played = bandit();
    const { decisionId } = played.select();
    expect(thrownBy(() => played.reward(decisionId, reward))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
    played.reward(decisionId, 1);
  });

  it('refuses a context that the policy has no use for, or that does not fit', () => {
    expect(thrownBy(() => bandit().select(new Float64Array(1)))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
    const linear = bandit({ policy: 'lin-thompson', contextDims: 2 });
    for (const context of [undefined, new Float64Array(3), Float64Array.of(1, NaN), Float64Array.of(1, 1_025)]) {
      expect(thrownBy(() => linear.select(context))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
    }
    expect(thrownBy(() => linear.select([1, 2] as unknown as Float64Array)).message).toContain('Float64Array');
  });

  it.each([
    [{ arms: [] }, 'options.arms'],
    [{ arms: ['a', 'a'] }, 'options.arms[1]'],
    [{ policy: 'best' }, 'options.policy'],
    [{ policy: 'lin-thompson' }, 'options.contextDims'],
    [{ contextDims: 2 }, 'options.contextDims'],
    [{ discount: 1 }, 'options.discount'],
    [{ discount: 0.9, policy: 'top-two-thompson' }, 'options.discount'],
    [{ seed: -1 }, 'options.seed'],
    [{ name: '' }, 'options.name'],
    [{ arm: 'x' }, 'options.arm'],
  ])('refuses %j, naming the option', (options, field) => {
    const error = thrownBy(() => bandit(options as Partial<BanditOptions>));
    expect(error).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field } });
  });

  it('says that exp3 is not supported', () => {
    expect(thrownBy(() => bandit({ policy: 'exp3' }))).toMatchObject({ code: 'UAT_UNSUPPORTED' });
  });

  it('is one bandit for all who ask for it alike, and a conflict for those who ask otherwise', () => {
    const shared = analytics();
    const [one, other] = [shared.bandit({ name: 'b', arms: ['x', 'y'] }), shared.bandit({ name: 'b', arms: ['x', 'y'] })];
    other.reward(one.select().decisionId, 1);
    expect(thrownBy(() => shared.bandit({ name: 'b', arms: ['x', 'y'], reward: 'gaussian' }))).toMatchObject({ code: 'UAT_CONFLICT' });
  });

  it('goes on with what was flushed, and never takes an old decision for a new one', async () => {
    const [storage, options] = [folder(), { name: 'what / ever', arms: ['x', 'y'], discount: 0.99 }];
    const before = analytics(storage);
    const first = before.bandit(options);
    const waiting = first.select().decisionId;
    for (let n = 0; n < 50; n++) first.reward(first.select().decisionId, n % 2);
    await first.flush();
    const expected = first.posterior();
    await before.close();
    const second = analytics(storage).bandit(options);
    await second.flush();
    expect(second.posterior()).toEqual(expected);
    second.select();
    expect(thrownBy(() => second.reward(waiting, 1))).toMatchObject({ code: 'UAT_NOT_FOUND' });
  });

  it('is closed with its analytics', async () => {
    const shared = analytics();
    const played = shared.bandit({ name: 'b', arms: ['x'] });
    expect(played.select()).toMatchObject({ arm: 'x', probability: 1 });
    await shared.close();
    expect(thrownBy(() => played.select())).toMatchObject({ code: 'UAT_CLOSED' });
    expect(await errorOf(played.flush())).toMatchObject({ code: 'UAT_CLOSED' });
    expect(thrownBy(() => shared.bandit({ name: 'b', arms: ['x'] }))).toMatchObject({ code: 'UAT_CLOSED' });
  });
});
