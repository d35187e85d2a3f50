import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { ChatRequest, ChatResponse, FastLLMCoordinator } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { chunk, collect, completion, coordinators, providers, REQUEST, sendEvents, sendJson, sendStream, served, textOf } from '../support/chat.js';
import { errorOf } from '../support/errors.js';
import { RedisServer } from '../support/redis-server.js';
import { until } from '../support/until.js';

const FIXED: ChatRequest = { ...REQUEST, temperature: 0 };

/** Whether so many calls share the answer of the one that was first. The core counts them when they are answered. */
function joined(one: FastLLMCoordinator, followers: number): boolean {
  const { inFlight, cacheHits } = one.stats();
  return inFlight === followers + 1 && (one.backend.kind === 'native' || cacheHits === followers);
}

eachBackend(() => {
  const coordinator = coordinators();
  const provider = providers();

  /** Answers with the number of the request, so that one answer is told from another. */
  const counting = async (): ReturnType<typeof provider> => await provider(async ({ body }, response, index) => {
    if (body['stream'] !== true) return sendJson(response, completion(`answer ${index}`));
    const usage = { id: 'up', choices: [], usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } };
    await sendStream(response, ['answer', ` ${index}`], 'end', (body['stream_options'] as { include_usage?: boolean } | undefined)?.include_usage === true ? [usage] : []);
  });

  describe('the response cache', () => {
    it('answers the same question the same way at temperature 0, and says so', async () => {
      const one = coordinator(served('peak-ewma', (await counting()).url));
      const first = await one.route(FIXED);
      expect(first).toMatchObject({ content: 'answer 0', routing: { cache: 'miss', endpoint: 'a', attempts: [{ outcome: 'ok' }] } });
      const second = await one.route({ temperature: 0, messages: FIXED.messages, model: 'm' });
      expect(second).toMatchObject({ content: 'answer 0', usage: first.usage, routing: { cache: 'hit', endpoint: 'a', attempts: [] } });
      expect(second.routing.requestId).not.toBe(first.routing.requestId);
      expect(one.stats()).toMatchObject({ requests: 2, cacheHits: 1, cacheMisses: 1, errors: 0, inFlight: 0 });
    });

    it.each<[string, Partial<ChatRequest>, { cache?: boolean }, boolean]>([
      ['at another temperature', { temperature: 0.5 }, {}, false],
      ['without a temperature', {}, {}, false],
      ['at another temperature, if the caller says so', { temperature: 0.5 }, { cache: true }, true],
      ['at temperature 0', { temperature: 0 }, {}, true],
      ['at temperature 0, unless the caller says not', { temperature: 0 }, { cache: false }, false],
      ['where several answers are asked for', { temperature: 0, n: 2 }, { cache: true }, false],
    ])('%s', async (_, fields, options, used) => {
      const one = coordinator(served('peak-ewma', (await counting()).url));
      const answers: ChatResponse[] = [];
      for (let call = 0; call < 2; call += 1) answers.push(await one.route({ ...REQUEST, ...fields }, options));
      expect(answers.map(({ content, routing }) => [content, routing.cache])).toEqual(used ? [['answer 0', 'miss'], ['answer 0', 'hit']] : [['answer 0', 'bypass'], ['answer 1', 'bypass']]);
    });

    it('is not used where it is switched off', async () => {
      const one = coordinator({ ...served('peak-ewma', (await counting()).url), cache: { exact: false } });
      expect((await one.route(FIXED, { cache: true })).routing.cache).toBe('bypass');
    });

    it.each<[string, Partial<ChatRequest>]>([
      ['another message', { messages: [{ role: 'user', content: 'Why?' }] }], ['another parameter', { max_tokens: 9 }], ['an unknown field', { x: 1 }], ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }],
    ])('tells questions apart by %s', async (_, fields) => {
      const one = coordinator(served('peak-ewma', (await counting()).url));
      await one.route(FIXED);
      expect((await one.route({ ...FIXED, ...fields })).content).toBe('answer 1');
    });

    it.each<[string, object]>([
      ['was truncated', { choices: [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'length' }] }],
      ['calls tools', { choices: [{ index: 0, message: { role: 'assistant', content: null, tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }] }, finish_reason: 'tool_calls' }] }],
      ['is longer than max_entry_kb', { choices: [{ index: 0, message: { role: 'assistant', content: 'x'.repeat(3_000) }, finish_reason: 'stop' }] }],
    ])('keeps no answer that %s', async (_, answer) => {
      const a = await provider((_asked, response) => sendJson(response, completion('', answer as Record<string, unknown>)));
      const one = coordinator({ ...served('peak-ewma', a.url), cache: { max_entry_kb: 2 } });
      for (let call = 0; call < 2; call += 1) expect((await one.route(FIXED)).routing.cache).toBe('miss');
      expect(a.asked).toHaveLength(2);
    });

    it('keeps no error', async () => {
      const a = await provider((_asked, response, index) => sendJson(response, index === 0 ? { error: { message: 'no' } } : completion('yes'), index === 0 ? 400 : 200));
      const one = coordinator(served('peak-ewma', a.url));
      await errorOf(one.route(FIXED));
      expect((await one.route(FIXED)).content).toBe('yes');
    });

    it('forgets after ttl_s', async () => {
      const one = coordinator({ ...served('peak-ewma', (await counting()).url), cache: { ttl_s: 1 } });
      await one.route(FIXED);
      await until(async () => (await one.route(FIXED)).content === 'answer 1');
    });

    it('gives each caller an object of his own', async () => {
      const one = coordinator(served('peak-ewma', (await counting()).url));
      await one.route(FIXED);
      const changed = await one.route(FIXED);
      changed.choices[0]!.message.content = 'changed';
      expect((await one.route(FIXED)).content).toBe('answer 0');
    });
  });

  describe('with Redis', () => {
    let redis: RedisServer;
    beforeAll(async () => { redis = await RedisServer.start(); });
    afterAll(() => redis.stop());

    it('is shared, and does without when Redis is away', async () => {
      const a = await counting();
      const config = { ...served('peak-ewma', a.url), redis: { url: redis.url, key_prefix: 'app:', read_budget_ms: 2_000 } };
      const [one, other] = [coordinator(config), coordinator(config)];
      expect((await one.route(FIXED)).routing.cache).toBe('miss');
      await until(async () => Number(await redis.cli('DBSIZE')) === 1);
      expect((await redis.cli('KEYS', '*')).startsWith('app:')).toBe(true);
      expect((await other.route(FIXED)).routing.cache).toBe('hit');
      expect(textOf(await collect(other.stream(FIXED)))).toBe('answer 0');
      await redis.kill();
      expect((await other.route({ ...FIXED, seed: 1 })).content).toBe('answer 1');
      await redis.restart();
    });
  });

  describe('a stream', () => {
    it('is replayed as a stream', async () => {
      const one = coordinator(served('peak-ewma', (await counting()).url));
      expect(textOf(await collect(one.stream(FIXED)))).toBe('answer 0');
      const chunks = await collect(one.stream(FIXED));
      expect(textOf(chunks)).toBe('answer 0');
      expect(chunks[0]?.choices[0]?.delta.role).toBe('assistant');
      expect(chunks.at(-1)).toMatchObject({ choices: [{ finish_reason: 'stop' }], routing: { cache: 'hit', endpoint: 'a', attempts: [] } });
    });

    it('is replayed with its usage, if that is asked for', async () => {
      const one = coordinator(served('peak-ewma', (await counting()).url));
      const request = { ...FIXED, stream_options: { include_usage: true } };
      await collect(one.stream(request));
      expect((await collect(one.stream(request))).at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 }, routing: { cache: 'hit' } });
    });

    it('is used if the caller says so, and not if he says not', async () => {
      const one = coordinator(served('peak-ewma', (await counting()).url));
      await collect(one.stream(REQUEST, { cache: true }));
      expect((await collect(one.stream(REQUEST, { cache: true }))).at(-1)?.routing?.cache).toBe('hit');
      expect((await collect(one.stream(FIXED, { cache: false }))).at(-1)?.routing?.cache).toBe('bypass');
    });

    it('that breaks off is not kept', async () => {
      const a = await provider((_asked, response, index) => sendStream(response, ['One'], index === 0 ? 'cut' : 'end'));
      const one = coordinator(served('peak-ewma', a.url));
      await errorOf(collect(one.stream(FIXED)));
      expect((await collect(one.stream(FIXED))).at(-1)?.routing?.cache).toBe('miss');
    });

    it('that says more than text says it again', async () => {
      const a = await provider((_asked, response) => sendEvents(response, [chunk({ content: 'x', annotations: [{ url: 'y' }] }), chunk({}, 'stop'), '[DONE]']));
      const one = coordinator(served('peak-ewma', a.url));
      for (let call = 0; call < 2; call += 1) expect(JSON.stringify(await collect(one.stream(FIXED)))).toContain('"annotations":[{"url":"y"}]');
    });
  });

  describe('the same question, asked by several at once', () => {
    it.each(['route', 'stream'])('is asked once by %s, and each has the whole answer', async method => {
      let release = (): void => undefined;
      const gate = new Promise<void>(resolve => { release = resolve; });
      const a = await provider(async ({ body }, response) => {
        await gate;
        if (body['stream'] === true) await sendStream(response, ['an', ' answer']);
        else sendJson(response, completion('an answer'));
      });
      const one = coordinator(served('peak-ewma', a.url));
      const ask = async (): Promise<{ text: string; cache: string | undefined }> => {
        if (method === 'route') {
          const { content, routing } = await one.route(FIXED);
          return { text: content, cache: routing.cache };
        }
        const chunks = await collect(one.stream(FIXED));
        return { text: textOf(chunks), cache: chunks.at(-1)?.routing?.cache };
      };
      const asking = Array.from({ length: 5 }, ask);
      await until(() => a.asked.length > 0 && joined(one, 4));
      release();
      const answers = await Promise.all(asking);
      expect(answers.map(({ text }) => text)).toEqual(Array(5).fill('an answer'));
      expect(answers.map(({ cache }) => cache).sort()).toEqual(['hit', 'hit', 'hit', 'hit', 'miss']);
      expect(a.asked).toHaveLength(1);
      expect(one.stats()).toMatchObject({ requests: 5, cacheHits: 4, cacheMisses: 1, inFlight: 0 });
    });

    it.each(['route', 'stream'])('is answered by %s although the one who asked first goes away', async method => {
      let release = (): void => undefined;
      const gate = new Promise<void>(resolve => { release = resolve; });
      const a = await provider(async ({ body }, response) => {
        await gate;
        if (body['stream'] === true) await sendStream(response, ['an', ' answer']);
        else sendJson(response, completion('an answer'));
      });
      const one = coordinator(served('peak-ewma', a.url));
      const controller = new AbortController();
      const ask = (signal?: AbortSignal): Promise<string> => method === 'route'
        ? one.route(FIXED, signal === undefined ? {} : { signal }).then(({ content }) => content)
        : collect(one.stream(FIXED, signal === undefined ? {} : { signal })).then(textOf);
      const leader = errorOf(ask(controller.signal));
      await until(() => a.asked.length === 1);
      const followers = [ask(), ask()];
      await until(() => joined(one, 2));
      controller.abort();
      expect(await leader).toMatchObject({ code: 'UAT_CANCELLED' });
      release();
      expect(await Promise.all(followers)).toEqual(['an answer', 'an answer']);
      expect(a.asked).toHaveLength(1);
      expect(one.stats()).toMatchObject({ errors: 0, inFlight: 0 });
    });

    it('closes the upstream when the last one has gone away', async () => {
      let closed = false;
      const a = await provider((_asked, response) => void response.on('close', () => { closed = true; }));
      const one = coordinator(served('peak-ewma', a.url));
      const controller = new AbortController();
      const asking = [errorOf(one.route(FIXED, { signal: controller.signal })), errorOf(one.route(FIXED, { signal: controller.signal }))];
      await until(() => a.asked.length === 1 && joined(one, 1));
      controller.abort();
      expect((await Promise.all(asking)).map(({ code }) => code)).toEqual(['UAT_CANCELLED', 'UAT_CANCELLED']);
      await until(() => closed, 1_000);
      expect(one.health()[0]).toMatchObject({ inFlight: 0 });
    });

    it('fails for each with an error of his own', async () => {
      let release = (): void => undefined;
      const gate = new Promise<void>(resolve => { release = resolve; });
      const a = await provider(async (_asked, response) => {
        await gate;
        sendJson(response, { error: { message: 'not this' } }, 400);
      });
      const one = coordinator(served('peak-ewma', a.url));
      const asking = [errorOf(one.route(FIXED)), errorOf(one.route(FIXED))];
      await until(() => a.asked.length === 1 && joined(one, 1));
      release();
      const errors = await Promise.all(asking);
      expect(errors.map(({ code, message }) => [code, message])).toEqual(Array(2).fill(['UAT_INVALID_INPUT', 'not this']));
      expect(new Set(errors.map(({ details }) => details['requestId'])).size).toBe(2);
      expect(one.stats()).toMatchObject({ errors: 2, inFlight: 0 });
    });
  });
});
