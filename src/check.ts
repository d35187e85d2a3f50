/** Checks of arguments that several services make. Each names the field, what was expected there and what arrived. */

import { invalidInput } from './errors.js';

/** An object with these fields alone: one that is not heeded would be worse than an error. */
export function fields(field: string, given: unknown, known: ReadonlySet<string>): Record<string, unknown> {
  const object = anObject(field, given);
  for (const name in object) {
    if (!known.has(name) && object[name] !== undefined) throw invalidInput(`${field}.${name}`, `only ${[...known].join(', ')}`, object[name]);
  }
  return object;
}

export function anObject(field: string, value: unknown): Record<string, unknown> {
  if (!isObject(value)) throw invalidInput(field, 'an object', value);
  return value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function text(field: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw invalidInput(field, 'a string that is not empty', value);
  return value;
}

export function oneOf<const T extends string>(field: string, given: unknown, known: readonly T[]): T {
  const found = known.find(one => one === given);
  if (found === undefined) throw invalidInput(field, `one of ${known.join(', ')}`, given);
  return found;
}

export function whole(field: string, value: unknown, least: number, most: number = Number.MAX_SAFE_INTEGER): number {
  if (!(Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most)) {
    throw invalidInput(field, most === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${least}` : `a whole number from ${least} to ${most}`, value);
  }
  return value as number;
}

/** By shape, because a signal may come from another realm or a polyfill. */
export function optionalSignal(field: string, value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined;
  if (!(isObject(value) && typeof value['aborted'] === 'boolean' && typeof value['addEventListener'] === 'function')) throw invalidInput(field, 'an AbortSignal', value);
  return value as unknown as AbortSignal;
}
