import { UniversalAiError } from '../../errors.js';
import type { RoutePlan } from '../../services/llm-router-types.js';

/** As many as the core keeps. */
const MOST = 1_024;
/** And of candidates in all of them: each takes some 200 bytes. */
const MOST_CANDIDATES = 20_000;

interface Kept {
  plan: RoutePlan;
  /** The model that answered, if one did. */
  answered: string | undefined;
  isJudged: boolean;
}

/** The decisions of the last while, so that they can be explained and their answers judged. The oldest are forgotten first. */
export class Decisions {
  readonly #kept = new Map<string, Kept>();
  #candidates = 0;

  keep(plan: RoutePlan, answered: string | undefined): void {
    this.#kept.set(plan.requestId, { plan: structuredClone(plan), answered, isJudged: false });
    this.#candidates += plan.candidates.length;
    for (const [id, { plan: oldest }] of this.#kept) {
      if (this.#kept.size <= MOST && this.#candidates <= MOST_CANDIDATES) return;
      this.#kept.delete(id);
      this.#candidates -= oldest.candidates.length;
    }
  }

  find(id: string): RoutePlan | null {
    const kept = this.#kept.get(id);
    return kept === undefined ? null : structuredClone(kept.plan);
  }

  /** Who answered; once for each answer. */
  judged(id: string): string {
    const kept = this.#kept.get(id);
    const details = { requestId: id };
    if (kept === undefined) throw new UniversalAiError('UAT_NOT_FOUND', `there is no request \`${id}\`: the last ${MOST} are kept; use the requestId of a plan or of an answer's routing`, { details });
    if (kept.answered === undefined) throw new UniversalAiError('UAT_CONFLICT', `the request \`${id}\` has no answer that could be judged`, { details });
    if (kept.isJudged) throw new UniversalAiError('UAT_CONFLICT', `the request \`${id}\` was judged already: it counts once`, { details });
    kept.isJudged = true;
    return kept.answered;
  }
}
