import { describeValue, UniversalAiError } from '../../../errors.js';

/** The endpoint's dialect cannot say this; another endpoint may speak one that can. */
export function refuse(field: string, expected: string, got: unknown): UniversalAiError {
  const arrived = describeValue(got);
  return new UniversalAiError('UAT_INVALID_INPUT', `${field}: expected ${expected}, got ${arrived}`, { details: { field, expected, got: arrived } });
}

/** The same for a value that may be part of a conversation, of which only the length is told. */
export function refuseText(field: string, expected: string, text: string): UniversalAiError {
  const arrived = `a string of ${text.length} characters`;
  return new UniversalAiError('UAT_INVALID_INPUT', `${field}: expected ${expected}, got ${arrived}`, { details: { field, expected, got: arrived } });
}
