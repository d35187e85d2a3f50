/** `optimize`, `record` and `performance`: the pools, the trials that are out, and the journal in which both are kept. */

import { randomUUID } from 'node:crypto';

import { UniversalAiError } from '../../../errors.js';
import type { PreparedOptimize } from '../../../services/parameter-analytics-backend.js';
import type { OptimizeRequest, OptimizeResult, Outcome, ParameterValues, Performance, PerformanceFilter } from '../../../services/parameter-analytics-types.js';
import { Draws } from '../bandit/random.js';
import { FileJournal, type Journal, NOWHERE } from '../storage/journal.js';
import { advise, rate, type Rated } from './advise.js';
import { type Beliefs, believe, feasible } from './beliefs.js';
import { type Configuration, Pool, type Remembered } from './pool.js';

/** Trials that are remembered until their outcomes come, and outcomes from before a restart; older ones make room. */
const REMEMBERED = 10_000;
/** Events of a journal above which it is written anew with what is remembered when it is opened. */
const MANY = 6 * REMEMBERED;
/** Models are made anew when so much more is known. */
const GROWN = 1.03;
/** A configuration's mean reward is judged as if so many outcomes of the mean of all had come too, so that one lucky call is not the best. */
const CAUTION = 3;

type Event =
  | { event: 'pool'; pool: number; request: Pick<OptimizeRequest, 'model' | 'taskType' | 'space'> }
  | { event: 'asked'; trial: string; pool: number; parameters: ParameterValues; at: number }
  | { event: 'recorded'; trial: string; outcome: Omit<Outcome, 'trialId'>; at: number };

interface Entry {
  pool: Pool;
  /** What is believed, and after how many outcomes. */
  known: Known | undefined;
}

interface Known {
  beliefs: Beliefs;
  observations: number;
  /** By the constraints. */
  rated: Map<string, Rated[]>;
}

interface Out {
  entry: Entry;
  configuration: Configuration;
}

export class Advisor {
  readonly #seed: number;
  readonly #now: () => number;
  readonly #journal: Journal;
  readonly #entries: Entry[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #out = new Map<string, Out>();
  /** The latest trials that have their outcomes. */
  readonly #recorded = new Set<string>();
  #asked = 0;

