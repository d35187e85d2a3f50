import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { Draws } from '../../src/fallback/parameter-analytics/bandit/random.js';
import { StudyState } from '../../src/fallback/parameter-analytics/study/state.js';
import { createdOptions, OpenStudy } from '../../src/fallback/parameter-analytics/study/study.js';
import { ParameterAnalytics, type SearchSpace, UniversalAiError } from '../../src/index.js';
import { errorOf, thrownBy } from '../support/errors.js';

const OPTIONS = { name: 's', space: { x: { type: 'float', low: 0, high: 1 } }, directions: ['minimize'], constraints: [], sampler: 'auto', seed: 0, pruner: 'none' } as const;

function options(space: SearchSpace, seed: number): ReturnType<typeof createdOptions> {
  return createdOptions({ ...OPTIONS, directions: ['minimize'], constraints: ['c'], space, seed });
}

const RANGES = [[-1e300, 1e300], [-5, 5], [1e-300, 1e-299], [1, 1e6], [3, 3.001], [1e-12, 1e12]] as const;

/** Any space of a few parameters. */
function anySpace(draws: Draws): SearchSpace {
  const space: SearchSpace = { first: { type: 'categorical', choices: ['a', 1, true].slice(0, 1 + draws.below(3)) } };
  for (let n = draws.below(4); n >= 0; n--) {
    const [low, high] = RANGES[draws.below(RANGES.length)]!;
    const when = draws.uniform() < 0.3 ? { when: { first: 'a' } } : {};
    const log = low > 0 && draws.uniform() < 0.5 ? { log: true } : {};
    if (draws.uniform() < 0.5) space[`float ${n}`] = { type: 'float', low, high, ...log, ...when };
    else space[`int ${n}`] = { type: 'int', low: 1, high: 2 + draws.below(1_000), ...(draws.uniform() < 0.5 ? { log: true } : {}), ...when };
  }
  return space;
}

describe('a study', () => {
  it('suggests points of its space after any history', async () => {
    for (let seed = 0; seed < 12; seed++) {
      const draws = new Draws(77, seed);
      const state = new StudyState(options(anySpace(draws), seed));
      const study = new OpenStudy(state, { append() { /* Kept nowhere. */ }, close() { /* Nothing is open. */ } }, () => 0, () => { /* Nobody listens. */ });
      const value = [() => 1, () => draws.normal(), () => 1e300 * draws.normal(), () => 1e-300 * draws.normal(), () => Math.exp(700 * draws.uniform())][draws.below(5)]!;
      for (let n = 0; n < 16; n++) {
        const trials = await study.ask(1 + draws.below(2));
        for (const { id, parameters } of trials) {
          expect(() => state.space.point(parameters), JSON.stringify(parameters)).not.toThrow();
          if (draws.uniform() < 0.8) await (draws.uniform() < 0.2 ? study.tell(id, null, []) : study.tell(id, [value()], [value()]));
        }
      }
      expect(Object.values(study.importance()).every(Number.isFinite)).toBe(true);
    }
  }, 120_000);

  it('that could not be kept has not happened, and nothing is read of it', async () => {
    let isFull = false;
    const journal = { append() { if (isFull) throw new UniversalAiError('UAT_STORAGE', 'no space left'); }, close() { /* Nothing is open. */ } };
    const study = new OpenStudy(new StudyState(options({ x: { type: 'float', low: 0, high: 1 } }, 0)), journal, () => 0, () => { /* Nobody listens. */ });
    await study.ask(1);
    isFull = true;
    expect(await errorOf(study.tell(0, [1], [0]))).toMatchObject({ code: 'UAT_STORAGE' });
    isFull = false;
    expect(await errorOf(study.ask(1))).toMatchObject({ code: 'UAT_STORAGE' });
    expect(thrownBy(() => study.trials())).toMatchObject({ code: 'UAT_STORAGE' });
  });

  it('gives up trials of which nothing was heard for two heartbeats', async () => {
    const clock = { now: 0 };
    const study = new OpenStudy(new StudyState(createdOptions({ ...OPTIONS, directions: ['minimize'], constraints: [], heartbeatMs: 100 })), { append() { /* Kept nowhere. */ }, close() { /* Nothing is open. */ } }, () => clock.now, () => { /* Nobody listens. */ });
    await study.ask(2);
    clock.now = 150;
    await study.heartbeat(0);
    clock.now = 250;
    await study.ask(1);
    expect(study.trials().map(({ state }) => state)).toEqual(['running', 'failed', 'running']);
    expect(await errorOf(study.heartbeat(1))).toMatchObject({ code: 'UAT_CONFLICT' });
  });

  it('in a folder that is a file says so', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'uat-study-'));
    const file = join(folder, 'file');
    writeFileSync(file, '');
    process.env['UAT_BACKEND'] = 'typescript';
    const analytics = new ParameterAnalytics({ storage: file });
    delete process.env['UAT_BACKEND'];
    for (const call of [analytics.createStudy({ name: 's', space: { x: { type: 'float', low: 0, high: 1 } } }), analytics.optimize({ model: 'm', taskType: 't' })]) {
      expect(await errorOf(call)).toMatchObject({ code: 'UAT_STORAGE' });
    }
    await analytics.close();
    rmSync(folder, { recursive: true, force: true });
  });
});
