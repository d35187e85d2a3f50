/** A bandit that is open, and the journal in which what it learns is kept as increments of exact sums. */

import { randomInt } from 'node:crypto';

import { UniversalAiError } from '../../../errors.js';
import type { BanditBackend, PreparedBandit } from '../../../services/parameter-analytics-backend.js';
import type { ArmPosterior, BanditDecision } from '../../../services/parameter-analytics-types.js';
import { FileJournal, type Journal, NOWHERE } from '../storage/journal.js';
import { CoreBandit } from './bandit.js';
import { addEvidence, type Evidence, evidenceOf, type Slots } from './evidence.js';

/** What rewards taught, as a line of the journal: whole numbers as text where a double would round them. */
interface Learnt {
  event: 'learnt';
  /** What may not differ between what is added. */
  shape: string;
  /** Decisions that were made, and rewards that came. */
  made: number;
  seen: number;
  slots: Record<string, Record<string, { pulls: number; sum: string; squares: string; products?: string[] }>>;
}

/** Lines of a journal that are added up to one when it is opened. */
const MANY = 1_000;
/** Decisions that may have been made after the last flush: their numbers are not given again, so that a late reward is not counted for another decision. */
const LOST_DECISIONS = 65_536;

export class OpenBandit implements BanditBackend {
  readonly #bandit: CoreBandit;
  readonly #journal: Journal;
  readonly #now: () => number;

  private constructor(bandit: CoreBandit, journal: Journal, now: () => number) {
    [this.#bandit, this.#journal, this.#now] = [bandit, journal, now];
  }

  /** @param path Of its journal; absent: nothing is kept. @throws `UAT_CONFLICT`: another process has it, or it was made otherwise; `UAT_STORAGE`. */
  static open(options: PreparedBandit, path: string | undefined, now: () => number): OpenBandit {
    if (path === undefined) return new OpenBandit(new CoreBandit(options), NOWHERE, now);
    return FileJournal.with(path, (journal, events) => OpenBandit.#from(options, journal, events as Learnt[], now));
  }

  static #from(options: PreparedBandit, journal: FileJournal, lines: Learnt[], now: () => number): OpenBandit {
    const [shape, last] = [shapeOf(options), lines.at(-1)];
    if (last !== undefined && last.shape !== shape) {
      throw new UniversalAiError('UAT_CONFLICT', `bandit \`${options.name}\` was made with ${last.shape}, and ${shape} was asked for; what they learn cannot be added: take another name`);
    }
    const bandit = new CoreBandit(options, last === undefined ? 0 : last.made + LOST_DECISIONS, randomInt(2 ** 32));
    if (last !== undefined) {
      const slots: Slots = new Map();
      for (const line of lines) addSlots(slots, line.slots);
      const seen = Math.max(...lines.map(line => line.seen));
      bandit.absorb(slots, seen);
      if (lines.length > MANY) journal.rewrite([learnt(shape, last.made, seen, slots)]);
    }
    return new OpenBandit(bandit, journal, now);
  }

  get options(): PreparedBandit {
    return this.#bandit.options;
  }

  select(context?: Float64Array): BanditDecision {
    return this.#bandit.select(context, this.#now());
  }

  reward(decisionId: string, reward: number): void {
    this.#bandit.reward(decisionId, reward, this.#now());
  }

  posterior(): Record<string, ArmPosterior> {
    return this.#bandit.posterior();
  }

  async flush(): Promise<void> {
    this.keep();
  }

  /** Keeps what was learnt since the last time. */
  keep(): void {
    const { arms, options, made } = this.#bandit;
    const unsent = arms.takeUnsent();
    if (unsent.size === 0) return;
    try {
      this.#journal.append([learnt(shapeOf(options), made, arms.seen, unsent)]);
    } catch (error) {
      arms.giveBack(unsent);
      throw error;
    }
  }

  close(): void {
    try {
      this.keep();
    } finally {
      this.#journal.close();
    }
  }
}

function shapeOf({ reward, contextDims, halfLife }: PreparedBandit): string {
  return `${reward} rewards, ${contextDims ?? 0} features, ${halfLife === undefined ? 'nothing forgotten' : `a half-life of ${halfLife} rewards`}`;
}

function learnt(shape: string, made: number, seen: number, slots: Slots): Learnt {
  const written = ({ pulls, sum, squares, products }: Evidence): Learnt['slots'][string][string] => ({ pulls, sum: String(sum), squares: String(squares), ...(products.length === 0 ? {} : { products: products.map(String) }) });
  const rows = [...slots].map(([slot, arms]) => [slot, Object.fromEntries([...arms].map(([arm, evidence]) => [arm, written(evidence)]))] as const);
  return { event: 'learnt', shape, made, seen, slots: Object.fromEntries(rows) };
}

function addSlots(slots: Slots, written: Learnt['slots']): void {
  for (const [slot, arms] of Object.entries(written)) {
    for (const [arm, { pulls, sum, squares, products = [] }] of Object.entries(arms)) {
      addEvidence(evidenceOf(slots, Number(slot), arm), { pulls, sum: BigInt(sum), squares: BigInt(squares), products: products.map(BigInt) });
    }
  }
}