  /** @param path Of its journal; absent: nothing is kept. @throws `UAT_CONFLICT`: another process has it; `UAT_STORAGE`. */
  constructor(seed: number, path: string | undefined, now: () => number) {
    [this.#seed, this.#now] = [seed, now];
    if (path === undefined) {
      this.#journal = NOWHERE;
      return;
    }
    this.#journal = FileJournal.with(path, (journal, events) => {
      const kept = events as Event[];
      for (const event of kept) this.#apply(event);
      if (kept.length > MANY) journal.rewrite(latest(kept));
      return journal;
    });
  }

  optimize(request: PreparedOptimize): OptimizeResult {
    if (request.context !== undefined) throw new UniversalAiError('UAT_UNSUPPORTED', 'request.context: the TypeScript backend looks at no context; leave it out, tell kinds of requests apart by `taskType`, or install the native package');
    const number = this.#pool(request);
    const entry = this.#entries[number]!;
    const { pool } = entry;
    const { constraints = {} } = request;
    const rated = (): { beliefs: Beliefs; rated: Rated[] } => {
      const known = this.#known(entry);
      const key = JSON.stringify(constraints);
      const found = known.rated.get(key) ?? rate(pool, known.beliefs, constraints);
      known.rated.set(key, found);
      return { beliefs: known.beliefs, rated: found };
    };
    const { configuration, source } = advise(pool, rated, request, new Draws(this.#seed, this.#asked));
    const parameters = pool.space.values(configuration.point);
    const trialId = randomUUID();
    this.#happen({ event: 'asked', trial: trialId, pool: number, parameters, at: this.#now() });
    const { beliefs } = this.#known(entry);
    const at = (belief: Beliefs['reward']): { mean: number; deviation: number } => belief?.at(configuration.coordinates) ?? { mean: NaN, deviation: NaN };
    const reward = at(beliefs.reward);
    return {
      trialId,
      parameters,
      expected: { reward: reward.mean, rewardStd: reward.deviation, latencyMs: Math.exp(at(beliefs.logLatency).mean), costUsd: Math.exp(at(beliefs.logCost).mean) },
      feasibleProbability: feasible(beliefs, configuration.coordinates, constraints),
      source,
      observations: pool.observations,
    };
  }

  record({ trialId, ...outcome }: Outcome): void {
    if (this.#recorded.has(trialId)) throw new UniversalAiError('UAT_CONFLICT', `trial ${trialId} was recorded before, and an outcome counts once`);
    if (!this.#out.has(trialId)) throw new UniversalAiError('UAT_NOT_FOUND', `there is no trial ${trialId}; give the trialId back as optimize() gave it, before ${REMEMBERED} newer ones were asked for`);
    this.#happen({ event: 'recorded', trial: trialId, outcome, at: this.#now() });
  }

  performance({ model, taskType, sinceMs = 0 }: PerformanceFilter): Performance[] {
    const groups = new Map<string, { model: string; taskType: string; outcomes: Remembered[]; pools: Pool[] }>();
    for (const { pool } of this.#entries) {
      if ((model ?? pool.model) !== pool.model || (taskType ?? pool.taskType) !== pool.taskType) continue;
      const key = JSON.stringify([pool.model, pool.taskType]);
      const group = groups.get(key) ?? { model: pool.model, taskType: pool.taskType, outcomes: [], pools: [] };
      group.outcomes.push(...pool.outcomes.filter(({ at }) => at >= sinceMs));
      group.pools.push(pool);
      groups.set(key, group);
    }
    const found = [...groups].filter(([, { outcomes }]) => outcomes.length > 0).sort(([a], [b]) => (a < b ? -1 : 1));
    return found.map(([, { model, taskType, outcomes, pools }]) => {
      const numbers = (of: (outcome: Remembered) => number | undefined): number[] => outcomes.map(of).filter(value => value !== undefined);
      const [rewards, latencies] = [numbers(({ reward, isError }) => (isError ? undefined : reward)), numbers(({ latencyMs }) => latencyMs).sort((a, b) => a - b)];
      const rewardMean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
      return {
        model,
        taskType,
        trials: outcomes.length,
        errors: outcomes.filter(({ isError }) => isError).length,
        rewardMean,
        latencyP50: percentile(latencies, 0.5),
        latencyP95: percentile(latencies, 0.95),
        costUsd: numbers(({ costUsd }) => costUsd).reduce((sum, cost) => sum + cost, 0),
        best: bestOf(pools, rewardMean),
      };
    });
  }

  close(): void {
    this.#journal.close();
  }

  /** The number of the pool for a request; made where there is none. @throws `UAT_INVALID_INPUT`. */
  #pool({ model, taskType, space }: PreparedOptimize): number {
    const request = { model, taskType, ...(space === undefined ? {} : { space }) };
    const known = this.#numbers.get(JSON.stringify(request));
    if (known !== undefined) return known;
    const number = this.#entries.length;
    this.#happen({ event: 'pool', pool: number, request });
    return number;
  }

  #known(entry: Entry): Known {
    const { observations } = entry.pool;
    const before = entry.known;
    if (before !== undefined && (observations === before.observations || observations < before.observations * GROWN)) return before;
    return entry.known = { beliefs: believe(entry.pool), observations, rated: new Map() };
  }

  /** Kept first: what could not be kept has not happened. */
  #happen(event: Event): void {
    // Refuses a space that does not fit before it is kept.
    const prepared = event.event === 'pool' ? new Pool(event.request) : undefined;
    this.#journal.append([event]);
    this.#apply(event, prepared);
  }

  #apply(event: Event, prepared?: Pool): void {
    switch (event.event) {
      case 'pool':
        this.#numbers.set(JSON.stringify(event.request), this.#entries.length);
        this.#entries.push({ pool: prepared ?? new Pool(event.request), known: undefined });
        return;
      case 'asked': {
        const entry = this.#entries[event.pool]!;
        const configuration = entry.pool.at(entry.pool.space.point(event.parameters));
        configuration.pending += 1;
        this.#asked += 1;
        this.#out.set(event.trial, { entry, configuration });
        const oldest = this.#out.size > REMEMBERED ? firstOf(this.#out.keys()) : undefined;
        if (oldest === undefined) return;
        this.#out.get(oldest)!.configuration.pending -= 1;
        this.#out.delete(oldest);
        return;
      }
      case 'recorded': {
        const out = this.#out.get(event.trial);
        if (out === undefined) return;
        out.entry.pool.record(out.configuration, { trialId: event.trial, ...event.outcome }, event.at);
        this.#out.delete(event.trial);
        this.#recorded.add(event.trial);
        const oldest = this.#recorded.size > REMEMBERED ? firstOf(this.#recorded) : undefined;
        if (oldest !== undefined) this.#recorded.delete(oldest);
      }
    }
  }
}

function firstOf<T>(values: Iterable<T>): T | undefined {
  for (const value of values) return value;
  return undefined;
}

/** The pools, and the latest trials with what came of them. */
function latest(events: Event[]): Event[] {
  const asked = new Set(events.filter(event => event.event === 'asked').slice(-2 * REMEMBERED).map(({ trial }) => trial));
  return events.filter(event => event.event === 'pool' || asked.has(event.trial));
}

/** The nearest rank. */
function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)] ?? NaN;
}

function bestOf(pools: readonly Pool[], mean: number): ParameterValues | null {
  let best: { pool: Pool; configuration: Configuration; value: number } | undefined;
  for (const pool of pools) {
    for (const configuration of pool.configurations) {
      const { count, sum } = configuration.reward;
      const value = (sum + CAUTION * mean) / (count + CAUTION);
      if (count > 0 && (best === undefined || value > best.value)) best = { pool, configuration, value };
    }
  }
  return best === undefined ? null : best.pool.space.values(best.configuration.point);
}
