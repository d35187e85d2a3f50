import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { type ChatChunk, type ChatRequest, FastLLMCoordinator, type GatewayConfig } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf, thrownBy } from '../support/errors.js';
import { type Behaviour, FakeProvider } from '../support/fake-provider.js';
import support from './support.json' with { type: 'json' };

const MESSAGES: ChatRequest['messages'] = [{ role: 'user', content: 'Why is the sky blue?' }];
const REQUEST: ChatRequest = { model: 'm', messages: MESSAGES };
/** Twenty numbered words: what the fake answers unless told otherwise. */
const ANSWER = Array.from({ length: 20 }, (_, index) => `t${index}`).join(' ');

/** A weight so large that an endpoint is asked first whatever it has cost so far. */
const FIRST = 1e9;

type EndpointOptions = Record<string, unknown>;

/** One model `m` at the given addresses, in the order in which they shall be asked. */
function at(...places: (string | { url: string } & EndpointOptions)[]): GatewayConfig {
  const endpoints = places.map((place, index) => {
    const { url, ...options } = typeof place === 'string' ? { url: place } : place;
    return { name: 'abcdef'[index], protocol: 'openai', base_url: url, ...options };
  });
  const served = endpoints.map(({ name }, index) => ({ endpoint: name, model: `m-at-${name}`, weight: FIRST ** (1 - index) }));
  return { endpoints, models: [{ name: 'm', endpoints: served }] };
}

