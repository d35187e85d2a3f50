import { describe, expect, it } from 'vitest';

import { compared, disagreements } from '../../scripts/validate/compared.mjs';
import { table } from '../../scripts/validate/table.mjs';

function of(file, ...cases) {
  const assertionResults = cases.map(([backend, title, status = 'passed']) => ({ ancestorTitles: backend === undefined ? [] : ['a cache', `${backend} backend`], title, status }));
  return { name: `/there/${file}`, status: cases.some(([, , status]) => status === 'failed') ? 'failed' : 'passed', message: '', assertionResults };
}

describe('a comparison of both backends', () => {
  it('puts the cases of a service side by side, whichever file they are in', () => {
    const services = compared({ testResults: [
      of('redis-service.test.ts', ['native', 'keeps'], ['typescript', 'keeps'], ['native', 'is near']),
      of('redis-service-flight.test.ts', ['native', 'flies'], ['typescript', 'flies']),
      of('engine.test.ts', [undefined, 'a vector']),
    ] });
    expect(services.map(({ service, cases, alone }) => [service, cases.length, alone.length])).toEqual([['RedisService', 3, 0], ['all of them', 0, 1]]);
    expect(disagreements(services)).toEqual([]);
    const [, first] = table(services).split('\n');
    expect(first.split(/ {2,}/)).toEqual(['RedisService', '2', '2', '1', '0', '0', '0', '0']);
  });

  it('fails where one backend fails, where both do, and where a file ended early', () => {
    const services = compared({ testResults: [
      of('llm-router.test.ts', ['native', 'a'], ['typescript', 'a', 'failed'], ['native', 'b', 'failed'], ['typescript', 'b', 'failed']),
      { name: '/there/voice-processing.test.ts', status: 'failed', message: 'no addon', assertionResults: [] },
    ] });
    expect(disagreements(services)).toEqual([
      'LLMRouter: native passed, TypeScript failed: llm-router.test.ts > a cache > a',
      'LLMRouter: native failed, TypeScript failed: llm-router.test.ts > a cache > b',
      'VoiceProcessingService: voice-processing.test.ts: no addon',
    ]);
  });

  it('fails where one of two cases of the same name does', () => {
    for (const order of [['failed', 'passed'], ['passed', 'failed']]) {
      const [{ cases }] = compared({ testResults: [of('llm-router.test.ts', ...order.map(status => ['native', 'twice', status]))] });
      expect(cases).toMatchObject([{ native: 'failed' }]);
    }
  });

  it('does not count what was left out as agreed', () => {
    const services = compared({ testResults: [of('llm-router.test.ts', ['native', 'a', 'pending'], ['typescript', 'a'])] });
    expect(table(services).split('\n')[1].split(/ {2,}/)).toEqual(['LLMRouter', '1', '0', '0', '0', '0', '1', '0']);
    expect(disagreements(services)).toEqual([]);
  });
});
