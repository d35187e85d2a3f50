/** What may be tried: `space/mod.rs`, `coordinates.rs` and `choices.rs` of the Rust core. */

import type { ParameterValues } from '../../../services/parameter-analytics-types.js';
import { conditionsOf, notFinite, type Parameter, parametersOf, shown, spaceError, type SpaceDocument } from './check.js';
import { levels, numberAt, numberOf, shareOf, type Value, valueOf } from './domain.js';

/** One number for each parameter, in the order of the space; NaN where it is not active. Stays valid when choices are added or retired. */
export type Point = readonly number[];

export class Space {
  readonly parameters: readonly Parameter[];
  readonly #conditions: readonly (readonly [number, number])[][];
  readonly #order: readonly number[];

  /** @throws `UAT_INVALID_INPUT` names the parameter and what is wrong with it. */
  constructor(document: SpaceDocument) {
    this.parameters = parametersOf(document);
    const { conditions, order } = conditionsOf(this.parameters);
    this.#conditions = conditions;
    this.#order = order;
  }

  get dimensions(): number {
    return this.parameters.length;
  }

  get categorical(): boolean[] {
    return this.parameters.map(({ domain }) => domain.type === 'categorical');
  }

  /** How many different points there can be at most; `undefined` where a parameter is continuous. */
  get cardinality(): number | undefined {
    return this.parameters.reduce<number | undefined>((product, { domain }) => {
      const own = levels(domain);
      return product === undefined || own === undefined ? undefined : product * own;
    }, 1);
  }

  /** The point at a place of the cube 0..1 in each dimension, where every value of a parameter has the same share. */
  sample(cube: readonly number[]): Point {
    return this.#settled(this.parameters.map(({ domain }, place) => numberAt(domain, cube[place] ?? 0.5)));
  }

  /** Where in 0..1 each number lies, the number of a choice, and the middle or the first choice for what is not active. */
  encode(point: Point): number[] {
    return this.parameters.map(({ domain }, place) => {
      const number = point[place]!;
      if (Number.isNaN(number)) return domain.type === 'categorical' ? 0 : 0.5;
      return shareOf(domain, number);
    });
  }

  /** The point nearest to coordinates. */
  decode(coordinates: readonly number[]): Point {
    return this.#settled(this.parameters.map(({ domain }, place) => {
      const coordinate = coordinates[place] ?? 0.5;
      if (domain.type !== 'categorical') return numberAt(domain, coordinate);
      return domain.choices[coordinate]?.isRetired === false ? coordinate : numberAt(domain, 0);
    }));
  }

  /** The settings of a point. */
  values(point: Point): ParameterValues {
    const settings = this.parameters.flatMap(({ name, domain }, place) => {
      const value = Number.isNaN(point[place]!) ? undefined : valueOf(domain, point[place]!);
      return value === undefined ? [] : [[name, value] as const];
    });
    return Object.fromEntries(settings);
  }

  /** The point of settings that somebody chose. @throws `UAT_INVALID_INPUT` where one is missing, unknown, or not a value of its parameter. */
  point(values: ParameterValues): Point {
    const given = new Map(Object.entries(values));
    const unknown = [...given.keys()].find(name => !this.parameters.some(parameter => parameter.name === name));
    if (unknown !== undefined) throw spaceError(unknown, 'is not in the space');
    const numbers = this.parameters.map(({ name, domain }) => {
      const value = given.get(name);
      if (value === undefined) return NaN;
      const number = numberOf(domain, value);
      if (number === undefined) throw spaceError(name, `cannot be ${shown(value)}`);
      return number;
    });
    const settled = this.#settled([...numbers]);
    for (const [place, { name }] of this.parameters.entries()) {
      if (Number.isNaN(numbers[place]!) === Number.isNaN(settled[place]!)) continue;
      throw spaceError(name, Number.isNaN(numbers[place]!) ? 'has no value' : 'has a value, and is not active by its `when`');
    }
    return settled;
  }

  /** Adds a choice, or brings a retired one back. @throws `UAT_INVALID_INPUT`. */
  addChoice(parameter: string, value: Value): void {
    if (typeof value === 'number' && !Number.isFinite(value)) throw spaceError(parameter, notFinite(value));
    const choices = this.#choices(parameter);
    const known = choices.find(choice => choice.value === value);
    if (known?.isRetired === false) throw spaceError(parameter, `has the choice ${shown(value)} twice`);
    if (known === undefined) choices.push({ value, isRetired: false });
    else known.isRetired = false;
  }

  /** Takes a choice out of what is tried. @throws `UAT_INVALID_INPUT`. */
  retireChoice(parameter: string, value: Value): void {
    const left = this.#choices(parameter).filter(choice => !choice.isRetired);
    const choice = left.find(choice => choice.value === value);
    if (choice === undefined) throw spaceError(parameter, `has no choice ${shown(value)}`);
    if (left.length === 1) throw spaceError(parameter, `has only ${shown(value)} left, which cannot be retired`);
    choice.isRetired = true;
  }

  #choices(name: string): { value: Value; isRetired: boolean }[] {
    const parameter = this.parameters.find(parameter => parameter.name === name);
    if (parameter === undefined) throw spaceError(name, 'is not in the space');
    if (parameter.domain.type !== 'categorical') throw spaceError(name, 'is not categorical and has no choices');
    return parameter.domain.choices;
  }

  /** What is not active loses its number; what becomes active gets one. */
  #settled(numbers: number[]): Point {
    for (const place of this.#order) {
      const isActive = this.#conditions[place]!.every(([parent, needed]) => numbers[parent] === needed);
      if (!isActive) numbers[place] = NaN;
      else if (Number.isNaN(numbers[place]!)) numbers[place] = numberAt(this.parameters[place]!.domain, 0.5);
    }
    return numbers;
  }
}

/** What two points have in common only if they are the same. Adding 0 makes a negative zero positive. */
export function keyOf(point: Point): string {
  return point.map(number => number + 0).join();
}
