import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { ChatRequest, GatewayConfig } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { collect, completion, coordinators, providers, REQUEST, sendEvents, sendJson, sendStream, served, textOf } from '../support/chat.js';
import { errorOf, thrownBy } from '../support/errors.js';

const TOOLS = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }];
/** How each dialect says "Hm. Hello", two calls of a tool, 5 tokens of 3, and why it ended. */
const ANTHROPIC_CONTENT = [
  { type: 'thinking', thinking: 'Hm.', signature: 'sig' }, { type: 'text', text: 'Hello' },
  { type: 'tool_use', id: 't1', name: 'weather', input: { city: 'Bern' } }, { type: 'tool_use', id: 't2', name: 'weather', input: {} },
];
const GEMINI_PARTS = [{ text: 'Hm.', thought: true }, { text: 'Hello' }, { functionCall: { id: 't1', name: 'weather', args: { city: 'Bern' } }, thoughtSignature: 'sig' }, { functionCall: { id: 't2', name: 'weather', args: {} } }];
const CALLS = [{ id: 't1', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } }, { id: 't2', type: 'function', function: { name: 'weather', arguments: '{}' } }];

const anthropicEvents = (): Record<string, unknown>[] => [
  { type: 'message_start', message: { id: 'msg_1', usage: { input_tokens: 3, output_tokens: 1 } } }, { type: 'ping' },
  { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Hm.' } }, { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'sig' } }, { type: 'content_block_stop', index: 0 },
  { type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } }, { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: 'Hello' } }, { type: 'content_block_stop', index: 1 },
  { type: 'content_block_start', index: 2, content_block: { type: 'tool_use', id: 't1', name: 'weather', input: {} } },
  { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '{"city":' } }, { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '"Bern"}' } }, { type: 'content_block_stop', index: 2 },
  { type: 'content_block_start', index: 3, content_block: { type: 'tool_use', id: 't2', name: 'weather', input: {} } }, { type: 'content_block_stop', index: 3 },
  { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 5 } }, { type: 'message_stop' },
];

