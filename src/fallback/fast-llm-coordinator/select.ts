import { powerOfTwo } from './balance.js';
import type { Availability } from './endpoint.js';

/** One endpoint in the eyes of the choice. */
export interface Contender {
  availability: Availability;
  /** Lower is better. */
  cost: number;
  /** How this request fared there so far; `briefly` is a failure that may pass in a moment. */
  tried: 'not-yet' | 'briefly' | 'finished';
}

export type Choice =
  | { kind: 'ask' | 'ask-again'; index: number }
  | { kind: 'nobody'; why: 'all-tried' | 'quarantined' | 'full' }
  | { kind: 'nobody'; why: 'cooling-down'; pauseMs: number };

/**
 * Which endpoint is asked next. Fresh ones first, by the power of two choices; then those with an open breaker, because
 * with nobody else to ask a likely failure is better than a certain one; then one that failed briefly, once more.
 */
export function choose(options: readonly Contender[], nowMs: number, random: () => number): Choice {
  const pick = (wanted: (option: Contender) => boolean): number | undefined => {
    const eligible = [...options.keys()].filter(index => wanted(options[index] as Contender));
    const drawn = powerOfTwo(eligible.map(index => options[index]?.cost ?? Infinity), random);
    return drawn === undefined ? undefined : eligible[drawn];
  };
  const mayBeAsked = ({ availability }: Contender): boolean => availability.kind === 'ready' || availability.kind === 'suspect';
  const fresh = pick(option => option.tried === 'not-yet' && option.availability.kind === 'ready') ?? pick(option => option.tried === 'not-yet' && mayBeAsked(option));
  if (fresh !== undefined) return { kind: 'ask', index: fresh };
  const again = pick(option => option.tried === 'briefly' && mayBeAsked(option));
  return again === undefined ? whyNobody(options, nowMs) : { kind: 'ask-again', index: again };
}

/** What waiting could mend is told first. */
function whyNobody(options: readonly Contender[], nowMs: number): Choice {
  const untried = options.filter(option => option.tried === 'not-yet').map(option => option.availability);
  const has = (kind: Availability['kind']): boolean => untried.some(availability => availability.kind === kind);
  if (has('full')) return { kind: 'nobody', why: 'full' };
  const pauses = untried.flatMap(availability => (availability.kind === 'cooling-down' ? [Math.max(0, availability.untilMs - nowMs)] : []));
  if (pauses.length > 0) return { kind: 'nobody', why: 'cooling-down', pauseMs: Math.min(...pauses) };
  return { kind: 'nobody', why: has('quarantined') ? 'quarantined' : 'all-tried' };
}