async function collect(stream: AsyncIterable<ChatChunk>): Promise<ChatChunk[]> {
  const chunks: ChatChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

function textOf(chunks: ChatChunk[]): string {
  return chunks.map(chunk => chunk.choices[0]?.delta.content ?? '').join('');
}

/** The vector that the fake makes of a text. */
function vectorOf(text: string, dimensions = 8): Float32Array {
  const bytes = Buffer.from(text);
  return Float32Array.from({ length: dimensions }, (_, at) => bytes[at % bytes.length]! / 256);
}

let [a, b] = [undefined as unknown as FakeProvider, undefined as unknown as FakeProvider];
beforeAll(async () => {
  [a, b] = await Promise.all([FakeProvider.start(), FakeProvider.start()]);
});
afterAll(async () => {
  await Promise.all([a?.stop(), b?.stop()]);
});

eachBackend(backend => {
  const open: FastLLMCoordinator[] = [];
  const servers: { close(): unknown }[] = [];

  function coordinator(config: GatewayConfig | string): FastLLMCoordinator {
    const made = new FastLLMCoordinator(config);
    open.push(made);
    return made;
  }

  /** A server that gives this one answer, for what the fake provider does not say. */
  async function answering(contentType: string, body: string): Promise<{ url: string; bodies: string[] }> {
    const bodies: string[] = [];
    const server: Server = createServer((request, response) => {
      let body_ = '';
      request.setEncoding('utf8').on('data', piece => { body_ += piece; }).on('end', () => {
        bodies.push(body_);
        response.writeHead(200, { 'content-type': contentType }).end(body);
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    servers.push({ close: () => { server.closeAllConnections(); server.close(); } });
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bodies };
  }

  /** An address on which nobody listens. */
  async function refusing(): Promise<string> {
    const server = createTcpServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return `http://127.0.0.1:${port}`;
  }

  afterEach(async () => {
    await Promise.all(open.splice(0).map(one => one.close()));
    servers.splice(0).forEach(server => server.close());
    await Promise.all([a.reset(), b.reset()]);
  });

  it('says which backend answers and why', () => {
    expect(coordinator(at(a.baseUrl)).backend).toEqual({ kind: backend, reason: expect.stringContaining('UAT_BACKEND') });
  });

  it('has the methods that support.json lists', async () => {
    const listed = support.FastLLMCoordinator;
    const methods = Object.getOwnPropertyNames(FastLLMCoordinator.prototype).filter(name => name !== 'constructor');
    expect(Object.keys(listed).sort()).toEqual(methods.sort());
    const one = coordinator(at(a.baseUrl));
    for (const [method, has] of Object.entries(listed)) {
      if (has[backend]) continue;
      const error = await errorOf((one as unknown as Record<string, () => Promise<unknown>>)[method]!());
      expect(error.code).toBe('UAT_UNSUPPORTED');
    }
  });

  describe('an answer', () => {
    it('comes whole, with its text and with how it travelled', async () => {
      const response = await coordinator(at(a.baseUrl)).route(REQUEST);
      expect(response.content).toBe(ANSWER);
      expect(response.choices[0]?.message).toMatchObject({ role: 'assistant', content: ANSWER });
      expect(response.usage).toEqual({ prompt_tokens: 7, completion_tokens: 20, total_tokens: 27 });
      expect(response.routing).toEqual({
        requestId: expect.stringMatching(/^req_[0-9a-z]{26}$/), model: 'm', endpoint: 'a', cache: 'bypass', overheadUs: expect.any(Number),
        attempts: [{ endpoint: 'a', model: 'm-at-a', outcome: 'ok', status: 200, firstTokenMs: expect.any(Number), totalMs: expect.any(Number) }],
      });
    });

    it('comes in pieces, the last of which carries the routing report', async () => {
      const chunks = await collect(coordinator(at(a.baseUrl)).stream(REQUEST));
      expect(textOf(chunks)).toBe(ANSWER);
      expect(chunks.filter(chunk => chunk.routing !== undefined)).toEqual([chunks.at(-1)]);
      expect(chunks.at(-1)).toMatchObject({ choices: [{ finish_reason: 'stop' }], routing: { endpoint: 'a', attempts: [{ outcome: 'ok' }] } });
    });

    it('tells the usage in a chunk without choices when it was asked for', async () => {
      const chunks = await collect(coordinator(at(a.baseUrl)).stream({ ...REQUEST, stream_options: { include_usage: true } }));
      expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 20 }, routing: { endpoint: 'a' } });
    });

    it('is put together from pieces that respect no boundary', async () => {
      await a.reset({ behaviour: 'slow_drip', bytes_per: 1, every_ms: 0, answer: { text: 'Grüße 🌍, 你好!', chunks: 5 } });
      expect(textOf(await collect(coordinator(at(a.baseUrl)).stream(REQUEST)))).toBe('Grüße 🌍, 你好!');
    });

    it('comes from an Ollama server in the same shape', async () => {
      const one = coordinator(at({ url: a.baseUrl, protocol: 'ollama' }));
      const whole = await one.route({ ...REQUEST, maxTokens: 30, stop: ['\n'], top_k: 3 });
      expect(whole).toMatchObject({ object: 'chat.completion', model: 'm', content: ANSWER, usage: { completion_tokens: 20 }, choices: [{ finish_reason: 'stop' }] });
      const chunks = await collect(one.stream({ ...REQUEST, stream_options: { include_usage: true } }));
      expect(textOf(chunks)).toBe(ANSWER);
      expect(chunks.at(-1)).toMatchObject({ object: 'chat.completion.chunk', choices: [], usage: { completion_tokens: 20 }, routing: { endpoint: 'a' } });
      const [sent] = await a.requests(2);
      expect(sent?.path).toBe('/api/chat');
      expect(JSON.parse(sent!.body)).toMatchObject({ model: 'm-at-a', stream: false, options: { num_predict: 30, stop: ['\n'], top_k: 3 } });
    });

    it('does not need the upstream to say [DONE] after a finish reason', async () => {
      const chunk = (delta: object, finish_reason: string | null): string => `data: ${JSON.stringify({ id: 'x', choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
      const { url } = await answering('text/event-stream', chunk({ content: 'Hi' }, null) + chunk({}, 'stop'));
      expect(textOf(await collect(coordinator(at(url)).stream(REQUEST)))).toBe('Hi');
    });
  });

  describe('embeddings', () => {
    const TEXTS = ['sky', 'Grüße 🌍'];
    const VECTORS = { embeddings: TEXTS.map(text => vectorOf(text)), usage: { prompt_tokens: 14 } };

    it.each(['openai', 'ollama'])('are one vector for each text, from an endpoint that speaks %s', async protocol => {
      const one = coordinator(at({ url: a.baseUrl, protocol }));
      expect(await one.embed('m', TEXTS)).toEqual(VECTORS);
      expect(await one.embed('m', 'sky')).toEqual({ embeddings: [vectorOf('sky')], usage: { prompt_tokens: 7 } });
      const [sent] = await a.requests(2);
      const asked = { model: 'm-at-a', input: TEXTS };
      if (protocol === 'ollama') {
        expect(sent?.path).toBe('/api/embed');
        expect(JSON.parse(sent!.body)).toEqual({ ...asked, truncate: false });
      } else {
        expect(sent?.path).toBe('/v1/embeddings');
        expect(JSON.parse(sent!.body)).toEqual({ ...asked, encoding_format: 'base64' });
      }
      expect(one.stats()).toMatchObject({ requests: 2, errors: 0, inFlight: 0 });
    });

    it('come from a server that knows no base64 too, and in the order of their index', async () => {
      await a.reset({ behaviour: 'vectors', base64: false });
      expect(await coordinator(at(a.baseUrl)).embed('m', TEXTS)).toEqual(VECTORS);
      const { url } = await answering('application/json', JSON.stringify({ data: [{ index: 1, embedding: [1, 0.1] }, { index: 0, embedding: [0, -1e30] }] }));
      expect(await coordinator(at(url)).embed('m', TEXTS)).toEqual({ embeddings: [Float32Array.of(0, -1e30), Float32Array.of(1, 0.1)], usage: { prompt_tokens: 0 } });
    });

    const faults: [string, Behaviour, string][] = [
      ['answers 503', { behaviour: 'status', code: 503 }, 'UAT_UPSTREAM'],
      ['has no such path', { behaviour: 'status', code: 404 }, 'UAT_MODEL_NOT_FOUND'],
      ['hangs', { behaviour: 'hang' }, 'UAT_TIMEOUT'],
      ['closes without an answer', { behaviour: 'close_before_response' }, 'UAT_UPSTREAM'],
      ['cuts its answer', { behaviour: 'cut_after', chunks: 1 }, 'UAT_UPSTREAM'],
      ['hides an error in a 200', { behaviour: 'error_inside200' }, 'UAT_UPSTREAM'],
      ['sends garbage', { behaviour: 'garbage' }, 'UAT_UPSTREAM'],
      ['leaves a vector out', { behaviour: 'vectors', missing: 1 }, 'UAT_UPSTREAM'],
    ];
    it.each(faults)('an endpoint that %s is replaced, and is an error where it is the only one', async (_, fault, code) => {
      await a.reset(fault);
      const faulty = { url: a.baseUrl, first_token_timeout_ms: 150, total_timeout_ms: 150 };
      const one = coordinator(at(faulty, b.baseUrl));
      expect(await one.embed('m', TEXTS)).toEqual(VECTORS);
      expect(one.stats()).toMatchObject({ requests: 1, errors: 0, failovers: 1, inFlight: 0 });
      expect(await errorOf(coordinator(at(faulty)).embed('m', TEXTS))).toMatchObject({ code, details: { attempts: expect.anything() } });
    });

    it.each([
      ['two entries with one index', [{ index: 0, embedding: [1] }, { index: 0, embedding: [1] }]],
      ['bytes that are no numbers', [{ embedding: 'AAAA' }, { embedding: 'AAAA' }]],
      ['a number that is none', [{ embedding: 'AADAfw==' }, { embedding: 'AADAfw==' }]],
      ['a word among numbers', [{ embedding: [1, 'x'] }, { embedding: [1, 2] }]],
    ])('%s are an answer that is none', async (_, data) => {
      const { url } = await answering('application/json', JSON.stringify({ data }));
      expect(await errorOf(coordinator(at(url)).embed('m', TEXTS))).toMatchObject({ code: 'UAT_UPSTREAM', retryable: true });
    });

    it('are not asked for where the model is unknown', async () => {
      expect(await errorOf(coordinator(at(a.baseUrl)).embed('nn', 'sky'))).toMatchObject({ code: 'UAT_MODEL_NOT_FOUND', retryable: false });
      expect(await a.requestCount()).toBe(0);
    });

    it('end with their signal, which closes the upstream', async () => {
      await a.reset({ behaviour: 'hang' });
      const one = coordinator(at(a.baseUrl));
      const controller = new AbortController();
      const failing = errorOf(one.embed('m', 'sky', { signal: controller.signal }));
      await a.requests(1);
      controller.abort(new Error('changed my mind'));
      expect(await failing).toMatchObject({ code: 'UAT_CANCELLED', cause: controller.signal.reason });
      await a.disconnects(1, 1_000);
      expect(one.stats()).toMatchObject({ errors: 0, inFlight: 0 });
    });

    it.each([
      ['no model', ['', 'sky'], 'model'],
      ['a model that is a number', [5, 'sky'], 'model'],
      ['no input', ['m'], 'input'],
      ['an empty text', ['m', ''], 'input'],
      ['no texts', ['m', []], 'input'],
      ['an empty text among others', ['m', ['sky', '']], 'input[1]'],
      ['a number among texts', ['m', ['sky', NaN]], 'input[1]'],
      ['a hole', ['m', Array(2)], 'input[0]'],
      ['tokens', ['m', [1, 2]], 'input[0]'],
      ['2049 texts', ['m', Array(2049).fill('sky')], 'input'],
      ['a signal that is none', ['m', 'sky', { signal: {} }], 'options.signal'],
    ])('%s is refused by name before anything is sent', async (_, args, field) => {
      const one = coordinator(at(a.baseUrl));
      const error = await errorOf((one.embed as (...args: unknown[]) => Promise<unknown>)(...args));
      expect(error).toMatchObject({ code: 'UAT_INVALID_INPUT', retryable: false, details: { field } });
      expect(await a.requestCount()).toBe(0);
    });

    it('are as many as OpenAI takes at once', async () => {
      const { embeddings } = await coordinator(at(a.baseUrl)).embed('m', Array.from({ length: 2048 }, (_, at) => `t${at}`));
      expect(embeddings.length).toBe(2048);
      expect(embeddings[2047]).toEqual(vectorOf('t2047'));
    });
  });

  describe('what passes through', () => {
    const TOOLS = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' }, strict: true } }];
    const CALL = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } };

    it('is every field of the request, known or not, with the endpoint’s own model name', async () => {
      const request = { ...REQUEST, maxTokens: 5, topP: 0.5, seed: 7, tools: TOOLS, metadata: { nested: [1, null, 'ü'] }, messages: [{ role: 'user', content: 'x', name: 'Ada', cache_control: { type: 'ephemeral' } }] } as ChatRequest;
      await coordinator(at(a.baseUrl)).route(request);
      const [sent] = await a.requests(1);
      const { maxTokens: _, topP: __, ...rest } = request;
      expect(JSON.parse(sent!.body)).toEqual({ ...rest, model: 'm-at-a', max_tokens: 5, top_p: 0.5 });
    });

    it('is every field of a whole answer', async () => {
      const { url } = await answering('application/json', JSON.stringify({
        id: 'x', model: 'up', system_fingerprint: 'fp', service_tier: 'flex', usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2, details: { cached: 1 } },
        choices: [{ index: 0, message: { role: 'assistant', content: null, tool_calls: [CALL], reasoning_content: 'hm' }, finish_reason: 'tool_calls', logprobs: null }],
      }));
      const response = await coordinator(at(url)).route({ ...REQUEST, tools: TOOLS });
      expect(response).toMatchObject({ system_fingerprint: 'fp', service_tier: 'flex', usage: { details: { cached: 1 } }, content: '' });
      expect(response.choices[0]).toEqual({ index: 0, message: { role: 'assistant', content: null, tool_calls: [CALL], reasoning_content: 'hm' }, finish_reason: 'tool_calls', logprobs: null });
    });

    it('is every field of a chunk, tool calls included', async () => {
      const chunk = (delta: object, finish_reason: string | null): string => `data: ${JSON.stringify({ id: 'x', system_fingerprint: 'fp', choices: [{ index: 0, delta, finish_reason, logprobs: null }] })}\r\n\r\n`;
      const { url } = await answering('text/event-stream', `: hello\r\n${chunk({ tool_calls: [{ index: 0, ...CALL }] }, null)}${chunk({}, 'tool_calls')}data: [DONE]\r\n\r\n`);
      const chunks = await collect(coordinator(at(url)).stream({ ...REQUEST, tools: TOOLS }));
      expect(chunks).toEqual([
        { id: 'x', system_fingerprint: 'fp', choices: [{ index: 0, delta: { tool_calls: [{ index: 0, ...CALL }] }, finish_reason: null, logprobs: null }] },
        { id: 'x', system_fingerprint: 'fp', choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls', logprobs: null }], routing: expect.anything() },
      ]);
    });

    it('is the request as it was at the call, whatever becomes of the object afterwards', async () => {
      const request = structuredClone(REQUEST);
      const answer = coordinator(at(a.baseUrl)).route(request);
      request.messages[0]!.content = 'changed';
      await answer;
      expect(JSON.parse((await a.requests(1))[0]!.body).messages).toEqual(MESSAGES);
    });
  });

  describe('an endpoint that fails before the first content is replaced without a trace in the answer', () => {
    const faults: [string, Behaviour | 'refused', string][] = [
      ['answers 503', { behaviour: 'status', code: 503 }, 'error'],
      ['answers 429', { behaviour: 'status', code: 429, headers: [['retry-after', '1']] }, 'error'],
      ['answers 401', { behaviour: 'status', code: 401 }, 'error'],
      ['refuses the connection', 'refused', 'error'],
      ['hangs', { behaviour: 'hang' }, 'timeout'],
      ['closes without an answer', { behaviour: 'close_before_response' }, 'error'],
      ['closes before the first content', { behaviour: 'close_before_content' }, 'error'],
      ['sends an error instead of content', { behaviour: 'sse_error_before_content' }, 'error'],
      ['hides an error in a 200', { behaviour: 'error_inside200' }, 'error'],
      ['sends garbage', { behaviour: 'garbage' }, 'error'],
      ['does not speak HTTP', { behaviour: 'not_http' }, 'error'],
    ];
    it.each(faults)('when it %s', async (_, fault, outcome) => {
      if (fault !== 'refused') await a.reset(fault);
      const faulty = fault === 'refused' ? await refusing() : a.baseUrl;
      const one = (): FastLLMCoordinator => coordinator(at({ url: faulty, first_token_timeout_ms: 150 }, b.baseUrl));
      const attempts = [{ endpoint: 'a', model: 'm-at-a', outcome }, { endpoint: 'b', model: 'm-at-b', outcome: 'ok' }];

      const routing = one();
      const response = await routing.route(REQUEST);
      expect(response.content).toBe(ANSWER);
      expect(response.routing).toMatchObject({ endpoint: 'b', attempts });
      expect(routing.stats()).toMatchObject({ requests: 1, errors: 0, failovers: 1, inFlight: 0 });

      const chunks = await collect(one().stream(REQUEST));
      expect(textOf(chunks)).toBe(ANSWER);
      expect(chunks.at(-1)?.routing).toMatchObject({ endpoint: 'b', attempts });
    });

    it('and after a failure that may pass, the only endpoint is asked once more', async () => {
      await a.enqueue({ behaviour: 'status', code: 503 });
      const response = await coordinator(at(a.baseUrl)).route(REQUEST);
      expect(response.routing.attempts.map(attempt => attempt.outcome)).toEqual(['error', 'ok']);
    });

    it('but a request that is itself at fault is not repeated elsewhere', async () => {
      await a.reset({ behaviour: 'status', code: 400 });
      await errorOf(coordinator(at(a.baseUrl, b.baseUrl)).route(REQUEST));
      expect(await b.requestCount()).toBe(0);
    });
  });

  describe('a failure is told by its code', () => {
    const tooLong = JSON.stringify({ error: { message: '9000 tokens asked for, 8192 fit', type: 'invalid_request_error', code: 'context_length_exceeded' } });
    const table: [string, Behaviour | 'refused', string, boolean][] = [
      ['status 400', { behaviour: 'status', code: 400 }, 'UAT_INVALID_INPUT', false],
      ['a prompt that is too long', { behaviour: 'status', code: 400, body: tooLong }, 'UAT_CONTEXT_LENGTH_EXCEEDED', false],
      ['status 401', { behaviour: 'status', code: 401 }, 'UAT_UNAUTHORIZED', false],
      ['status 404', { behaviour: 'status', code: 404 }, 'UAT_MODEL_NOT_FOUND', false],
      ['status 429', { behaviour: 'status', code: 429 }, 'UAT_RATE_LIMITED', true],
      ['status 500', { behaviour: 'status', code: 500 }, 'UAT_UPSTREAM', true],
      ['garbage', { behaviour: 'garbage' }, 'UAT_UPSTREAM', true],
      ['no HTTP', { behaviour: 'not_http' }, 'UAT_UPSTREAM', true],
      ['an error in a 200', { behaviour: 'error_inside200' }, 'UAT_UPSTREAM', true],
      ['a closed connection', { behaviour: 'close_before_response' }, 'UAT_UPSTREAM', true],
      ['a refused connection', 'refused', 'UAT_UPSTREAM', true],
      ['silence', { behaviour: 'hang' }, 'UAT_TIMEOUT', true],
    ];
    it.each(table)('%s', async (_, fault, code, retryable) => {
      if (fault !== 'refused') await a.reset(fault);
      const url = fault === 'refused' ? await refusing() : a.baseUrl;
      const config = at({ url, first_token_timeout_ms: 150, total_timeout_ms: 150 });
      for (const failing of [() => coordinator(config).route(REQUEST), () => collect(coordinator(config).stream(REQUEST))]) {
        const error = await errorOf(failing());
        expect({ code: error.code, retryable: error.retryable }).toEqual({ code, retryable });
        expect(error.details['attempts']).toMatchObject([{ endpoint: 'a', error: expect.any(String) }, ...(error.details['attempts'] as unknown[]).slice(1)]);
        expect(error.message).not.toContain('sky blue');
      }
    });

    it('all of several endpoints failing names each of them', async () => {
      await Promise.all([a.reset({ behaviour: 'status', code: 503 }), b.reset({ behaviour: 'garbage' })]);
      const error = await errorOf(coordinator(at(a.baseUrl, b.baseUrl)).route(REQUEST));
      expect(error).toMatchObject({ code: 'UAT_ALL_ENDPOINTS_FAILED', retryable: true });
      expect(new Set((error.details['attempts'] as { endpoint: string }[]).map(attempt => attempt.endpoint))).toEqual(new Set(['a', 'b']));
      expect(error.message).toMatch(/a: .*b: /s);
    });

    it('an unknown model is answered with the nearest names', async () => {
      const config: GatewayConfig = { endpoints: [{ name: 'a', protocol: 'openai', base_url: a.baseUrl }], models: [{ name: 'llama3.2:3b', endpoints: [{ endpoint: 'a' }] }] };
      const error = await errorOf(coordinator(config).route({ ...REQUEST, model: 'llama3.2-3b' }));
      expect(error).toMatchObject({ code: 'UAT_MODEL_NOT_FOUND', retryable: false });
      expect(error.message).toContain('llama3.2:3b');
    });

    it('an endpoint at its limit, for which nobody may wait, is not asked again', async () => {
      await a.reset({ behaviour: 'hang' });
      const one = coordinator(at({ url: a.baseUrl, max_in_flight: 1, max_queued: 0 }));
      const first = errorOf(one.route(REQUEST));
      await a.requests(1);
      expect(await errorOf(one.route(REQUEST))).toMatchObject({ code: 'UAT_OVERLOADED', retryable: true });
      await one.close();
      await first;
    });

    it('an endpoint that asked for a pause gets it', async () => {
      await a.reset({ behaviour: 'status', code: 429, headers: [['retry-after', '60']] });
      const one = coordinator(at(a.baseUrl));
      await errorOf(one.route(REQUEST));
      expect(await errorOf(one.route(REQUEST))).toMatchObject({ code: 'UAT_RATE_LIMITED', retryable: true });
      expect(await a.requestCount()).toBe(1);
    });
  });

  describe('a stream that breaks off after content', () => {
    // Paced, because what comes in one piece with the first content is still a failure before it.
    const answer = { chunks: 20, between_chunks_ms: 5 };
    const breaks: [string, Behaviour, string][] = [
      ['is cut', { behaviour: 'cut_after', chunks: 5, answer }, 'UAT_UPSTREAM'],
      ['is reset', { behaviour: 'reset_after', chunks: 5, answer }, 'UAT_UPSTREAM'],
      ['ends without a finish reason', { behaviour: 'end_after', chunks: 5, answer }, 'UAT_UPSTREAM'],
      ['sends an error event', { behaviour: 'error_event_after', chunks: 5, answer }, 'UAT_UPSTREAM'],
      ['stalls', { behaviour: 'stall_after', chunks: 5, answer }, 'UAT_TIMEOUT'],
    ];
    it.each(breaks)('throws when it %s', async (_, fault, code) => {
      await a.reset(fault);
      const one = coordinator(at({ url: a.baseUrl, idle_timeout_ms: 150 }, b.baseUrl));
      const chunks: ChatChunk[] = [];
      const error = await errorOf((async () => {
        for await (const chunk of one.stream(REQUEST)) chunks.push(chunk);
      })());
      expect(error).toMatchObject({ code, retryable: true });
      // A reset may destroy what had not been read yet; all others deliver what was sent.
      if (fault.behaviour !== 'reset_after') expect(textOf(chunks)).toBe('t0 t1 t2 t3 t4');
      expect(chunks.some(chunk => chunk.routing !== undefined)).toBe(false);
      expect(one.stats()).toMatchObject({ errors: 1, inFlight: 0 });
    });
  });

  describe('cancelling', () => {
    const endless: Behaviour = { behaviour: 'answer', chunks: 100_000, between_chunks_ms: 5 };
    /** The fake must see the client go within this time, in milliseconds. */
    const SOON = 1_000;

    it('before the call asks nobody and gives the reason', async () => {
      const reason = new Error('changed my mind');
      const one = coordinator(at(a.baseUrl));
      const signal = AbortSignal.abort(reason);
      for (const call of [() => one.route(REQUEST, { signal }), () => collect(one.stream(REQUEST, { signal }))]) {
        expect(await errorOf(call())).toMatchObject({ code: 'UAT_CANCELLED', retryable: false, cause: reason });
      }
      expect(await a.requestCount()).toBe(0);
    });

    it('during the wait for a whole answer closes the upstream', async () => {
      await a.reset({ behaviour: 'hang' });
      const one = coordinator(at(a.baseUrl));
      const controller = new AbortController();
      const failing = errorOf(one.route(REQUEST, { signal: controller.signal }));
      await a.requests(1);
      controller.abort(new Error('changed my mind'));
      expect(await failing).toMatchObject({ code: 'UAT_CANCELLED', cause: controller.signal.reason });
      await a.disconnects(1, SOON);
      expect(one.stats()).toMatchObject({ errors: 0, inFlight: 0 });
      expect(one.health()[0]).toMatchObject({ state: 'healthy', inFlight: 0, errorRate: 0 });
    });

    it('in the middle of a stream closes the upstream', async () => {
      await a.reset(endless);
      const one = coordinator(at(a.baseUrl));
      const controller = new AbortController();
      const error = await errorOf((async () => {
        for await (const _ of one.stream(REQUEST, { signal: controller.signal })) controller.abort();
      })());
      expect(error).toMatchObject({ code: 'UAT_CANCELLED', cause: controller.signal.reason });
      await a.disconnects(1, SOON);
    });

    it('leaves no listener on the signal', async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const added: unknown[] = [];
      const counting = new Proxy(signal, {
        get(target, key) {
          if (key === 'addEventListener') return (type: string, listener: () => void) => { added.push(listener); target.addEventListener(type, listener); };
          if (key === 'removeEventListener') return (type: string, listener: () => void) => { added.splice(added.indexOf(listener), 1); target.removeEventListener(type, listener); };
          return Reflect.get(target, key, target) as unknown;
        },
      });
      const one = coordinator(at(a.baseUrl));
      await one.route(REQUEST, { signal: counting });
      await collect(one.stream(REQUEST, { signal: counting }));
      expect(added).toEqual([]);
    });

    it('many calls at once is what a signal is for: no warning of a leak', async () => {
      await a.reset({ behaviour: 'hang' });
      const warnings: Error[] = [];
      const listen = (warning: Error): void => void warnings.push(warning);
      process.on('warning', listen);
      const one = coordinator(at(a.baseUrl));
      const controller = new AbortController();
      const calls = Array.from({ length: 30 }, () => errorOf(one.route(REQUEST, { signal: controller.signal })));
      await a.requests(30);
      controller.abort();
      expect(new Set((await Promise.all(calls)).map(error => error.code))).toEqual(new Set(['UAT_CANCELLED']));
      // Warnings are emitted on the next turn.
      await new Promise(resolve => setImmediate(resolve));
      process.off('warning', listen);
      expect(warnings).toEqual([]);
    });

    it.each(['break', 'throw'])('by leaving the loop with %s closes the upstream', async how => {
      await a.reset(endless);
      const one = coordinator(at(a.baseUrl));
      const left = (async () => {
        for await (const _ of one.stream(REQUEST)) {
          if (how === 'break') break;
          throw new Error('the consumer’s own');
        }
      })();
      await (how === 'break' ? left : expect(left).rejects.toThrow('the consumer’s own'));
      await a.disconnects(1, SOON);
      expect(one.stats()).toMatchObject({ errors: 0, inFlight: 0 });
    });

    it('by return() ends a next() that waits', async () => {
      await a.reset({ behaviour: 'stall_after', chunks: 1 });
      const stream = coordinator(at(a.baseUrl)).stream(REQUEST);
      let waiting = stream.next();
      // The first content, then nothing more.
      while (textOf([(await waiting).value as ChatChunk]) === '') waiting = stream.next();
      waiting = stream.next();
      await stream.return?.();
      expect(await waiting).toEqual({ done: true, value: undefined });
      await a.disconnects(1, SOON);
    });

    it('a stream that is never asked for anything asks nobody', async () => {
      const stream = coordinator(at(a.baseUrl)).stream(REQUEST);
      await stream.return?.();
      expect(await stream.next()).toEqual({ done: true, value: undefined });
      expect(await a.requestCount()).toBe(0);
    });

    it.each(['route', 'stream'])('timeoutMs ends a %s that takes longer', async method => {
      await a.reset(method === 'route' ? { behaviour: 'hang' } : { behaviour: 'stall_after', chunks: 2 });
      const one = coordinator(at(a.baseUrl, b.baseUrl));
      const failing = method === 'route' ? one.route(REQUEST, { timeoutMs: 100 }) : collect(one.stream(REQUEST, { timeoutMs: 100 }));
      const error = await errorOf(failing);
      expect(error).toMatchObject({ code: 'UAT_TIMEOUT', retryable: true });
      expect(error.message).toContain('100 ms');
      await a.disconnects(1, SOON);
    });

    it('several calls of next() are answered in their order', async () => {
      const stream = coordinator(at(a.baseUrl)).stream(REQUEST);
      const results = await Promise.all(Array.from({ length: 30 }, () => stream.next()));
      expect(textOf(results.flatMap(result => (result.done === true ? [] : [result.value])))).toBe(ANSWER);
      expect(results.at(-1)).toEqual({ done: true, value: undefined });
    });
  });

  describe('health and stats', () => {
    it('know every configured endpoint before the first call', () => {
      const one = coordinator(at(a.baseUrl, b.baseUrl));
      expect(one.health()).toEqual(['a', 'b'].map(endpoint => ({ endpoint, state: 'healthy', ewmaFirstTokenMs: 0, inFlight: 0, errorRate: 0, history: [] })));
      expect(one.stats()).toEqual({ requests: 0, errors: 0, failovers: 0, resumes: 0, hedges: 0, cacheHits: 0, cacheMisses: 0, inFlight: 0, p50OverheadUs: 0, p99OverheadUs: 0 });
    });

    it('count a request while it runs and after', async () => {
      await a.reset({ behaviour: 'stall_after', chunks: 1 });
      const one = coordinator(at(a.baseUrl));
      const stream = one.stream(REQUEST);
      await stream.next();
      expect(one.stats()).toMatchObject({ requests: 1, inFlight: 1 });
      expect(one.health()[0]).toMatchObject({ inFlight: 1 });
      await stream.return?.();
      await a.disconnects(1, 1_000);
      await expect.poll(() => one.stats().inFlight).toBe(0);
    });

    it('tell what went wrong, and that an endpoint which keeps failing is left alone', async () => {
      await a.reset({ behaviour: 'status', code: 500 });
      const one = coordinator(at(a.baseUrl));
      for (let call = 0; call < 3; call++) await errorOf(one.route(REQUEST));
      expect(one.health()[0]).toMatchObject({ state: 'open', errorRate: 1, lastError: expect.stringContaining('500') });
      expect(one.stats()).toMatchObject({ requests: 3, errors: 3 });
    });

    it('tell that a key was refused', async () => {
      await a.reset({ behaviour: 'status', code: 401 });
      const one = coordinator(at(a.baseUrl));
      await errorOf(one.route(REQUEST));
      expect(one.health()[0]).toMatchObject({ state: 'quarantined' });
    });

    it('tell how long the first content takes', async () => {
      await a.reset({ behaviour: 'answer', first_token_delay_ms: 60 });
      const one = coordinator(at(a.baseUrl));
      await collect(one.stream(REQUEST));
      expect(one.health()[0]!.ewmaFirstTokenMs).toBeGreaterThan(50);
    });
  });

  describe('after close()', () => {
    it('every method says so, and closing again is fine', async () => {
      const one = coordinator(at(a.baseUrl));
      await one.close();
      await one.close();
      for (const error of [await errorOf(one.route(REQUEST)), await errorOf(one.embed('m', 'sky')), ...[() => one.stream(REQUEST), () => one.health(), () => one.stats()].map(thrownBy)]) {
        expect(error).toMatchObject({ code: 'UAT_CLOSED', retryable: false });
      }
    });

    it('calls that were under way end, and their upstream connections too', async () => {
      await a.reset({ behaviour: 'stall_after', chunks: 1 });
      const one = coordinator(at(a.baseUrl));
      const stream = one.stream(REQUEST);
      await stream.next();
      const [route, rest] = [errorOf(one.route(REQUEST)), errorOf(collect(stream))];
      await a.requests(2);
      await one.close();
      expect([(await route).code, (await rest).code]).toEqual(['UAT_CLOSED', 'UAT_CLOSED']);
      await a.disconnects(2, 1_000);
    });
  });

  describe('bad arguments are refused by name before anything is sent', () => {
    const circular: Record<string, unknown> = { ...REQUEST };
    circular['self'] = circular;
    const table: [string, unknown, string][] = [
      ['no request', undefined, 'request'],
      ['null', null, 'request'],
      ['a list', [], 'request'],
      ['no model', { messages: MESSAGES }, 'model'],
      ['an empty model', { ...REQUEST, model: ' ' }, 'model'],
      ['a model that is a number', { ...REQUEST, model: 5 }, 'model'],
      ['no messages', { model: 'm' }, 'messages'],
      ['empty messages', { ...REQUEST, messages: [] }, 'messages'],
      ['a message that is a text', { ...REQUEST, messages: ['hi'] }, 'messages[0]'],
      ['an unknown role', { ...REQUEST, messages: [...MESSAGES, { role: 'robot', content: 'x' }] }, 'messages[1].role'],
      ['content that is a number', { ...REQUEST, messages: [{ role: 'user', content: 5 }] }, 'messages[0].content'],
      ['a user without content', { ...REQUEST, messages: [{ role: 'user' }] }, 'messages[0].content'],
      ['a part without a type', { ...REQUEST, messages: [{ role: 'user', content: [{ text: 'x' }] }] }, 'messages[0].content[0]'],
      ['a temperature of NaN', { ...REQUEST, temperature: NaN }, 'temperature'],
      ['a temperature of 3', { ...REQUEST, temperature: 3 }, 'temperature'],
      ['a temperature that is a text', { ...REQUEST, temperature: '1' }, 'temperature'],
      ['an infinite topP', { ...REQUEST, topP: Infinity }, 'top_p'],
      ['no tokens', { ...REQUEST, maxTokens: 0 }, 'max_tokens'],
      ['half a token', { ...REQUEST, max_tokens: 0.5 }, 'max_tokens'],
      ['two names that disagree', { ...REQUEST, max_tokens: 5, maxTokens: 6 }, 'maxTokens'],
      ['seventeen stops', { ...REQUEST, stop: Array.from({ length: 17 }, (_, at) => String(at)) }, 'stop'],
      ['tools that are no list', { ...REQUEST, tools: {} }, 'tools'],
      ['a bigint', { ...REQUEST, metadata: 5n }, 'request'],
      ['a seed that is no whole number', { ...REQUEST, seed: 0.5 }, 'seed'],
      ['a user without content', { ...REQUEST, messages: [{ role: 'user', content: null }] }, 'messages[0].content'],
      ['a circle', circular, 'request'],
    ];
    it.each(table)('%s', async (_, request, field) => {
      const one = coordinator(at(a.baseUrl));
      for (const error of [await errorOf(one.route(request as ChatRequest)), thrownBy(() => one.stream(request as ChatRequest))]) {
        expect(error).toMatchObject({ code: 'UAT_INVALID_INPUT', retryable: false, details: { field } });
        expect(error.message).toContain(field);
      }
      expect(await a.requestCount()).toBe(0);
    });

    it.each([
      [{ timeoutMs: 0 }, 'options.timeoutMs'], [{ timeoutMs: NaN }, 'options.timeoutMs'], [{ timeoutMs: '5' }, 'options.timeoutMs'], [{ signal: {} }, 'options.signal'],
      [{ cache: 1 }, 'options.cache'], [null, 'options'], [5, 'options'],
    ])('the options %j', async (options, field) => {
      const error = await errorOf(coordinator(at(a.baseUrl)).route(REQUEST, options as never));
      expect(error).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field } });
    });
  });

  describe('a wrong configuration is refused at once', () => {
    const endpoint = { name: 'a', protocol: 'openai', base_url: 'http://127.0.0.1:1' };
    const model = { name: 'm', endpoints: [{ endpoint: 'a' }] };
    const table: [string, unknown, RegExp][] = [
      ['a number', 5, /expected/],
      ['a list', [], /expected/],
      ['an unknown section', { endpoint: [] }, /endpoints/],
      ['an unknown key', { endpoints: [{ ...endpoint, base_ulr: 'x' }], models: [model] }, /base_url/],
      ['an unknown protocol', { endpoints: [{ ...endpoint, protocol: 'ollma' }], models: [model] }, /ollama/],
      ['a secret', { endpoints: [{ ...endpoint, api_key: 'sk-1' }], models: [model] }, /api_key_env/],
      ['a key variable that is not set', { endpoints: [{ ...endpoint, api_key_env: 'UAT_TEST_NO_SUCH_VARIABLE' }], models: [model] }, /UAT_TEST_NO_SUCH_VARIABLE/],
      ['no address', { endpoints: [{ name: 'a', protocol: 'openai' }], models: [model] }, /base_url/],
      ['an address that is none', { endpoints: [{ ...endpoint, base_url: 'localhost' }], models: [model] }, /http/],
      ['a password in the address', { endpoints: [{ ...endpoint, base_url: 'http://u:hunter2@h' }], models: [model] }, /api_key_env/],
      ['two endpoints of one name', { endpoints: [endpoint, endpoint], models: [model] }, /`a`/],
      ['a model at an endpoint that does not exist', { endpoints: [endpoint], models: [{ name: 'm', endpoints: [{ endpoint: 'aa' }] }] }, /`a`/],
      ['a model without endpoints', { endpoints: [endpoint], models: [{ name: 'm', endpoints: [] }] }, /at least one/],
      ['endpoints without models', { endpoints: [endpoint] }, /\[\[models\]\]/],
      ['a timeout of 0', { endpoints: [{ ...endpoint, idle_timeout_ms: 0 }], models: [model] }, /idle_timeout_ms/],
      ['a weight of 0', { endpoints: [endpoint], models: [{ name: 'm', endpoints: [{ endpoint: 'a', weight: 0 }] }] }, /weight/],
      ['no threads', { engine: { threads: 0 } }, /engine\.threads/],
      ['more slots than the engine has', { engine: { slots: 257 } }, /engine\.slots.*256/],
      ['a queue longer than the engine has', { engine: { queue: 65_536 } }, /engine\.queue.*65535/],
      ['no memory at all', { engine: { memory_mb: 0 } }, /engine\.memory_mb/],
      ['a type of keys and values that there is not', { engine: { kv_type: 'q8' } }, /engine\.kv_type.*q8_0/],
      ['a negative number of layers', { engine: { gpu_layers: -1 } }, /engine\.gpu_layers/],
      ['a time that is text', { engine: { unload_after_s: 'soon' } }, /engine\.unload_after_s/],
      ['an engine endpoint where the engine is switched off', { engine: { enabled: false }, endpoints: [{ name: 'a', protocol: 'uat-engine' }], models: [model] }, /engine\.enabled/],
      ['a key of the cache that there is not', { redis: { max_conections: 2 } }, /redis.*max_connections/],
      ['no connections of the cache', { redis: { max_connections: 0 } }, /redis\.max_connections/],
      ['a codec of the cache that there is not', { redis: { codec: 'gzip' } }, /redis\.codec.*lz4/],
      ['an address of the cache that is none', { redis: { url: 'hunter2' } }, /redis\.url/],
      ['two addresses of the cache', { redis: { url: 'redis://h', url_env: 'X' } }, /redis\.url_env/],
      ['a password of the cache', { redis: { password: 'hunter2' } }, /url_env/],
      ['a file that does not exist', '/nowhere/uat.toml', /\/nowhere\/uat\.toml/],
    ];
    it.each(table)('%s', (_, config, message) => {
      const error = thrownBy(() => new FastLLMCoordinator(config as GatewayConfig));
      expect(error).toMatchObject({ code: 'UAT_CONFIG', retryable: false });
      expect(error.message).toMatch(message);
      expect(error.message).not.toContain('hunter2');
    });

    describe('in a file', () => {
      let folder: string;
      beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'uat-test-')); });
      afterAll(() => rmSync(folder, { recursive: true }));

      it('with the place of what is not TOML', () => {
        const file = join(folder, 'broken.toml');
        writeFileSync(file, '[engine]\nenabled = = true\n');
        const error = thrownBy(() => new FastLLMCoordinator(file));
        expect(error.code).toBe('UAT_CONFIG');
        expect(error.message).toMatch(/broken\.toml:2:\d+/);
      });

      it('as JSON where its name says so', async () => {
        const file = join(folder, 'uat.json');
        const right = { $schema: './uat.schema.json', endpoints: [{ name: 'a', protocol: 'openai', base_url: a.baseUrl }], models: [{ name: 'm', endpoints: [{ endpoint: 'a' }] }] };
        writeFileSync(file, JSON.stringify(right));
        expect((await coordinator(file).route(REQUEST)).content).toBe(ANSWER);
        writeFileSync(file, '{ "engine": ');
        expect(thrownBy(() => new FastLLMCoordinator(file)).message).toMatch(/uat\.json.*not valid JSON/);
      });

      it('and a right one works, named by path or by UAT_CONFIG', async () => {
        const file = join(folder, 'uat.toml');
        writeFileSync(file, `[[endpoints]]\nname = "a"\nprotocol = "openai"\nbase_url = "${a.baseUrl}"\n\n[[models]]\nname = "m"\nendpoints = [{ endpoint = "a" }]\n`);
        expect((await coordinator(file).route(REQUEST)).content).toBe(ANSWER);
        process.env['UAT_CONFIG'] = file;
        try {
          const one = new FastLLMCoordinator();
          open.push(one);
          expect((await one.route(REQUEST)).content).toBe(ANSWER);
        } finally {
          delete process.env['UAT_CONFIG'];
        }
      });
    });

    it('and an API key from the environment is sent', async () => {
      process.env['UAT_TEST_KEY'] = 'sk-test-1';
      try {
        await coordinator(at({ url: a.baseUrl, api_key_env: 'UAT_TEST_KEY' })).route(REQUEST);
      } finally {
        delete process.env['UAT_TEST_KEY'];
      }
      expect((await a.requests(1))[0]!.headers).toContainEqual(['authorization', 'Bearer sk-test-1']);
    });
  });
});
