import type { SpaceDocument } from '../space/check.js';
import type { Value } from '../space/domain.js';
import type { PreparedStudy } from '../../../services/parameter-analytics-backend.js';
import type { ParameterValues } from '../../../services/parameter-analytics-types.js';
import type { Logs } from '../gp/likelihood.js';

/** What makes a study, as a journal has it. */
export interface CreatedOptions extends Omit<PreparedStudy, 'space'> {
  space: SpaceDocument;
}

/** Fitted hyperparameters: of the objective, and of each constraint. */
export interface Fit {
  /** How many observations they were fitted to. */
  observations: number;
  logs: Logs[];
}

export type TrialState = 'running' | 'complete' | 'failed' | 'pruned';

/** What happened to a study: all of it, in order, makes the study again. `study/event.rs` of the Rust core. Times are ms since 1970. */
export type Event =
  | { event: 'created'; options: CreatedOptions; at: number }
  | { event: 'asked'; trial: number; parameters: ParameterValues; by: string; fit?: Fit; at: number }
  | { event: 'told'; trial: number; state: TrialState; values?: number[]; constraintValues?: number[]; at: number }
  | { event: 'reported'; trial: number; step: number; value: number; at: number }
  | { event: 'beat'; trial: number; at: number }
  | { event: 'choiceAdded' | 'choiceRetired'; parameter: string; choice: Value };
