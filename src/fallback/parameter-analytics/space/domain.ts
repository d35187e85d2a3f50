/**
 * The values that one parameter can take, and where they lie in 0..1: `space/domain.rs` of the Rust core. A number of a point is the value
 * itself, or the number of a choice.
 */

/** What a parameter can be set to. */
export type Value = string | number | boolean;

export type Domain =
  | { type: 'float'; low: number; high: number; log: boolean; step: number | undefined }
  | { type: 'int'; low: number; high: number; log: boolean; step: number }
  | { type: 'categorical'; choices: { value: Value; isRetired: boolean }[] };

/** From here on, neighbouring whole numbers are one double. */
export const LARGEST_WHOLE = 2 ** 53;

const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

/** How many values there are; `undefined` for all real numbers of a range. */
export function levels(domain: Domain): number | undefined {
  switch (domain.type) {
    case 'float': return domain.step === undefined ? undefined : steps(domain, domain.step);
    case 'int': return steps(domain, domain.step);
    case 'categorical': return domain.choices.filter(choice => !choice.isRetired).length;
  }
}

/** The number of a point that lies at a place in 0..1, where each value has the same share (of the logarithm, with `log`). A retired choice has none. */
export function numberAt(domain: Domain, at: number): number {
  const share = clamp(at, 0, 1);
  switch (domain.type) {
    case 'categorical': {
      const there = [...domain.choices.keys()].filter(place => !domain.choices[place]!.isRetired);
      return there[cellAt(share, there.length)] ?? 0;
    }
    case 'float': {
      const { low, high, log, step } = domain;
      if (log) return clamp(Math.exp(Math.log(low) * (1 - share) + Math.log(high) * share), low, high);
      if (step === undefined) return clamp(low * (1 - share) + high * share, low, high);
      return clamp(tidy(step * cellAt(share, steps(domain, step)) + low), low, high);
    }
    case 'int': {
      const { low, high, log, step } = domain;
      if (!log) return step * cellAt(share, steps(domain, step)) + low;
      const [from, to] = logCells(low, high);
      return clamp(Math.round(Math.exp(from * (1 - share) + to * share)), low, high);
    }
  }
}

/** Where in 0..1 a number of a point lies, the middle of its share; of a choice its number. */
export function shareOf(domain: Domain, number: number): number {
  if (domain.type === 'categorical') return number;
  const { low, high, log, step } = domain;
  if (log && domain.type === 'float') return clamp((Math.log(number) - Math.log(low)) / (Math.log(high) - Math.log(low)), 0, 1);
  if (log) {
    const [from, to] = logCells(low, high);
    return clamp((Math.log(number) - from) / (to - from), 0, 1);
  }
  // Halves, since a difference of two can be infinite.
  if (step === undefined) return clamp((number / 2 - low / 2) / (high / 2 - low / 2), 0, 1);
  return clamp((Math.round((number - low) / step) + 0.5) / steps(domain, step), 0, 1);
}

/** What a caller gets for a number of a point. */
export function valueOf(domain: Domain, number: number): Value | undefined {
  return domain.type === 'categorical' ? domain.choices[number]?.value : number;
}

/** The number of a point for what a caller gave; `undefined`: it is not one of the values. */
export function numberOf(domain: Domain, value: Value): number | undefined {
  if (domain.type === 'categorical') {
    const place = domain.choices.findIndex(choice => choice.value === value);
    return place < 0 ? undefined : place;
  }
  if (typeof value !== 'number') return undefined;
  const { low, high } = domain;
  if (domain.type === 'int') return value >= low && value <= high && numberAt(domain, shareOf(domain, value)) === value ? value : undefined;
  const near = domain.step === undefined ? value : numberAt(domain, shareOf(domain, value));
  return Math.abs(near - value) <= 1e-9 * Math.max(Math.abs(value), Math.abs(near)) && near >= low && near <= high ? near : undefined;
}

/**
 * Values on a grid: a step that misses `high` by rounding alone still reaches it. Whole numbers need no such tolerance, of which a
 * billionth of a billion steps would be one too many.
 */
export function steps({ type, low, high }: { type: 'float' | 'int'; low: number; high: number }, step: number): number {
  const exact = (high / 2 - low / 2) / (step / 2);
  const tolerance = type === 'int' ? 0 : 1e-9 * clamp(exact, 1, LARGEST_WHOLE);
  return Math.floor(Math.min(exact + tolerance, LARGEST_WHOLE)) + 1;
}

function cellAt(share: number, cells: number): number {
  return Math.max(Math.min(Math.floor(share * cells), cells - 1), 0);
}

/** The logarithms between which whole numbers lie, half a number more at both ends so that the ends have their share. */
function logCells(low: number, high: number): [number, number] {
  return [Math.log(low - 0.5), Math.log(high + 0.5)];
}

/** The nearest number of 15 digits, which is what people write: 0.1 + 2 * 0.1 becomes 0.3. */
function tidy(number: number): number {
  return Number(number.toExponential(14));
}
