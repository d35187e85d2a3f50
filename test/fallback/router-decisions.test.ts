import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { UniversalAiError } from '../../src/errors.js';
import { decide } from '../../src/fallback/llm-router/decide.js';
import { Judgements } from '../../src/fallback/llm-router/judgements.js';
import type { Catalogue, Policy, Question, Standing } from '../../src/fallback/llm-router/question.js';
import { ROOT } from '../support/built.js';

interface Case {
  name: string;
  question: Question;
  catalogue: Catalogue;
  snapshot: Standing[];
  policy: Policy;
  expected: { decision: unknown; refused?: { code: string; message: string; retryable: boolean } };
}

/** What the tests of the core read too, and wrote. */
const cases = JSON.parse(readFileSync(join(ROOT, 'crates', 'llm-router', 'tests', 'cases', 'decisions.json'), 'utf8')) as Case[];

function found({ question, catalogue, snapshot, policy }: Case): Case['expected'] {
  const refused = ({ code, message, retryable }: UniversalAiError): { code: string; message: string; retryable: boolean } => ({ code, message, retryable });
  try {
    const decided = decide(question, catalogue, snapshot, policy);
    return { decision: decided.decision, ...(decided.refused === undefined ? {} : { refused: refused(decided.refused) }) };
  } catch (error) {
    return { decision: null, refused: refused(error as UniversalAiError) };
  }
}

describe('the fallback decides as the core does', () => {
  it.each(cases.map(one => [one.name, one] as const))('%s', (_name, one) => {
    expect(found(one)).toEqual(one.expected);
  });
});

describe('what is learnt of a model', () => {
  it('follows one that changes, and fades', () => {
    const judgements = new Judgements();
    expect(judgements.quality('m', 0)).toBeUndefined();
    judgements.feedback('m', 1, 0);
    expect(judgements.quality('m', 0)).toEqual({ mean: 1, weight: 1 });
    for (let judgement = 0; judgement < 400; judgement += 1) judgements.feedback('m', 0, 0);
    const { mean, weight } = judgements.quality('m', 0)!;
    expect(mean).toBeLessThan(0.01);
    expect(weight).toBeGreaterThan(97);
    expect(judgements.quality('m', 14 * 86_400_000)!.weight).toBeCloseTo(weight / 2);
    expect([judgements.samples('m'), judgements.samples('other')]).toEqual([401, 0]);
  });
});
