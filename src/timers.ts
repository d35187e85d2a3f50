/** The longest that Node's timers take, in ms: one that is longer ends at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;
