import type { BanditBackend, ParameterAnalyticsBackend, PreparedAnalytics, PreparedBandit, PreparedOptimize, PreparedStudy, StudyBackend } from '../services/parameter-analytics-backend.js';
import type { ArmPosterior, BanditDecision, OptimizeResult, Outcome, Performance, PerformanceFilter, Trial } from '../services/parameter-analytics-types.js';
import type { Bandit, ParameterAnalytics, Study } from './binding.js';
import { attempt } from './call.js';
import { asking } from './errors.js';
import type { NativeBinding } from './loader.js';

/** Opens the service of the Rust core; reads nothing yet. */
export function openNativeParameterAnalytics(binding: NativeBinding, { storage }: PreparedAnalytics): ParameterAnalyticsBackend {
  return new NativeParameterAnalytics(attempt(() => new binding.ParameterAnalytics(storage)));
}

/** Converts, calls, converts back. */
class NativeParameterAnalytics implements ParameterAnalyticsBackend {
  readonly #native: ParameterAnalytics;

  constructor(native: ParameterAnalytics) {
    this.#native = native;
  }

  async optimize(request: PreparedOptimize): Promise<OptimizeResult> {
    const { expected, ...advice } = JSON.parse(await asking(() => this.#native.optimize(JSON.stringify(request)))) as OptimizeResult;
    const { reward, rewardStd, latencyMs, costUsd } = expected;
    return { ...advice, expected: { reward: known(reward), rewardStd: known(rewardStd), latencyMs: known(latencyMs), costUsd: known(costUsd) } };
  }

  async record(outcome: Outcome): Promise<void> {
    await asking(() => this.#native.record(JSON.stringify(outcome)));
  }

  async createStudy(options: PreparedStudy): Promise<StudyBackend> {
    return new NativeStudy(await asking(() => this.#native.createStudy(JSON.stringify(options))));
  }

  async loadStudy(name: string): Promise<StudyBackend> {
    return new NativeStudy(await asking(() => this.#native.loadStudy(name)));
  }

  bandit(options: PreparedBandit): BanditBackend {
    return new NativeBandit(attempt(() => this.#native.bandit(options)));
  }

  async performance(filter: PerformanceFilter): Promise<Performance[]> {
    const rows = JSON.parse(await asking(() => this.#native.performance(JSON.stringify(filter)))) as Performance[];
    return rows.map(row => ({ ...row, rewardMean: known(row.rewardMean), latencyP50: known(row.latencyP50), latencyP95: known(row.latencyP95) }));
  }

  async close(): Promise<void> {
    await asking(() => this.#native.close());
  }
}

class NativeStudy implements StudyBackend {
  readonly #native: Study;
  readonly name: string;
  readonly heartbeatMs: number | undefined;

  constructor(native: Study) {
    this.#native = native;
    this.name = attempt(() => native.name);
    this.heartbeatMs = attempt(() => native.heartbeatMs) ?? undefined;
  }

  async ask(count: number): Promise<Trial[]> {
    return readTrials(await asking(() => this.#native.ask(count)));
  }

  async tell(trial: number, values: number[] | null, constraintValues: number[]): Promise<void> {
    await asking(() => this.#native.tell(trial, values, constraintValues));
  }

  async report(trial: number, step: number, value: number): Promise<void> {
    await asking(() => this.#native.report(trial, step, value));
  }

  async shouldPrune(trial: number): Promise<boolean> {
    return await asking(() => this.#native.shouldPrune(trial));
  }

  async heartbeat(trial: number): Promise<void> {
    await asking(() => this.#native.heartbeat(trial));
  }

  async addChoice(parameter: string, choice: string | number | boolean): Promise<void> {
    await asking(() => this.#native.addChoice(parameter, JSON.stringify(choice)));
  }

  async retireChoice(parameter: string, choice: string | number | boolean): Promise<void> {
    await asking(() => this.#native.retireChoice(parameter, JSON.stringify(choice)));
  }

  best(): Trial | null {
    const best = JSON.parse(attempt(() => this.#native.best())) as Trial | null;
    return best === null ? null : asTrial(best);
  }

  paretoFront(): Trial[] {
    return readTrials(attempt(() => this.#native.paretoFront()));
  }

  trials(): Trial[] {
    return readTrials(attempt(() => this.#native.trials()));
  }

  importance(): Record<string, number> {
    return JSON.parse(attempt(() => this.#native.importance())) as Record<string, number>;
  }

  async html(): Promise<string> {
    return await asking(() => this.#native.html());
  }

  /** Whoever else uses the study shares it: there is nothing to let go of. */
  async close(): Promise<void> {}
}

class NativeBandit implements BanditBackend {
  readonly #native: Bandit;

  constructor(native: Bandit) {
    this.#native = native;
  }

  select(context?: Float64Array): BanditDecision {
    return attempt(() => this.#native.select(context));
  }

  reward(decisionId: string, reward: number): void {
    attempt(() => this.#native.reward(decisionId, reward));
  }

  posterior(): Record<string, ArmPosterior> {
    return Object.fromEntries(attempt(() => this.#native.posterior()).map(({ arm, ...known }) => [arm, known]));
  }

  async flush(): Promise<void> {
    await asking(() => this.#native.flush());
  }
}

/** JSON has no NaN: the core says `null` where nobody knows. */
function known(value: number | null): number {
  return value ?? Number.NaN;
}

function readTrials(text: string): Trial[] {
  return (JSON.parse(text) as Trial[]).map(asTrial);
}

/** The core's trials have what was reported on the way, too. */
function asTrial(trial: Trial & { reports?: unknown }): Trial {
  const known = { ...trial };
  delete known.reports;
  return known;
}
