import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { type ChatMessage, FastLLMCoordinator, type GatewayConfig, LLMRouter, llmRouter, type RouteOptions } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { collect, completion, providers, sendJson, textOf } from '../support/chat.js';
import { errorOf, thrownBy } from '../support/errors.js';
import { FakeProvider } from '../support/fake-provider.js';
import support from './support.json' with { type: 'json' };

const MESSAGES: ChatMessage[] = [{ role: 'user', content: 'Why is the sky blue?' }];
/** Twenty numbered words: what the fake answers unless told otherwise. */
const ANSWER = Array.from({ length: 20 }, (_, index) => `t${index}`).join(' ');

/** Two models: `small`, cheap and of the tier `fast`, and `large`, dear, better, and of `expert-reasoning`. */
function config(small: string, large = small, routing: Record<string, unknown> = {}): GatewayConfig {
  return {
    endpoints: [{ name: 'a', protocol: 'openai', base_url: small }, { name: 'b', protocol: 'openai', base_url: large }],
    models: [
      { name: 'small', tier: 'fast', quality: 0.4, capabilities: ['chat', 'tools'], context_tokens: 1_000, max_output_tokens: 500, price: { input: 0.1, output: 0.4 }, endpoints: [{ endpoint: 'a', model: 'small-at-a' }] },
      { name: 'large', tier: 'expert-reasoning', quality: 0.9, capabilities: ['chat', 'deep_reasoning'], context_tokens: 100_000, max_output_tokens: 8_000, price: { input: 2, output: 8 }, endpoints: [{ endpoint: 'b', model: 'large-at-b' }] },
    ],
    routing,
    cache: { exact: false },
  };
}

let [a, b] = [undefined as unknown as FakeProvider, undefined as unknown as FakeProvider];
beforeAll(async () => {
  [a, b] = await Promise.all([FakeProvider.start(), FakeProvider.start()]);
});
afterAll(async () => {
  await Promise.all([a?.stop(), b?.stop()]);
});

