import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from 'vitest';

import { type OptimizeRequest, ParameterAnalytics, type SearchSpace, type Study, type StudyOptions, type Trial } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf, thrownBy } from '../support/errors.js';
import support from './support.json' with { type: 'json' };

const X: SearchSpace = { x: { type: 'float', low: 0, high: 1 } };
const MIXED: SearchSpace = {
  rate: { type: 'float', low: 1e-4, high: 1, log: true },
  share: { type: 'float', low: 0, high: 1, step: 0.1 },
  layers: { type: 'int', low: 1, high: 8 },
  kind: { type: 'categorical', choices: ['plain', true, 3] },
  depth: { type: 'int', low: 1, high: 512, log: true, when: { kind: 'plain' } },
};

eachBackend(backend => {
  const open: ParameterAnalytics[] = [];
  const folders: string[] = [];
  const analytics = (storage = ':memory:'): ParameterAnalytics => {
    open.push(new ParameterAnalytics({ storage }));
    return open.at(-1)!;
  };
  const folder = (): string => {
    folders.push(mkdtempSync(join(tmpdir(), 'uat-study-')));
    return folders.at(-1)!;
  };
  const study = async (options: Partial<StudyOptions> = {}): Promise<Study> => await analytics().createStudy({ name: 's', space: X, ...options });
  const asked = async (from: Study): Promise<Trial> => (await from.ask())[0]!;
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
    for (const one of folders.splice(0)) rmSync(one, { recursive: true, force: true });
  });

  describe('what is tried', () => {
    it.each(['auto', 'gp', 'sobol', 'random'] as const)('lies in the space and is never the same twice (%s)', async sampler => {
      const tried = await study({ space: MIXED, sampler });
      const seen = new Set<string>();
      for (let n = 0; n < 30; n++) {
        const { id, parameters: { rate, share, layers, kind, depth } } = await asked(tried);
        expect(rate).toSatisfy((rate: number) => rate >= 1e-4 && rate <= 1);
        expect(share).toBe(Number((share as number).toFixed(1)));
        expect(layers).toSatisfy((layers: number) => Number.isInteger(layers) && layers >= 1 && layers <= 8);
        expect(['plain', true, 3]).toContain(kind);
        expect(depth === undefined).toBe(kind !== 'plain');
        seen.add(JSON.stringify([rate, share, layers, kind, depth]));
        await tried.tell(id, (rate as number) + (layers as number) / 8);
      }
      expect(seen.size).toBe(30);
    });

    it('comes near the best point of a smooth function', async () => {
      const tried = await study({ space: { ...X, y: { type: 'float', low: -1, high: 1 } }, directions: ['maximize'], seed: 3 });
      for (let n = 0; n < 30; n++) {
        const { id, parameters } = await asked(tried);
        await tried.tell(id, -(((parameters['x'] as number) - 0.7) ** 2) - ((parameters['y'] as number) - 0.2) ** 2);
      }
      expect(tried.best()!.values![0]).toBeGreaterThan(-1e-3);
      expect(tried.paretoFront().map(({ id }) => id)).toContain(tried.best()!.id);
    });

    it('meets constraints, and only what meets them is the best', async () => {
      const tried = await study({ constraints: ['too far'], seed: 1 });
      for (let n = 0; n < 25; n++) {
        const { id, parameters } = await asked(tried);
        await tried.tell(id, -(parameters['x'] as number), [(parameters['x'] as number) - 0.5]);
      }
      const best = tried.best()!;
      expect(best.constraintValues![0]).toBeLessThanOrEqual(0);
      expect(best.parameters['x']).toBeGreaterThan(0.49);
      expect(tried.trials().filter(({ constraintValues }) => constraintValues![0]! > 0).length).toBeLessThan(20);
    });

    it('is all of a small space, without a repetition', async () => {
      const tried = await study({ space: { a: { type: 'int', low: 0, high: 4 }, b: { type: 'categorical', choices: ['x', 'y'] } }, sampler: 'random' });
      expect(new Set((await tried.ask(10)).map(({ parameters }) => JSON.stringify(parameters))).size).toBe(10);
      expect(await tried.ask(2)).toHaveLength(2);
    });

    it('is the same for the same seed and tells', async () => {
      const points = async (): Promise<unknown[]> => {
        const tried = await study({ space: MIXED, seed: 9 });
        for (let n = 0; n < 16; n++) await tried.tell((await asked(tried)).id, Math.sin(n));
        return tried.trials().map(({ parameters }) => parameters);
      };
      expect(await points()).toEqual(await points());
    });

    it('stays sane whatever is told', async () => {
      for (const value of [() => 1, (n: number) => (n % 2 === 0 ? 1e300 : -1e300), (n: number) => n * 1e-300]) {
        const tried = await study({ space: MIXED });
        for (let n = 0; n < 20; n++) await tried.tell((await asked(tried)).id, n % 5 === 4 ? null : value(n));
        expect(tried.trials()).toHaveLength(20);
        await tried.close();
      }
    });
  });

  describe('trials', () => {
    it('are told once, with as many finite numbers as the study has', async () => {
      const told = await study({ constraints: ['memory'] });
      const { id } = await asked(told);
      for (const [values, constraints] of [[NaN, [0]], [Infinity, [0]], [1, []], [[1, 2], [0]], [1, [NaN]]] as const) {
        expect(await errorOf(told.tell(id, values as number, [...constraints]))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
      }
      expect((await errorOf(told.tell(id, 1, [NaN]))).message).toContain('`memory`');
      await told.tell(id, 1, [0]);
      expect(await errorOf(told.tell(id, 1, [0]))).toMatchObject({ code: 'UAT_CONFLICT' });
      expect(await errorOf(told.tell(5, 1, [0]))).toMatchObject({ code: 'UAT_NOT_FOUND' });
      expect(told.trials()).toMatchObject([{ id: 0, state: 'complete', values: [1], constraintValues: [0] }]);
    });

    it('that fail are told as null and never are the best', async () => {
      const told = await study();
      await told.tell((await asked(told)).id, null);
      expect([told.best(), told.trials()[0]!.state]).toEqual([null, 'failed']);
    });

    it('are ended early where they are worse than half of the others were', async () => {
      const told = await study({ pruner: 'median' });
      for (let n = 0; n < 5; n++) {
        const { id } = await asked(told);
        await told.report(id, 1, n);
        expect(await told.shouldPrune(id)).toBe(false);
        await told.tell(id, n);
      }
      const { id } = await asked(told);
      await told.report(id, 1, 100);
      expect(await told.shouldPrune(id)).toBe(true);
      await told.tell(id, null);
      expect(told.trials().at(-1)!.state).toBe('pruned');
    });

    it('go to the best quarter with successive halving', async () => {
      const told = await study({ pruner: 'successive-halving' });
      const trials = await told.ask(5);
      for (const { id } of trials) await told.report(id, 1, id);
      expect(await Promise.all(trials.map(({ id }) => told.shouldPrune(id)))).toEqual([false, true, true, true, true]);
    });

    it('are asked for by hundreds, all different', async () => {
      const many = await study({ sampler: 'sobol' });
      expect(new Set((await many.ask(300)).map(({ parameters }) => parameters['x'])).size).toBe(300);
      for (const count of [0, 1.5, 1_001, NaN]) expect(await errorOf(many.ask(count))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
    });
  });

  it('takes choices in and out while it runs', async () => {
    const changing = await study({ space: { model: { type: 'categorical', choices: ['old', 'older'] } }, sampler: 'random' });
    await changing.addChoice('model', 'new');
    await changing.retireChoice('model', 'older');
    expect((await changing.ask(2)).map(({ parameters }) => parameters['model']).sort()).toEqual(['new', 'old']);
    for (const [change, choice] of [['addChoice', 'new'], ['retireChoice', 'older'], ['retireChoice', 'never']] as const) {
      expect(await errorOf(changing[change]('model', choice))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
    }
    await changing.retireChoice('model', 'old');
    expect((await errorOf(changing.retireChoice('model', 'new'))).message).toContain('"new"');
    expect(await errorOf(changing.addChoice('nothing', 'x'))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
  });

  it('says which parameter matters', async () => {
    const tried = await study({ space: { matters: { type: 'float', low: 0, high: 1 }, idle: { type: 'float', low: 0, high: 1 }, kind: { type: 'categorical', choices: ['a', 'b'] } }, sampler: 'random' });
    expect(tried.importance()).toEqual({ matters: 1 / 3, idle: 1 / 3, kind: 1 / 3 });
    for (const { id, parameters } of await tried.ask(200)) await tried.tell(id, Math.abs((parameters['matters'] as number) - 0.5));
    const { matters, idle, kind } = tried.importance() as { matters: number; idle: number; kind: number };
    expect(matters + idle + kind).toBeCloseTo(1, 9);
    expect(matters).toBeGreaterThan(0.7);
  });

  describe('refuses', () => {
    it.each([
      [{ x: { type: 'float', low: 1, high: 1 } }, 'x'],
      [{ x: { type: 'float', low: 0, high: 1, log: true } }, 'x'],
      [{ x: { type: 'int', low: 0.5, high: 2 } }, 'x'],
      [{ x: { type: 'float', low: 0, high: 1, step: 2 } }, 'x'],
      [{ x: { type: 'float', low: 1, high: 9, step: 2, log: true } }, 'x'],
      [{ x: { type: 'float', low: NaN, high: 1 } }, 'x'],
      [{ x: { type: 'categorical', choices: [] } }, 'x'],
      [{ x: { type: 'categorical', choices: ['a', 'a'] } }, 'x'],
      [{ x: { type: 'real', low: 0, high: 1 } }, 'x'],
      [{ x: { type: 'float', low: 0 } }, 'x'],
      [{ x: { type: 'float', low: 0, high: 1, choices: [1] } }, 'x'],
      [{ ...X, y: { type: 'float', low: 0, high: 1, when: { z: 1 } } }, 'y'],
      [{ ...X, y: { type: 'float', low: 0, high: 1, when: { x: 0.5 } } }, 'y'],
      [{ k: { type: 'int', low: 1, high: 2 }, y: { type: 'float', low: 0, high: 1, when: { k: 3 } } }, 'y'],
      [{ a: { type: 'int', low: 1, high: 2, when: { b: 1 } }, b: { type: 'int', low: 1, high: 2, when: { a: 1 } } }, 'a'],
      [{}, 'space'],
    ])('the space %j, naming what is wrong', async (space, name) => {
      const error = await errorOf(study({ space: space as SearchSpace }));
      expect(error.code).toBe('UAT_INVALID_INPUT');
      expect(error.message).toContain(name);
    });

    it.each([[{ name: '' }, 'name'], [{ directions: [] }, 'directions'], [{ directions: ['up'] }, 'directions'], [{ constraints: ['a', 'a'] }, 'constraints'], [{ sampler: 'best' }, 'sampler'], [{ heartbeatMs: 0 }, 'heartbeatMs'], [{ seed: 0.5 }, 'seed'], [{ direction: 'maximize' }, 'direction']])('the options %j', async (options, name) => {
      const error = await errorOf(study(options as Partial<StudyOptions>));
      expect(error.code).toBe('UAT_INVALID_INPUT');
      expect(error.message).toContain(name);
    });
  });

  describe('in a folder', () => {
    it('goes on where it was, with the next trial of one that was never interrupted', async () => {
      const storage = folder();
      const options: StudyOptions = { name: 'über/../x', space: MIXED, seed: 5, constraints: ['c'] };
      const before = await analytics(storage).createStudy(options);
      for (let n = 0; n < 15; n++) await before.tell((await asked(before)).id, Math.cos(n), [n - 10]);
      const trials = before.trials();
      await before.close();
      expect(thrownBy(() => before.trials())).toMatchObject({ code: 'UAT_CLOSED' });
      const [again, uninterrupted] = [await analytics(storage).loadStudy(options.name), await analytics().createStudy(options)];
      expect(again.trials()).toEqual(trials);
      for (let n = 0; n < 15; n++) await uninterrupted.tell((await asked(uninterrupted)).id, Math.cos(n), [n - 10]);
      expect((await asked(again)).parameters).toEqual((await asked(uninterrupted)).parameters);
    });

    it('is opened by createStudy with the same options, and a conflict names what differs', async () => {
      const storage = folder();
      const first = analytics(storage);
      const made = await first.createStudy({ name: 's', space: X });
      await made.ask();
      await first.close();
      const second = analytics(storage);
      expect((await second.createStudy({ name: 's', space: { x: { type: 'float', low: 0, high: 1, log: false } } })).trials()).toHaveLength(1);
      const error = await errorOf(second.createStudy({ name: 's', space: { x: { type: 'float', low: 0, high: 2 } } }));
      expect(error.code).toBe('UAT_CONFLICT');
      expect(error.message).toContain('x');
      expect(await errorOf(second.createStudy({ name: 's', space: X, seed: 1 }))).toMatchObject({ code: 'UAT_CONFLICT' });
      expect(await errorOf(second.loadStudy('other'))).toMatchObject({ code: 'UAT_NOT_FOUND' });
    });

    it('is shared natively, and otherwise had by one at a time, and free again when it is closed', async () => {
      const storage = folder();
      const [first, second] = [analytics(storage), analytics(storage)];
      const held = await first.createStudy({ name: 's', space: X });
      if (backend === 'native') {
        const shared = await second.loadStudy('s');
        const [mine, theirs] = [await asked(held), await asked(shared)];
        expect([mine.id, theirs.id]).toEqual([0, 1]);
        await held.tell(theirs.id, 1);
        expect(await errorOf(shared.tell(theirs.id, 1))).toMatchObject({ code: 'UAT_CONFLICT' });
        return;
      }
      expect(await errorOf(second.loadStudy('s'))).toMatchObject({ code: 'UAT_CONFLICT' });
      await held.close();
      await (await second.loadStudy('s')).ask();
    });

    it('is read up to a torn last line, and a damaged line before it is named', async () => {
      const storage = folder();
      const path = join(storage, 'studies', 's.journal');
      const first = await analytics(storage).createStudy({ name: 's', space: X });
      await first.tell((await asked(first)).id, 1);
      await first.close();
      appendFileSync(path, '12345678 {"event":"asked","tri');
      const second = await analytics(storage).loadStudy('s');
      expect(second.trials()).toHaveLength(1);
      await second.tell((await asked(second)).id, 2);
      await second.close();
      const bytes = readFileSync(path);
      bytes[bytes.indexOf('\n') + 15]! ^= 1;
      writeFileSync(path, bytes);
      const error = await errorOf(analytics(storage).loadStudy('s'));
      expect(error.code).toBe('UAT_STORAGE');
      expect(error.message).toContain('line 2');
    });

    // Both files are read by the tests of the Rust crate too (tests/vectors.rs).
    it.each(['native', 'typescript'])('goes on that was begun by the %s backend', async writer => {
      const storage = folder();
      mkdirSync(join(storage, 'studies'));
      copyFileSync(new URL(`vectors/parameter-analytics-${writer}.journal`, import.meta.url), join(storage, 'studies', 'exchange.journal'));
      const exchanged = await analytics(storage).loadStudy('exchange');
      expect(exchanged.trials()).toHaveLength(21);
      expect(exchanged.best()).toMatchObject({ id: 16, values: [17 / 7], constraintValues: [17 / 7 - 2.5], endedAt: 18 });
      expect(exchanged.trials().filter(({ state }) => state === 'failed').map(({ id }) => id)).toEqual([5, 11, 17]);
      const next = await asked(exchanged);
      expect(next.id).toBe(21);
      expect(next.parameters['kind']).not.toBe(true);
      // Both that were out are given up: their workers have not been heard of since 1970.
      expect(exchanged.trials().slice(19, 21).map(({ state }) => state)).toEqual(['failed', 'failed']);
    });
  });

  it('gives trials of a silent process up, and keeps those of a living one', async () => {
    const told = await study({ heartbeatMs: 40 });
    const { id } = await asked(told);
    // Three heartbeats are said meanwhile; nothing but time can show that they are.
    await new Promise(resolve => { setTimeout(resolve, 150); });
    await told.ask();
    expect(told.trials()[id]!.state).toBe('running');
  });

  it('is closed with its analytics, and says so', async () => {
    const one = analytics();
    const told = await one.createStudy({ name: 's', space: X });
    await one.close();
    await told.close();
    for (const call of [told.ask(), told.tell(0, 1), told.html(), one.loadStudy('s'), one.createStudy({ name: 's', space: X })]) expect(await errorOf(call)).toMatchObject({ code: 'UAT_CLOSED' });
    expect(thrownBy(() => told.best())).toMatchObject({ code: 'UAT_CLOSED' });
  });

  it('has the methods that support.json lists', async () => {
    const isMethod = ([, { value }]: [string, PropertyDescriptor]): boolean => typeof value === 'function';
    const methodsOf = (object: object): string[] => Object.entries(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(object))).filter(isMethod).map(([name]) => name).filter(name => name !== 'constructor').sort();
    expect(methodsOf(analytics())).toEqual(Object.keys(support.ParameterAnalytics).sort());
    expect(methodsOf(await study())).toEqual(Object.keys(support.Study).sort());
    expect(methodsOf(analytics().bandit({ name: 'b', arms: ['x'] }))).toEqual(Object.keys(support.Bandit).sort());
  });

  it('refuses what support.json says that it lacks', async () => {
    const lacks = { ...support['ParameterAnalytics options'], html: support.Study.html };
    const attempts: Record<keyof typeof lacks, () => Promise<unknown>> = {
      // Whether it has it shows where there is a Redis.
      'storage: redis://': async () => new ParameterAnalytics({ storage: 'redis://127.0.0.1:1' }),
      'sampler: tpe': () => study({ sampler: 'tpe' }),
      'sampler: cmaes': () => study({ sampler: 'cmaes' }),
      'directions: several': () => study({ directions: ['minimize', 'maximize'] }),
      'policy: exp3': async () => analytics().bandit({ name: 'b', arms: ['x'], policy: 'exp3' }),
      'optimize: context': () => analytics().optimize({ model: 'm', taskType: 't', context: { size: 1 } } satisfies OptimizeRequest),
      html: async () => await (await study()).html(),
    };
    for (const [what, has] of Object.entries(lacks) as [keyof typeof lacks, { native: boolean; typescript: boolean }][]) {
      if (has[backend]) await attempts[what]();
      else expect((await errorOf(attempts[what]())).code, what).toBe('UAT_UNSUPPORTED');
    }
  });

  if (backend === 'typescript') {
    it('takes a study over from a process that was killed, and names one that lives', async () => {
      const storage = folder();
      const lock = join(storage, 'studies', 's.journal.lock');
      await (await analytics(storage).createStudy({ name: 's', space: X })).close();
      expect(existsSync(lock)).toBe(false);
      const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)']);
      await once(other, 'spawn');
      writeFileSync(lock, `${other.pid}\n`);
      expect((await errorOf(analytics(storage).loadStudy('s'))).message).toContain(`process ${other.pid} has it open`);
      other.kill('SIGKILL');
      await once(other, 'exit');
      expect((await analytics(storage).loadStudy('s')).name).toBe('s');
    });
  }
});

