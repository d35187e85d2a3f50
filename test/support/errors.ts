import { expect } from 'vitest';

import { UniversalAiError } from '../../src/index.js';

/** What a promise rejects with; anything but a UniversalAiError fails. */
export async function errorOf(promise: Promise<unknown>): Promise<UniversalAiError> {
  const error: unknown = await promise.then(value => { throw new Error(`expected a rejection, got ${JSON.stringify(value)}`); }, (reason: unknown) => reason);
  expect(error).toBeInstanceOf(UniversalAiError);
  return error as UniversalAiError;
}

/** What a call throws; anything but a UniversalAiError fails. */
export function thrownBy(call: () => unknown): UniversalAiError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(UniversalAiError);
    return error as UniversalAiError;
  }
  throw new Error('expected an error');
}