eachBackend(backend => {
  const open: LLMRouter[] = [];
  const provider = providers();

  async function router(settings: GatewayConfig | string = config(a.baseUrl, b.baseUrl)): Promise<LLMRouter> {
    const made = new LLMRouter();
    open.push(made);
    await made.initialize(settings);
    return made;
  }

  afterEach(async () => {
    await Promise.all(open.splice(0).map(one => one.close()));
    await Promise.all([a.reset(), b.reset()]);
  });

  it('says which backend answers and why, and has the methods that support.json lists', async () => {
    expect(new LLMRouter().backend).toEqual({ kind: backend, reason: expect.stringContaining('UAT_BACKEND') });
    expect(llmRouter).toBeInstanceOf(LLMRouter);
    const methods = Object.getOwnPropertyNames(LLMRouter.prototype).filter(name => !['constructor', 'backend'].includes(name));
    expect(Object.keys(support.LLMRouter).sort()).toEqual(methods.sort());
    const one = await router();
    const options: Record<string, RouteOptions> = { context: { context: { documents: [] } }, cascade: { cascade: true } };
    for (const [option, has] of Object.entries(support['LLMRouter options'])) {
      if (has[backend]) continue;
      const error = await errorOf(one.generateResponse('auto', MESSAGES, options[option]));
      expect(error).toMatchObject({ code: 'UAT_UNSUPPORTED', details: { option } });
      expect(error.message).toContain(`options.${option}`);
    }
    expect(await a.requestCount() + await b.requestCount()).toBe(0);
  });

  describe('an answer', () => {
    it('comes from the model that was chosen, with the plan', async () => {
      const one = await router();
      const response = await one.generateResponse('expert-reasoning', MESSAGES, { temperature: 0.3, maxTokens: 8000, capabilities: ['deep_reasoning'] });
      expect(response.content).toBe(ANSWER);
      expect(response.plan).toMatchObject({
        requestId: response.routing.requestId, tier: 'expert-reasoning', chosen: 'large', contextAdded: [],
        candidates: [{ model: 'large', terms: { tier: 1, quality: 0.9, latency: 0.5, health: 1, price: expect.any(Number) } }],
        estimate: { promptTokens: expect.any(Number), costUsd: expect.any(Number), latencyMs: NaN },
      });
      expect(response.plan.decidedInUs).toBeGreaterThan(0);
      expect(response.routing).toMatchObject({ model: 'large', endpoint: 'b', cache: 'bypass', attempts: [{ endpoint: 'b', outcome: 'ok' }] });
      expect(response.routing.plan).toEqual(response.plan);
      const [sent] = await b.requests(1);
      expect(JSON.parse(sent!.body)).toEqual({ model: 'large-at-b', messages: MESSAGES, temperature: 0.3, max_tokens: 8000 });
    });

    it('comes in pieces, the last of which carries the plan', async () => {
      const one = await router();
      const chunks = await collect(one.streamResponse('fast', MESSAGES, { stop: ['\n'] }));
      expect(textOf(chunks)).toBe(ANSWER);
      expect(chunks.filter(chunk => chunk.routing !== undefined)).toEqual([chunks.at(-1)]);
      const { plan, model, requestId } = chunks.at(-1)!.routing!;
      expect([plan?.chosen, model, plan?.requestId]).toEqual(['small', 'small', requestId]);
      const [sent] = await a.requests(1);
      expect(JSON.parse(sent!.body)).toMatchObject({ model: 'small-at-a', stream: true, stop: ['\n'] });
      await one.feedback(requestId, 1);
    });

    it('comes from the next of the plan where the first fails', async () => {
      await b.reset({ behaviour: 'status', code: 503 });
      const one = await router();
      const response = await one.generateResponse('auto', MESSAGES);
      expect(response.plan.candidates.map(({ model }) => model)).toEqual(['large', 'small']);
      expect(response.routing).toMatchObject({ model: 'small', endpoint: 'a' });
      expect(response.routing.attempts.map(({ endpoint, outcome }) => `${endpoint} ${outcome}`).at(-1)).toBe('a ok');
      const chunks = await collect(one.streamResponse('auto', MESSAGES));
      expect([textOf(chunks), chunks.at(-1)?.routing?.model]).toEqual([ANSWER, 'small']);
    });

    it('is refused with every attempt where nobody answers', async () => {
      await Promise.all([a, b].map(one => one.reset({ behaviour: 'status', code: 503 })));
      const one = await router();
      const error = await errorOf(one.generateResponse('auto', MESSAGES));
      expect(error).toMatchObject({ code: 'UAT_ALL_ENDPOINTS_FAILED', retryable: true });
      const { requestId, attempts } = error.details as { requestId: string; attempts: { endpoint: string }[] };
      expect(new Set(attempts.map(({ endpoint }) => endpoint))).toEqual(new Set(['a', 'b']));
      expect(one.explain(requestId)).toMatchObject({ requestId, chosen: 'large' });
      expect(await errorOf(one.feedback(requestId, 1))).toMatchObject({ code: 'UAT_CONFLICT', message: expect.stringContaining('no answer') });
    });

    it('may come from the cache, and says who gave it', async () => {
      const one = await router({ ...config(a.baseUrl, b.baseUrl), cache: { exact: true } });
      const options = { temperature: 0 };
      await one.generateResponse('fast', MESSAGES, options);
      const again = await one.generateResponse('fast', MESSAGES, options);
      expect(again.routing).toMatchObject({ cache: 'hit', model: 'small', endpoint: 'a', attempts: [] });
      expect(again.plan.requestId).toBe(again.routing.requestId);
      expect((await one.generateResponse('fast', MESSAGES, { ...options, cache: false })).routing.cache).toBe('bypass');
    });
  });

  describe('what is wrong with a cascade or a context', () => {
    it.each<[RouteOptions, string]>([
      [{ cascade: 'yes' as never }, 'options.cascade: expected true, false'],
      [{ cascade: { check: 7 as never } }, 'options.cascade.check'],
      [{ cascade: { check: 'schema', limit: 3 } as never }, 'options.cascade.limit'],
      [{ cascade: { check: () => true, k: 3 } }, 'options.cascade.k'],
      [{ context: { documents: [{ id: 'a' }] } as never }, 'options.context.documents[0]'],
      [{ context: { maxTokens: 0 } }, 'options.context.maxTokens'],
    ])('%j is named', async (options, words) => {
      const error = await errorOf((await router()).generateResponse('auto', MESSAGES, options));
      expect(error).toMatchObject({ code: 'UAT_INVALID_INPUT', message: expect.stringContaining(words) });
    });
  });

  describe.runIf(support['LLMRouter options'].cascade[backend])('a cascade', () => {
    it('gives the cheap answer where it does, and else the better one, with what came of it', async () => {
      const one = await router();
      await a.reset({ behaviour: 'answer', text: '{"a":1}' });
      const options: RouteOptions = { response_format: { type: 'json_object' }, cascade: { check: 'schema' } };
      const cheap = await one.generateResponse('auto', MESSAGES, options);
      expect([cheap.content, cheap.routing.model]).toEqual(['{"a":1}', 'small']);
      expect(cheap.plan.cascade).toMatchObject({ check: 'schema', first: 'small', second: 'large', accepted: true, measured: 1, firstCostUsd: expect.any(Number) });
      expect(await b.requestCount()).toBe(0);

      await a.reset({ behaviour: 'answer', text: 'Sure!' });
      const chunks = await collect(one.streamResponse('auto', MESSAGES, options));
      const { model, plan, attempts } = chunks.at(-1)!.routing!;
      expect([textOf(chunks), model, attempts.length]).toEqual([ANSWER, 'large', 2]);
      expect(plan?.cascade).toMatchObject({ accepted: false, why: 'it is no JSON' });
    });

    it('asks the function that is its check', async () => {
      const one = await router();
      const seen: string[] = [];
      const check = async (response: { content: string; routing: { model: string } }) => {
        seen.push(`${response.routing.model}: ${response.content}`);
        return seen.length > 1;
      };
      expect((await one.generateResponse('auto', MESSAGES, { cascade: { check } })).routing.model).toBe('large');
      const accepted = await one.generateResponse('auto', MESSAGES, { cascade: { check } });
      expect([accepted.routing.model, accepted.plan.cascade?.check]).toEqual(['small', 'predicate']);
      expect(seen).toEqual([`small: ${ANSWER}`, `small: ${ANSWER}`]);
      expect(one.plan('auto', MESSAGES, { cascade: { check } }).cascade).toMatchObject({ first: 'small', second: 'large' });
    });

    it('ends with what the function throws, and is refused where it returns no boolean', async () => {
      const one = await router();
      const cause = new Error('no idea');
      const thrown = await errorOf(one.generateResponse('auto', MESSAGES, { cascade: { check: () => { throw cause; } } }));
      expect(thrown).toMatchObject({ code: 'UAT_INVALID_INPUT', cause, message: expect.stringContaining('no idea') });
      const odd = await errorOf(collect(one.streamResponse('auto', MESSAGES, { cascade: { check: () => 'yes' as never } })));
      expect(odd).toMatchObject({ code: 'UAT_INVALID_INPUT', message: expect.stringContaining('true or false') });
      expect(await b.requestCount()).toBe(0);
    });

    it('is refused by its field where it cannot be', async () => {
      const one = await router();
      const refusal = (cascade: NonNullable<RouteOptions['cascade']>) => errorOf(one.generateResponse('auto', MESSAGES, { cascade }));
      expect((await refusal({ check: 'schema' })).message).toContain('response_format');
      expect((await refusal({ check: 'self-consistency', k: 11 })).message).toContain('options.cascade.k: expected a whole number of answers from 2 to 10, got 11');
      expect((await refusal({ check: 'vote' as never })).message).toContain('`schema`, `self-consistency`, `logprob`');
    });
  });

  it.runIf(support['LLMRouter options'].context[backend])('adds of the documents what the question is about', async () => {
    const one = await router();
    const documents = [{ id: 'sky', text: 'The sky is blue because air scatters short waves of light.' }];
    const response = await one.generateResponse('auto', MESSAGES, { context: { documents } });
    expect(response.plan.contextAdded).toEqual([{ source: expect.stringContaining('sky'), tokens: expect.any(Number) }]);
    const [sent] = await b.requests(1);
    expect(sent!.body).toContain('scatters short waves');
  });

  describe('a call ends', () => {
    it('with its signal, and the upstream connection with it', async () => {
      await a.reset({ behaviour: 'hang' });
      const one = await router();
      const controller = new AbortController();
      const asking = errorOf(one.generateResponse('fast', MESSAGES, { signal: controller.signal }));
      await a.requests(1);
      controller.abort(new Error('changed my mind'));
      expect(await asking).toMatchObject({ code: 'UAT_CANCELLED', cause: { message: 'changed my mind' } });
      await a.disconnects(1, 2_000);
    });

    it('after timeoutMs', async () => {
      await a.reset({ behaviour: 'hang' });
      const one = await router();
      expect(await errorOf(one.generateResponse('fast', MESSAGES, { timeoutMs: 50 }))).toMatchObject({ code: 'UAT_TIMEOUT' });
    });

    it('with its loop', async () => {
      await a.reset({ behaviour: 'answer', between_chunks_ms: 20, chunks: 200 });
      const one = await router();
      for await (const chunk of one.streamResponse('fast', MESSAGES)) {
        if (chunk.choices[0]?.delta.content) break;
      }
      await a.disconnects(1, 2_000);
    });

    it('with the router', async () => {
      await a.reset({ behaviour: 'hang' });
      const one = await router();
      const asking = errorOf(one.generateResponse('fast', MESSAGES));
      await a.requests(1);
      await one.close();
      expect(await asking).toMatchObject({ code: 'UAT_CLOSED', message: expect.stringContaining('LLMRouter') });
    });
  });

  describe('a plan', () => {
    it('asks nobody, and is explained', async () => {
      const one = await router();
      const plan = one.plan('auto', MESSAGES, { constraints: { maxCostUsd: 0.001 } });
      expect(plan).toMatchObject({ tier: 'auto', chosen: 'small', estimate: { costUsd: expect.any(Number) } });
      expect(plan.candidates[1]).toMatchObject({ model: 'large', rejected: expect.stringMatching(/may cost .* USD, 0.001 are allowed/) });
      expect(one.explain(plan.requestId)).toEqual(plan);
      expect(await a.requestCount() + await b.requestCount()).toBe(0);
      expect(await errorOf(one.feedback(plan.requestId, 1))).toMatchObject({ code: 'UAT_CONFLICT' });
    });

    it('rules out who cannot do it', async () => {
      const one = await router();
      const chosen = (options: RouteOptions, messages = MESSAGES): string => one.plan('auto', messages, options).chosen;
      expect(chosen({})).toBe('large');
      expect(chosen({ capabilities: ['tools'] })).toBe('small');
      expect(chosen({ tools: [{ type: 'function', function: { name: 'f' } }] })).toBe('small');
      expect(chosen({ maxTokens: 501 })).toBe('large');
      expect(one.plan('auto', [{ role: 'user', content: 'x'.repeat(4_000) }]).candidates[1]).toMatchObject({ model: 'small', rejected: expect.stringContaining('holds 1000 tokens') });
    });

    it('keeps the order of a tier that lists its models', async () => {
      const one = await router(config(a.baseUrl, b.baseUrl, { tiers: { mine: ['small', 'large'] } }));
      expect(one.plan('mine', MESSAGES).candidates.map(({ model }) => model)).toEqual(['small', 'large']);
    });

    it('changes with how models answer', async () => {
      const one = await router();
      expect(one.plan('fast', MESSAGES).estimate.latencyMs).toBeNaN();
      await one.generateResponse('fast', MESSAGES);
      expect(one.plan('fast', MESSAGES).estimate.latencyMs).toBeGreaterThan(0);
    });

    it('is the same as the other backend makes', async () => {
      const one = await router();
      const { requestId: _, decidedInUs: __, ...plan } = one.plan('auto', [...MESSAGES, { role: 'assistant', content: 'Grüße' }, { role: 'user', content: '🌍' }], { maxTokens: 333, constraints: { maxLatencyMs: 1e4 } });
      expect(plan).toMatchInlineSnapshot(`
        {
          "candidates": [
            {
              "model": "large",
              "score": 0.716347717323327,
              "terms": {
                "health": 1,
                "latency": 0.5,
                "price": 0.7817385866166353,
                "quality": 0.9,
                "tier": 0,
              },
            },
            {
              "model": "small",
              "score": 0.5572464397017634,
              "terms": {
                "health": 1,
                "latency": 0.5,
                "price": 0.9862321985088169,
                "quality": 0.4,
                "tier": 0,
              },
            },
          ],
          "chosen": "large",
          "contextAdded": [],
          "estimate": {
            "costUsd": 0.002792,
            "latencyMs": NaN,
            "promptTokens": 64,
          },
          "tier": "auto",
        }
      `);
    });
  });

  describe('what cannot be', () => {
    it('is told with what there is', async () => {
      const one = await router();
      const tier = await errorOf(one.generateResponse('fsat', MESSAGES));
      expect(tier).toMatchObject({ code: 'UAT_MODEL_NOT_FOUND', message: 'unknown tier `fsat`; there are `fast`, `expert-reasoning`', details: { tier: 'fsat', known: ['fast', 'expert-reasoning'] } });
      const capability = thrownBy(() => one.plan('auto', MESSAGES, { capabilities: ['tool'] }));
      expect(capability).toMatchObject({ code: 'UAT_INVALID_INPUT', message: expect.stringContaining('unknown capability `tool`; there are `tools`'), details: { capability: 'tool', known: expect.arrayContaining(['tools', 'deep_reasoning', 'chat']) } });
      const nobody = await errorOf(one.generateResponse('auto', MESSAGES, { maxTokens: 9_000 }));
      expect(nobody).toMatchObject({ code: 'UAT_NO_CANDIDATE', retryable: false, message: expect.stringContaining('`large` comes nearest: it answers with at most 8000 tokens, 9000 are wanted: 1000 too many') });
      expect(nobody.details).toMatchObject({ nearest: 'large', rejection: { reason: 'output', needed: 9_000, has: 8_000 } });
      expect(one.explain(nobody.details['requestId'] as string)).toMatchObject({ chosen: '' });
    });

    const wrong: [string, unknown[], string][] = [
      ['a tier', [7, MESSAGES], 'tier'],
      ['an empty tier', [' ', MESSAGES], 'tier'],
      ['no messages', ['auto', []], 'messages'],
      ['options', ['auto', MESSAGES, 'fast'], 'options'],
      ['a model', ['auto', MESSAGES, { model: 'm' }], 'options.model'],
      ['other messages', ['auto', MESSAGES, { messages: [] }], 'options.messages'],
      ['capabilities', ['auto', MESSAGES, { capabilities: 'tools' }], 'options.capabilities'],
      ['a capability', ['auto', MESSAGES, { capabilities: ['tools', ''] }], 'options.capabilities[1]'],
      ['a constraint that is none', ['auto', MESSAGES, { constraints: { maxLatency: 1 } }], 'options.constraints.maxLatency'],
      ['a constraint below 0', ['auto', MESSAGES, { constraints: { maxCostUsd: -1 } }], 'options.constraints.maxCostUsd'],
      ['a temperature', ['auto', MESSAGES, { temperature: 3 }], 'temperature'],
      ['a signal', ['auto', MESSAGES, { signal: 1 }], 'options.signal'],
    ];
    it.each(wrong)('is refused by its name: %s', async (_what, args, field) => {
      const one = await router();
      const call = args as Parameters<LLMRouter['plan']>;
      expect(thrownBy(() => one.plan(...call))).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field } });
      expect(thrownBy(() => one.streamResponse(...call))).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field } });
      expect(await errorOf(one.generateResponse(...call))).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field } });
    });
  });

  describe('feedback', () => {
    it('is learnt from', async () => {
      const one = await router();
      expect(one.models()).toEqual([
        { name: 'small', tier: 'fast', capabilities: ['chat', 'tools'], quality: 0.4, samples: 0, healthy: true },
        { name: 'large', tier: 'expert-reasoning', capabilities: ['chat', 'deep_reasoning'], quality: 0.9, samples: 0, healthy: true },
      ]);
      for (let judgement = 0; judgement < 20; judgement += 1) {
        const { plan } = await one.generateResponse('expert-reasoning', MESSAGES);
        await one.feedback(plan.requestId, 0);
      }
      const [small, large] = one.models();
      expect([small?.samples, large?.samples]).toEqual([0, 20]);
      expect(large?.quality).toBeLessThan(0.4);
      const told = one.plan('auto', MESSAGES).candidates.find(({ model }) => model === 'large');
      expect(told?.terms['quality']).toBeCloseTo(large?.quality ?? NaN);
    });

    it('counts for the model that answered', async () => {
      await b.reset({ behaviour: 'status', code: 503 });
      const one = await router();
      const { plan } = await one.generateResponse('auto', MESSAGES);
      await one.feedback(plan.requestId, 1);
      expect(one.models().map(({ samples }) => samples)).toEqual([1, 0]);
    });

    it('is refused for who is unknown, twice, and outside 0 to 1', async () => {
      const one = await router();
      const { plan } = await one.generateResponse('fast', MESSAGES);
      expect(await errorOf(one.feedback('req_nobody', 1))).toMatchObject({ code: 'UAT_NOT_FOUND', message: expect.stringContaining('req_nobody'), details: { requestId: 'req_nobody' } });
      for (const score of [-0.1, 1.1, NaN, '1']) {
        expect(await errorOf(one.feedback(plan.requestId, score as number))).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field: 'score' } });
      }
      await one.feedback(plan.requestId, 0.5);
      expect(await errorOf(one.feedback(plan.requestId, 0.5))).toMatchObject({ code: 'UAT_CONFLICT', message: expect.stringContaining(plan.requestId) });
    });
  });

  it('explains the last 1024 decisions', async () => {
    const one = await router();
    const first = one.plan('auto', MESSAGES).requestId;
    const second = one.plan('auto', MESSAGES).requestId;
    for (let more = 0; more < 1_023; more += 1) one.plan('auto', MESSAGES);
    expect(one.explain(first)).toBeNull();
    expect(one.explain(second)).toMatchObject({ requestId: second });
    expect(one.explain('req_nobody')).toBeNull();
  });

  it('says that a model is not healthy whose endpoint refuses our key, and asks it last', async () => {
    const { url } = await provider((_asked, response) => sendJson(response, { error: { message: 'who are you?' } }, 401));
    const one = await router(config(a.baseUrl, url));
    expect((await one.generateResponse('auto', MESSAGES)).routing.model).toBe('small');
    expect(one.models().map(({ healthy }) => healthy)).toEqual([true, false]);
    expect(one.plan('auto', MESSAGES)).toMatchObject({ chosen: 'small', candidates: [{ model: 'small' }, { model: 'large', terms: { health: 0 } }] });
  });

  describe('its life', () => {
    let folder: string;
    const before = process.env['UAT_CONFIG'];
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'uat-router-'));
      writeFileSync(join(folder, 'uat.json'), JSON.stringify(config(a.baseUrl, b.baseUrl)));
      process.env['UAT_CONFIG'] = join(folder, 'uat.json');
    });
    afterAll(() => {
      if (before === undefined) delete process.env['UAT_CONFIG'];
      else process.env['UAT_CONFIG'] = before;
      rmSync(folder, { recursive: true, force: true });
    });

    it('begins with the first asynchronous call, and not before', async () => {
      const one = new LLMRouter();
      open.push(one);
      for (const call of [() => one.plan('auto', MESSAGES), () => one.models(), () => one.explain('req_nobody')]) {
        expect(thrownBy(call)).toMatchObject({ code: 'UAT_NOT_INITIALIZED' });
      }
      const both = await Promise.all([one.generateResponse('expert-reasoning', MESSAGES), collect(one.streamResponse('fast', MESSAGES))]);
      expect([both[0].content, textOf(both[1])]).toEqual([ANSWER, ANSWER]);
      expect(one.models()).toHaveLength(2);
      expect(await errorOf(one.initialize())).toMatchObject({ code: 'UAT_CONFLICT' });
    });

    it('ends with close, after which it may be initialized again', async () => {
      const one = await router();
      await one.close();
      await one.close();
      expect(thrownBy(() => one.plan('auto', MESSAGES))).toMatchObject({ code: 'UAT_CLOSED' });
      expect(thrownBy(() => one.streamResponse('auto', MESSAGES))).toMatchObject({ code: 'UAT_CLOSED' });
      expect(await errorOf(one.generateResponse('auto', MESSAGES))).toMatchObject({ code: 'UAT_CLOSED' });
      await one.initialize();
      expect((await one.generateResponse('auto', MESSAGES)).content).toBe(ANSWER);
    });

    it('does not begin with a configuration that is wrong, and may with the next', async () => {
      const one = new LLMRouter();
      open.push(one);
      for (const wrong of [{ routing: { tiers: { mine: [] } } }, { routing: { weights: { tier: -1 } } }, { routing: { max_candidates: 17 } }, { ...config(a.baseUrl), routing: { tiers: { mine: ['smal'] } } }]) {
        expect(await errorOf(one.initialize(wrong as GatewayConfig))).toMatchObject({ code: 'UAT_CONFIG' });
      }
      expect(thrownBy(() => one.models())).toMatchObject({ code: 'UAT_NOT_INITIALIZED' });
      await one.initialize(config(a.baseUrl));
      expect(one.models()).toHaveLength(2);
    });
  });

  it('chooses for FastLLMCoordinator too, where that is asked for auto or a tier', async () => {
    const { url } = await provider((_asked, response) => sendJson(response, completion('x')));
    const coordinator = new FastLLMCoordinator(config(a.baseUrl, url));
    try {
      expect((await coordinator.route({ model: 'auto', messages: MESSAGES })).routing).toMatchObject({ model: 'large', endpoint: 'b' });
      expect(textOf(await collect(coordinator.stream({ model: 'tier:fast', messages: MESSAGES })))).toBe(ANSWER);
      expect(await errorOf(coordinator.embed('auto', 'x'))).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field: 'model' } });
    } finally {
      await coordinator.close();
    }
  });
});
