import { invalidInput } from '../errors.js';

/** What may be stored, the same for both backends. */

const EXPECTED = 'a string, a finite number, a boolean, null, a Uint8Array, or an object or array that JSON.stringify takes';

/**
 * The JSON of a value. Objects become what `JSON.stringify` makes of them: nested `undefined` and functions go missing, nested
 * `NaN` becomes `null`, a `Date` its ISO string. What would be lost as a whole is refused: `undefined`, functions, symbols,
 * `NaN`, the infinities, bigints, cycles, `Map`, `Set`, promises, and other views than `Uint8Array`.
 *
 * @param field Names the value in the error.
 */
export function jsonOf(value: unknown, field: string): string {
  const isLost = typeof value === 'number' ? !Number.isFinite(value)
    : typeof value === 'object' && value !== null && (ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof Map || value instanceof Set || value instanceof Promise);
  if (isLost) throw invalidInput(field, EXPECTED, value);
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    const error = invalidInput(field, EXPECTED, value);
    error.cause = cause;
    throw error;
  }
  // Undefined, a function, or an object whose toJSON says nothing.
  if (text === undefined) throw invalidInput(field, EXPECTED, value);
  return text;
}
