import type { Option, Strategy } from './balance.js';
import type { Availability } from './endpoint.js';

/** One endpoint in the eyes of the choice. */
export interface Contender extends Option {
  availability: Availability;
  /** How this request fared there so far; `briefly` is a failure that may pass in a moment, `turned-away` a line that had no place for it. */
  tried: 'not-yet' | 'turned-away' | 'briefly' | 'finished';
}

export type Choice =
  | { kind: 'ask' | 'ask-again'; index: number }
  /** Those at their limit, of which any may become free. */
  | { kind: 'wait'; indices: number[] }
  | { kind: 'nobody'; why: 'all-tried' | 'quarantined' }
  | { kind: 'nobody'; why: 'cooling-down'; pauseMs: number };

/**
 * Which endpoint is asked next. Fresh ones first, by the model's strategy; then one that is at its limit, after a wait; then
 * those with an open breaker, because with nobody else to ask a likely failure is better than a certain one; then one that
 * failed briefly, once more.
 */
export function choose(options: readonly Contender[], nowMs: number, strategy: Strategy, prefix: () => string, random: () => number): Choice {
  const those = (wanted: (option: Contender) => boolean): number[] => [...options.keys()].filter(index => wanted(options[index] as Contender));
  const pick = (wanted: (option: Contender) => boolean): number | undefined => {
    const eligible = those(wanted);
    return eligible.length === 0 ? undefined : eligible[strategy(eligible.map(index => options[index] as Contender), prefix, random)];
  };
  const mayBeAsked = ({ availability }: Contender): boolean => availability.kind === 'ready' || availability.kind === 'suspect';
  const ready = pick(option => option.tried === 'not-yet' && option.availability.kind === 'ready');
  if (ready !== undefined) return { kind: 'ask', index: ready };
  const full = those(option => option.tried === 'not-yet' && option.availability.kind === 'full');
  if (full.length > 0) return { kind: 'wait', indices: full };
  const suspect = pick(option => option.tried === 'not-yet' && mayBeAsked(option));
  if (suspect !== undefined) return { kind: 'ask', index: suspect };
  const again = pick(option => option.tried === 'briefly' && (mayBeAsked(option) || option.availability.kind === 'full'));
  return again === undefined ? whyNobody(options, nowMs) : { kind: 'ask-again', index: again };
}

/** What waiting could mend is told first. */
function whyNobody(options: readonly Contender[], nowMs: number): Choice {
  const untried = options.filter(option => option.tried === 'not-yet').map(option => option.availability);
  const pauses = untried.flatMap(availability => (availability.kind === 'cooling-down' ? [Math.max(0, availability.untilMs - nowMs)] : []));
  if (pauses.length > 0) return { kind: 'nobody', why: 'cooling-down', pauseMs: Math.min(...pauses) };
  return { kind: 'nobody', why: untried.some(({ kind }) => kind === 'quarantined') ? 'quarantined' : 'all-tried' };
}
