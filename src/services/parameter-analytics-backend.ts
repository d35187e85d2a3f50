import type { ArmPosterior, BanditDecision, BanditOptions, OptimizeRequest, OptimizeResult, Outcome, Performance, PerformanceFilter, StudyOptions, Trial } from './parameter-analytics-types.js';

/** Checked, with the defaults filled in. */
export interface PreparedAnalytics {
  /** A folder's path as it was given, `:memory:`, or a URL of Redis. */
  storage: string;
  seed?: number;
}

/** Checked for types; ranges and what fits together in `space` the backend checks. */
export interface PreparedOptimize extends OptimizeRequest {
  mode: 'recommend' | 'explore';
}

/** Checked for types; ranges and what fits together in `space` the backend checks. */
export interface PreparedStudy extends StudyOptions {
  directions: ('minimize' | 'maximize')[];
  constraints: string[];
  sampler: NonNullable<StudyOptions['sampler']>;
  seed: number;
  pruner: NonNullable<StudyOptions['pruner']>;
}

/** Checked, with the defaults filled in. */
export interface PreparedBandit {
  name: string;
  /** At least one, each once. */
  arms: string[];
  policy: Exclude<NonNullable<BanditOptions['policy']>, 'exp3'>;
  reward: NonNullable<BanditOptions['reward']>;
  /** Exactly with `lin-thompson`. */
  contextDims?: number;
  /** In rewards, at least 8; absent: nothing is forgotten. */
  halfLife?: number;
  seed: number;
}

/**
 * What the native adapter and the TypeScript fallback each implement, so that the compiler tells when they drift.
 *
 * Everything throws or rejects with a `UniversalAiError`. Arguments have been checked as said, and nothing is called after `close`,
 * which closes the studies and flushes the bandits that are open.
 */
export interface ParameterAnalyticsBackend {
  /** @throws `UAT_INVALID_INPUT` names what does not fit in the space. */
  optimize(request: PreparedOptimize): Promise<OptimizeResult>;
  /** @throws `UAT_NOT_FOUND`: no such trial; `UAT_CONFLICT`: it was recorded before. */
  record(outcome: Outcome): Promise<void>;
  /** Opens the study where one was made with the same options. @throws `UAT_CONFLICT` names what differs, or who has it. */
  createStudy(options: PreparedStudy): Promise<StudyBackend>;
  /** @throws `UAT_NOT_FOUND`, `UAT_STORAGE` names the damaged line, `UAT_CONFLICT`: who has it. */
  loadStudy(name: string): Promise<StudyBackend>;
  /** What is kept of it is loaded, and added, at the latest at its first `flush`. @throws `UAT_CONFLICT`: it was made otherwise, or who has it. */
  bandit(options: PreparedBandit): BanditBackend;
  performance(filter: PerformanceFilter): Promise<Performance[]>;
  close(): Promise<void>;
}

/** A study that is open. Changes are kept when their promise resolves; what is read is what was last kept. */
export interface StudyBackend {
  readonly name: string;
  /** As it was made with; the wrapper calls `heartbeat` this often for each trial that was asked here and has not been told. */
  readonly heartbeatMs: number | undefined;
  ask(count: number): Promise<Trial[]>;
  /** `null`: the trial failed, or was ended early. */
  tell(trial: number, values: number[] | null, constraintValues: number[]): Promise<void>;
  report(trial: number, step: number, value: number): Promise<void>;
  shouldPrune(trial: number): Promise<boolean>;
  /** @throws `UAT_CONFLICT`: it has ended. */
  heartbeat(trial: number): Promise<void>;
  addChoice(parameter: string, choice: string | number | boolean): Promise<void>;
  retireChoice(parameter: string, choice: string | number | boolean): Promise<void>;
  best(): Trial | null;
  paretoFront(): Trial[];
  trials(): Trial[];
  importance(): Record<string, number>;
  html(): Promise<string>;
  /** Lets go of the study, so that another process can open it. Called once. */
  close(): Promise<void>;
}

/** A bandit that is open. Times are of the backend's clock. */
export interface BanditBackend {
  select(context?: Float64Array): BanditDecision;
  reward(decisionId: string, reward: number): void;
  posterior(): Record<string, ArmPosterior>;
  /** Keeps what was rewarded; at first, and where others share the bandit, takes in what they have learnt. */
  flush(): Promise<void>;
}
