/**
 * A number or a set of things that can be tried. `log`: ratios count instead of differences (`low` above 0). `step`: only `low`,
 * `low + step`, and so on; not together with `log`.
 */
export type ParameterSpec =
  | { type: 'float'; low: number; high: number; log?: boolean; step?: number }
  | { type: 'int'; low: number; high: number; log?: boolean; step?: number }
  | { type: 'categorical'; choices: (string | number | boolean)[] };

/** Parameters by name. `when`: it is active only where each of these parameters is active and has this value. */
export type SearchSpace = Record<string, ParameterSpec & { when?: Record<string, string | number | boolean> }>;

/** What each parameter is set to; those that are not active are left out. */
export type ParameterValues = Record<string, string | number | boolean>;

/** What parameters are wanted for. */
export interface OptimizeRequest {
  model: string;
  /** Whatever tells kinds of work apart, for example `code-generation`; each pair of model and task learns for itself. */
  taskType: string;
  /** What a request may take, and how good its answer should be at least. */
  constraints?: {
    /** Milliseconds. */
    maxLatency?: number;
    /** USD per request. */
    maxCost?: number;
    /** In terms of {@link Outcome.reward}. */
    minQuality?: number;
  };
  /** What may be set. Default: `temperature`, `top_p` and `max_tokens` within their usual ranges, natively `frequency_penalty`, too: named as a chat request names them. */
  space?: SearchSpace;
  /** What is known of the request, the same names each time, for example `{ promptTokens: 800 }`. The TypeScript backend refuses it with `UAT_UNSUPPORTED`. */
  context?: Record<string, number>;
  /** `explore` (default) may try what is not known to be good; `recommend` gives the best that is known. */
  mode?: 'recommend' | 'explore';
}

/** Parameters to use, and what is expected of them. */
export interface OptimizeResult {
  /** To be given back in {@link Outcome.trialId}. Opaque. */
  trialId: string;
  parameters: ParameterValues;
  /** `NaN` where nothing is known yet. `rewardStd`: how far the mean reward may be off (a standard deviation). */
  expected: { reward: number; rewardStd: number; latencyMs: number; costUsd: number };
  /** How probable it is that a request with these parameters meets all constraints, 0 to 1; 1 without constraints. */
  feasibleProbability: number;
  /** Where they come from: usual values, the best of a few configurations, or a model of the whole space. */
  source: 'prior' | 'bandit' | 'bayesian';
  /** Outcomes that this rests on. */
  observations: number;
}

/** What came of an {@link OptimizeResult}. */
export interface Outcome {
  trialId: string;
  /** How good the answer was; 0 to 1 is usual, and the higher the better. */
  reward?: number;
  /** Milliseconds until the answer was whole. */
  latencyMs?: number;
  costUsd?: number;
  tokens?: number;
  /** The request failed; counts as the worst reward. */
  error?: string;
}

/** How a study is made. A study of the same name that was made with the same options is opened and goes on. */
export interface StudyOptions {
  /** At most 80 bytes of UTF-8. */
  name: string;
  space: SearchSpace;
  /** One for each objective; default one that is minimised. */
  directions?: ('minimize' | 'maximize')[];
  /** Names of what must not be above 0; each trial is told one value for each. */
  constraints?: string[];
  /** Default `auto`, which chooses by the space and by how much is known. */
  sampler?: 'auto' | 'gp' | 'tpe' | 'random' | 'sobol' | 'cmaes';
  /** A whole number of at least 0; default the seed of the `ParameterAnalytics`. The same seed and the same tells give the same trials on the same backend. */
  seed?: number;
  /** Default `none`. */
  pruner?: 'none' | 'median' | 'successive-halving';
  /** A trial of whose process nothing was heard for two of these (ms) has failed. Absent: trials may run for ever. */
  heartbeatMs?: number;
}

/** One try. Times are ms since 1970. */
export interface Trial {
  /** From 0. */
  id: number;
  parameters: ParameterValues;
  /** One for each objective, once complete. */
  values?: number[];
  /** One for each constraint, once complete; met up to 0. */
  constraintValues?: number[];
  state: 'running' | 'complete' | 'failed' | 'pruned';
  startedAt: number;
  endedAt?: number;
}

/** How a bandit is made. */
export interface BanditOptions {
  /** Under which what it learns is kept, at most 80 bytes of UTF-8. Each open `ParameterAnalytics` has one bandit of a name. */
  name: string;
  /** Names, each once. */
  arms: string[];
  /**
   * Default `thompson`. `ucb`: the greatest upper confidence bound. `epsilon-greedy`: the best so far, and any with probability 0.1.
   * `lin-thompson`: rewards that are linear in a context, with `contextDims`. `top-two-thompson`: finds the best arm, wrong with
   * probability 0.05 at most. `exp3` is not supported yet.
   */
  policy?: 'thompson' | 'ucb' | 'epsilon-greedy' | 'exp3' | 'lin-thompson' | 'top-two-thompson';
  /** Default `bernoulli`: rewards of 0 to 1. `gaussian`: about 0, and about 1 apart among the rewards of one arm; scale them so. */
  reward?: 'bernoulli' | 'gaussian';
  /** Of `lin-thompson`, which needs it: how many features a context has, 1 to 256. A constant should be one of them. */
  contextDims?: number;
  /**
   * What a reward counts after one more has come: above 0, below 1; absent: all count alike. Ages are told apart by eighths of the
   * half-life, ln(1/2) / ln(discount) rewards, which is taken to be at least 8 rewards. Not with `top-two-thompson`.
   */
  discount?: number;
  /** A whole number of at least 0; default the seed of the `ParameterAnalytics`. The same seed and calls give the same arms on both backends. */
  seed?: number;
}

/** An arm that was chosen. */
export interface BanditDecision {
  arm: string;
  /** To be given back with the reward, within an hour. */
  decisionId: string;
  /** The probability with which this arm was chosen; of Thompson sampling to 0.005. */
  probability: number;
}

/** What is known of an arm. `std`: how far the mean reward may be off. `pulls`: the rewards that this rests on; old ones may count less. */
export interface ArmPosterior {
  mean: number;
  std: number;
  pulls: number;
  /** The probability that no other arm's mean reward is greater, to 0.005. */
  probabilityBest: number;
}

/** Which outcomes are looked at; absent: all. */
export interface PerformanceFilter {
  model?: string;
  taskType?: string;
  /** Those that were recorded at or after this time, ms since 1970. */
  sinceMs?: number;
}

/** What came of one model's work on one kind of task. `NaN` where nothing was told. */
export interface Performance {
  model: string;
  taskType: string;
  /** Outcomes. */
  trials: number;
  /** Of them, with an `error`. */
  errors: number;
  rewardMean: number;
  /** Milliseconds. */
  latencyP50: number;
  latencyP95: number;
  /** Of all, in sum. */
  costUsd: number;
  /** The parameters of the greatest mean reward, as far as is known. */
  best: ParameterValues | null;
}

/** Where what was learnt is kept, and where random numbers come from. */
export interface ParameterAnalyticsOptions {
  /**
   * A folder, which is made where it does not exist; `:memory:`, which ends with the process; or, on the native backend, `redis://`.
   * Default: `uat/parameters` in `XDG_STATE_HOME` or `~/.local/state`, where `uat study` and `uat serve` look too.
   */
  storage?: string;
  /** A whole number of at least 0; default 0 for studies, and for bandits one of chance: processes that share a bandit must differ. */
  seed?: number;
}
