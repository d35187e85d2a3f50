import { isObject } from '../../check.js';
import { describeValue, UniversalAiError } from '../../errors.js';
import { nearestFew } from './nearest.js';

/** What a key of a configuration may hold. */
export type Kind = 'text' | 'texts' | 'flag' | 'whole' | 'count' | 'number' | 'table' | 'tables' | readonly string[];
export type Shape = Record<string, Kind>;

/** Refuses what is wrong, with its place. */
export type Wrong = (path: string, message: string) => UniversalAiError;

/** The table, once every key is known and every value is of its kind. */
export function shaped(table: unknown, shape: Shape, path: string, wrong: Wrong): Record<string, unknown> {
  if (!isObject(table)) throw wrong(path, `expected a table, got ${describeValue(table)}`);
  for (const [key, value] of Object.entries(table)) {
    const at = path === '' ? key : `${path}.${key}`;
    const kind = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (kind === undefined) throw wrong(at, `unknown key \`${key}\`${meant(key, Object.keys(shape))}; known here: ${Object.keys(shape).join(', ')}`);
    const expected = expectation(kind, value);
    if (expected !== undefined) throw wrong(at, `\`${at}\`: expected ${expected}, got ${describeValue(value)}${typeof kind === 'object' ? meant(String(value), kind) : ''}`);
  }
  return table;
}

/** The name of a table, which is not empty. */
export function named(table: Record<string, unknown>, path: string, what: string, wrong: Wrong): string {
  const name = table['name'];
  if (typeof name !== 'string' || name.trim() === '') throw wrong(`${path}.name`, `${what} needs a name`);
  return name;
}

/** The key of a table that asks for a secret. */
export function secretKey(table: unknown): string | undefined {
  return isObject(table) ? Object.keys(table).find(key => /^(api_?key|key|token|secret|password|authorization|bearer)$/i.test(key.replaceAll('-', '_'))) : undefined;
}

/** What was expected, where the value is not of its kind. */
function expectation(kind: Kind, value: unknown): string | undefined {
  const expected = (ok: boolean, what: string): string | undefined => (ok ? undefined : what);
  switch (kind) {
    case 'text': return expected(typeof value === 'string', 'a string');
    case 'texts': return expected(Array.isArray(value) && value.every(one => typeof one === 'string'), 'a list of strings');
    case 'flag': return expected(typeof value === 'boolean', 'true or false');
    case 'whole': return expected(Number.isSafeInteger(value) && (value as number) >= 0, 'a whole number');
    case 'count': return expected(Number.isSafeInteger(value) && (value as number) >= 1, 'a whole number of at least 1');
    case 'number': return expected(typeof value === 'number', 'a number');
    case 'table': return expected(isObject(value), 'a table');
    case 'tables': return expected(Array.isArray(value) && value.every(isObject), 'a list of tables');
    default: return expected(kind.includes(value as string), `one of ${kind.join(', ')}`);
  }
}

/** What a word that is none was meant to be. */
export function meant(word: string, known: readonly string[]): string {
  const [nearest] = nearestFew(word, known, 1);
  return nearest === undefined ? '' : `; did you mean \`${nearest}\`?`;
}

/** The error of a configuration that cannot be used. */
export function refuse(origin: string, message: string, cause?: unknown, path?: string): UniversalAiError {
  const details = { origin, ...(path === undefined ? {} : { path }) };
  return new UniversalAiError('UAT_CONFIG', `${origin}: ${message}`, cause === undefined ? { details } : { details, cause });
}