eachBackend(() => {
  const coordinator = coordinators();
  const provider = providers();
  const folder = (): string => process.env['UAT_TEST_FOLDER']!;

  beforeEach(() => {
    process.env['UAT_TEST_KEY'] = 'sk-test-1';
    process.env['UAT_TEST_FOLDER'] = mkdtempSync(join(tmpdir(), 'uat-test-'));
  });
  afterEach(() => {
    rmSync(folder(), { recursive: true });
    delete process.env['UAT_TEST_KEY'];
    delete process.env['UAT_TEST_FOLDER'];
  });

  const at = (url: string, protocol: string, more: object = {}): GatewayConfig => served('peak-ewma', { url, protocol, api_key_env: 'UAT_TEST_KEY', ...more });

  /** Each dialect's server, which answers whole or streamed. */
  const servers = {
    anthropic: () => provider(({ body }, response) => (body['stream'] === true
      ? sendEvents(response, anthropicEvents())
      : sendJson(response, { id: 'msg_1', type: 'message', role: 'assistant', content: ANTHROPIC_CONTENT, stop_reason: 'tool_use', usage: { input_tokens: 3, output_tokens: 5 } }))),
    gemini: () => provider(({ path }, response) => {
      const usageMetadata = { promptTokenCount: 3, candidatesTokenCount: 5 };
      const said = (parts: object[], more: object = {}): Record<string, unknown> => ({ candidates: [{ content: { role: 'model', parts }, ...more }], usageMetadata });
      if (path.includes('streamGenerateContent')) return sendEvents(response, [...GEMINI_PARTS.map(part => said([part])), said([], { finishReason: 'STOP' })]);
      return sendJson(response, said(GEMINI_PARTS, { finishReason: 'STOP' }));
    }),
  };

  describe.each(['anthropic', 'gemini'] as const)('an endpoint that speaks %s', protocol => {
    it('answers in OpenAI’s shape: text, thoughts, parallel calls, tokens and the reason to end', async () => {
      const one = coordinator(at((await servers[protocol]()).url, protocol));
      const whole = await one.route({ ...REQUEST, tools: TOOLS });
      expect(whole).toMatchObject({ object: 'chat.completion', model: 'm', content: 'Hello', usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 } });
      expect(whole.choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { role: 'assistant', reasoning_content: 'Hm.', tool_calls: CALLS } });
      expect(whole.choices[0]?.message['reasoning_details']).toEqual([expect.objectContaining({ format: protocol === 'anthropic' ? 'anthropic-claude-v1' : 'google-gemini-v1' })]);
    });

    it('streams in OpenAI’s chunks', async () => {
      const one = coordinator(at((await servers[protocol]()).url, protocol));
      const chunks = await collect(one.stream({ ...REQUEST, tools: TOOLS, stream_options: { include_usage: true } }));
      expect(textOf(chunks)).toBe('Hello');
      const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta as Record<string, unknown>));
      expect(deltas[0]).toEqual({ role: 'assistant', content: '' });
      expect(deltas.map(delta => delta['reasoning_content'] ?? '').join('')).toBe('Hm.');
      const calls = deltas.flatMap(delta => (delta['tool_calls'] ?? []) as { index: number; id?: string; function: { name?: string; arguments?: string } }[]);
      expect([0, 1].map(index => calls.filter(call => call.index === index).map(call => call.function.arguments ?? '').join(''))).toEqual(['{"city":"Bern"}', '{}']);
      expect(calls.flatMap(({ id }) => id ?? [])).toEqual(['t1', 't2']);
      expect(chunks.flatMap(({ choices }) => choices.flatMap(choice => choice.finish_reason ?? []))).toEqual(['tool_calls']);
      expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 }, routing: { endpoint: 'a', attempts: [{ outcome: 'ok' }] } });
      expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    });

    it('is told nothing that it cannot hear: hints are named, and what changes the answer is refused', async () => {
      const a = await servers[protocol]();
      const one = coordinator(at(a.url, protocol));
      const { routing } = await one.route({ ...REQUEST, service_tier: 'flex', prompt_cache_key: 'k', messages: [{ role: 'user', content: 'x', name: 'Ada' }] });
      expect([...routing.dropped ?? []].sort()).toEqual(['messages[].name', 'prompt_cache_key', 'service_tier']);
      expect((await collect(one.stream({ ...REQUEST, service_tier: 'flex' }))).at(-1)?.routing?.dropped).toEqual(['service_tier']);
      expect((await one.route(REQUEST)).routing).not.toHaveProperty('dropped');
      const error = await errorOf(one.route({ ...REQUEST, logit_bias: { 5: 1 } }));
      expect(error).toMatchObject({ code: 'UAT_INVALID_INPUT', retryable: false });
      expect(error.message).toContain('logit_bias');
      expect(a.asked).toHaveLength(3);
    });

    it('is replaced by one that can say what it cannot', async () => {
      const b = await provider((_asked, response) => sendJson(response, completion('from b')));
      const { endpoints, models } = at((await servers[protocol]()).url, protocol);
      const other = { name: 'b', protocol: 'openai', base_url: b.url };
      const one = coordinator({ endpoints: [...endpoints!, other], models: [{ ...models![0], balance: 'priority', endpoints: [{ endpoint: 'a' }, { endpoint: 'b' }] }] });
      expect(await one.route({ ...REQUEST, logit_bias: { 5: 1 } })).toMatchObject({ content: 'from b', routing: { endpoint: 'b' } });
      expect(one.health()[0]).toMatchObject({ state: 'healthy' });
    });

    it('that sends an error in a 200 is at fault', async () => {
      const error = protocol === 'anthropic' ? { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } } : { error: { code: 503, message: 'Overloaded', status: 'UNAVAILABLE' } };
      const a = await provider(({ body, path }, response) => (body['stream'] === true || path.includes('stream') ? sendEvents(response, [error]) : sendJson(response, error)));
      const one = coordinator(at(a.url, protocol));
      for (const failing of [() => one.route(REQUEST), () => collect(one.stream(REQUEST))]) expect(await errorOf(failing())).toMatchObject({ code: 'UAT_UPSTREAM', retryable: true, message: expect.stringContaining('Overloaded') });
    });

    it('whose stream is cut is told from one that has ended', async () => {
      const events = protocol === 'anthropic' ? anthropicEvents().slice(0, 8) : [{ candidates: [{ content: { parts: [{ text: 'Hello' }] } }] }];
      const a = await provider((_asked, response) => sendEvents(response, events));
      expect(await errorOf(collect(coordinator(at(a.url, protocol)).stream(REQUEST)))).toMatchObject({ code: 'UAT_UPSTREAM' });
    });

    it('continues a stream that broke off elsewhere', async () => {
      const broken = await provider((_asked, response) => sendStream(response, ['Well', '. '], 'cut'));
      const whole = await servers[protocol]();
      const { endpoints } = at(whole.url, protocol, { resume: 'prefill' });
      const one = coordinator({ endpoints: [{ name: 'b', protocol: 'openai', base_url: broken.url }, ...endpoints!], models: [{ name: 'm', balance: 'priority', endpoints: [{ endpoint: 'b' }, { endpoint: 'a' }] }] });
      const chunks = await collect(one.stream({ ...REQUEST, temperature: 0.7 }));
      expect(textOf(chunks)).toBe('Well. Hello');
      expect(chunks.at(-1)?.routing).toMatchObject({ endpoint: 'a', attempts: [{ outcome: 'error' }, { outcome: 'resumed' }] });
      const { messages, contents } = whole.asked[0]!.body as { messages?: unknown[]; contents?: unknown[] };
      expect((messages ?? contents)?.at(-1)).toEqual(protocol === 'anthropic' ? { role: 'assistant', content: [{ type: 'text', text: 'Well.' }] } : { role: 'model', parts: [{ text: 'Well.' }] });
    });
  });

  describe('an endpoint is asked where it lies, with its key', () => {
    const conversation: ChatRequest = { ...REQUEST, messages: [{ role: 'system', content: 'Be brief.' }, ...REQUEST.messages], maxTokens: 9, stop: 'END' };

    it('of Anthropic’s', async () => {
      const a = await servers.anthropic();
      await coordinator(at(a.url, 'anthropic')).route(conversation);
      await coordinator(at(`${a.url}/proxy/v1`, 'anthropic', { api_version: '2024-01-01' })).route(REQUEST);
      expect(a.asked[0]).toMatchObject({ path: '/v1/messages', headers: { 'x-api-key': 'sk-test-1', 'anthropic-version': '2023-06-01' } });
      expect(a.asked[0]?.headers.authorization).toBeUndefined();
      expect(a.asked[0]?.body).toEqual({ model: 'm-at-a', max_tokens: 9, stop_sequences: ['END'], system: [{ type: 'text', text: 'Be brief.' }], messages: [{ role: 'user', content: [{ type: 'text', text: 'Why is the sky blue?' }] }] });
      expect(a.asked[1]).toMatchObject({ path: '/proxy/v1/messages', headers: { 'anthropic-version': '2024-01-01' }, body: { max_tokens: 4096 } });
    });

    it('of Gemini’s', async () => {
      const a = await servers.gemini();
      const one = coordinator(at(a.url, 'gemini'));
      await one.route(conversation);
      await collect(one.stream(REQUEST));
      expect(a.asked[0]).toMatchObject({ path: '/v1beta/models/m-at-a:generateContent', headers: { 'x-goog-api-key': 'sk-test-1' } });
      expect(a.asked[0]?.body).toEqual({ systemInstruction: { parts: [{ text: 'Be brief.' }] }, contents: [{ role: 'user', parts: [{ text: 'Why is the sky blue?' }] }], generationConfig: { maxOutputTokens: 9, stopSequences: ['END'] } });
      expect(a.asked[1]?.path).toBe('/v1beta/models/m-at-a:streamGenerateContent?alt=sse');
    });

    it('of Azure’s, by deployment or by the versionless interface', async () => {
      const a = await provider((_asked, response) => sendJson(response, completion('x')));
      await coordinator(at(a.url, 'azure', { api_version: '2024-10-21' })).route(REQUEST);
      await coordinator(at(a.url, 'azure')).route(REQUEST);
      expect(a.asked.map(({ path }) => path)).toEqual(['/openai/deployments/m-at-a/chat/completions?api-version=2024-10-21', '/openai/v1/chat/completions']);
      expect(a.asked[1]).toMatchObject({ headers: { 'api-key': 'sk-test-1' }, body: { model: 'm-at-a' } });
    });

    it('and under the id that the report names', async () => {
      const a = await servers.anthropic();
      const { routing } = await coordinator(at(a.url, 'anthropic')).route(REQUEST);
      expect(a.asked[0]?.headers).toMatchObject({ 'x-request-id': routing.requestId, 'accept': 'application/json' });
    });

    it('and the key is read again from its file after it was refused', async () => {
      const file = join(folder(), 'key');
      writeFileSync(file, 'old\n');
      const a = await provider(({ headers }, response) => (headers.authorization === 'Bearer new' ? sendJson(response, completion('x')) : sendJson(response, { error: { message: 'no' } }, 401)));
      const one = coordinator(served('peak-ewma', { url: a.url, api_key_file: file }));
      expect(await errorOf(one.route(REQUEST))).toMatchObject({ code: 'UAT_UNAUTHORIZED' });
      writeFileSync(file, 'new\n');
      // It is left alone for a minute; a configuration that is loaded anew reads it at once.
      await one.reload(served('peak-ewma', { url: a.url, api_key_file: file, max_in_flight: 7 }));
      expect((await one.route(REQUEST)).content).toBe('x');
    });
  });

  it('embeddings come from Gemini, and Anthropic has none', async () => {
    const a = await provider(({ body }, response) => sendJson(response, { embeddings: (body['requests'] as unknown[]).map((_, index) => ({ values: [index, 0.5] })) }));
    expect(await coordinator(at(a.url, 'gemini')).embed('m', ['x', 'y'])).toEqual({ embeddings: [Float32Array.of(0, 0.5), Float32Array.of(1, 0.5)], usage: { prompt_tokens: 0 } });
    expect(a.asked[0]).toMatchObject({ path: '/v1beta/models/m-at-a:batchEmbedContents', body: { requests: [{ model: 'models/m-at-a', content: { parts: [{ text: 'x' }] } }, {}] } });
    expect(await errorOf(coordinator(at(a.url, 'anthropic')).embed('m', 'x'))).toMatchObject({ code: 'UAT_INVALID_INPUT' });
  });

  describe('a wrong configuration is refused by name', () => {
    const endpoint = { name: 'a', protocol: 'openai', base_url: 'http://127.0.0.1:1' };
    const model = { name: 'm', endpoints: [{ endpoint: 'a' }] };
    it.each<[string, GatewayConfig, RegExp]>([
      ['an api_version where there is none', { endpoints: [{ ...endpoint, api_version: '1' }], models: [model] }, /api_version/],
      ['a way to resume that there is not', { endpoints: [{ ...endpoint, resume: 'yes' }], models: [model] }, /resume.*prefill/],
      ['a queue of less than none', { endpoints: [{ ...endpoint, max_queued: -1 }], models: [model] }, /max_queued/],
      ['a queue that is text', { endpoints: [{ ...endpoint, max_queued: 'long' }], models: [model] }, /max_queued/],
      ['no time to wait', { endpoints: [{ ...endpoint, queue_timeout_ms: 0 }], models: [model] }, /queue_timeout_ms/],
      ['a balance that there is not', { endpoints: [endpoint], models: [{ ...model, balance: 'random' }] }, /balance.*round-robin/],
      ['a key of the cache that there is not', { cache: { ttl: 5 } }, /cache.*ttl_s/],
      ['a cache for no time', { cache: { ttl_s: 0 } }, /cache\.ttl_s/],
      ['a cache for ever', { cache: { ttl_s: 315_360_001 } }, /cache\.ttl_s/],
      ['a cache of answers beyond all bounds', { cache: { max_entry_kb: 65_537 } }, /cache\.max_entry_kb/],
      ['a cache by meaning, which there is not', { cache: { semantic: true } }, /cache\.semantic/],
      ['a cache of nothing', { cache: { max_entry_kb: 0 } }, /cache\.max_entry_kb/],
      ['a cache that is neither on nor off', { cache: { exact: 'yes' } }, /cache\.exact/],
    ])('%s', (_, config, message) => {
      const error = thrownBy(() => coordinator(config));
      expect(error).toMatchObject({ code: 'UAT_CONFIG', retryable: false });
      expect(error.message).toMatch(message);
    });
  });
});
