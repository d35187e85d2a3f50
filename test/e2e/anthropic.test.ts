import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import Anthropic, { BadRequestError, NotFoundError, RateLimitError } from '@anthropic-ai/sdk';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { built, ROOT } from '../support/built.js';
import { FakeProvider } from '../support/fake-provider.js';
import { Machine } from '../support/uat.js';

const MODEL = 'claude-sonnet';
/** The dialects that stand behind the gateway, one model each. */
const UPSTREAMS = ['openai', 'anthropic', 'gemini', 'ollama'] as const;
const ROME = { city: 'Rome', unit: 'C' };
const OSLO = { city: 'Oslo', unit: 'F' };
const CALLS = {
  behaviour: 'answer',
  text: 'Let me look.',
  chunks: 3,
  tool_calls: [ROME, OSLO].map(input => ({ name: 'weather', arguments: JSON.stringify(input), pieces: 5 })),
  interleaved: true,
};
const tools: Anthropic.Tool[] = [
  { name: 'weather', description: 'The weather of a city.', input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
];

let machine: Machine;
let fake: FakeProvider;
let server: string;
let client: Anthropic;
beforeAll(async () => {
  machine = new Machine();
  fake = await FakeProvider.start();
  const config = join(machine.folder, 'uat.toml');
  const upstream = (name: string) => `
[[endpoints]]
name = "${name}"
protocol = "${name}"
base_url = "${fake.baseUrl}"
[[models]]
name = "${MODEL}-over-${name}"
endpoints = [{ endpoint = "${name}", model = "upstream-model" }]
`;
  writeFileSync(config, UPSTREAMS.map(upstream).join(''));
  const child = machine.start(built('uat'), ['--log', 'warn', 'serve', '--config', config, '--bind', '127.0.0.1:0']);
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  server = /http:\/\/\S+/.exec(line)![0];
  client = new Anthropic({ baseURL: server, apiKey: 'none', maxRetries: 0 });
});
afterAll(async () => {
  await machine?.stop();
  await fake?.stop();
});
beforeEach(() => fake.reset());

const request = (upstream: string) => ({ model: `${MODEL}-over-${upstream}`, max_tokens: 64, messages: [{ role: 'user' as const, content: 'Hello?' }] });

describe.each(UPSTREAMS)('@anthropic-ai/sdk over %s', upstream => {
  it('chats', async () => {
    await fake.reset({ behaviour: 'answer', text: 'Hello there.', usage: { given: { prompt: 11, completion: 3 } } });
    const message = await client.messages.create({ ...request(upstream), system: 'Be brief.', stop_sequences: ['END'] });
    expect(message).toMatchObject({ type: 'message', role: 'assistant', stop_reason: 'end_turn', stop_sequence: null });
    expect(message.content).toMatchObject([{ type: 'text', text: 'Hello there.' }]);
    expect(message.usage).toMatchObject({ input_tokens: 11, output_tokens: 3 });
    expect(JSON.stringify(JSON.parse((await fake.requests(1))[0]!.body))).toContain('Be brief.');
  });

  it('streams every word, in order and once', async () => {
    await fake.reset({ behaviour: 'answer', chunks: 12, usage: { given: { prompt: 11, completion: 12 } } });
    const stream = client.messages.stream(request(upstream));
    let text = '';
    stream.on('text', piece => (text += piece));
    const message = await stream.finalMessage();
    expect(text).toBe(Array.from({ length: 12 }, (_, at) => `t${at}`).join(' '));
    expect(message.content).toMatchObject([{ type: 'text', text }]);
    expect(message).toMatchObject({ stop_reason: 'end_turn', usage: { output_tokens: 12 } });
  });

  it('says that an answer was cut at its limit', async () => {
    await fake.reset({ behaviour: 'answer', finish_reason: 'length' });
    expect((await client.messages.create(request(upstream))).stop_reason).toBe('max_tokens');
    expect((await client.messages.stream(request(upstream)).finalMessage()).stop_reason).toBe('max_tokens');
  });

  it.each(['whole', 'streamed'])('calls two tools at once, %s', async how => {
    await fake.reset(CALLS);
    const asked = { ...request(upstream), tools, tool_choice: { type: 'auto' as const } };
    const message = how === 'whole' ? await client.messages.create(asked) : await client.messages.stream(asked).finalMessage();
    expect(message.stop_reason).toBe('tool_use');
    const [text, ...calls] = message.content;
    expect(text).toMatchObject({ type: 'text', text: 'Let me look.' });
    expect(calls).toMatchObject([ROME, OSLO].map(input => ({ type: 'tool_use', name: 'weather', input })));
    const ids = calls.map(call => call.type === 'tool_use' && call.id);
    expect(new Set(ids).size).toBe(2);
  });

  it('takes the results of the tools', async () => {
    const use = (id: string, input: object) => ({ type: 'tool_use' as const, id, name: 'weather', input });
    const result = (id: string, content: string) => ({ type: 'tool_result' as const, tool_use_id: id, content });
    const message = await client.messages.create({
      ...request(upstream),
      tools,
      messages: [
        { role: 'user', content: 'Where is it warmer?' },
        { role: 'assistant', content: [use('toolu_a', ROME), use('toolu_b', OSLO)] },
        { role: 'user', content: [result('toolu_a', 'thirty degrees'), result('toolu_b', 'ten degrees')] },
      ],
    });
    expect(message.stop_reason).toBe('end_turn');
    const { body } = (await fake.requests(1))[0]!;
    expect(body).toContain('thirty degrees');
    expect(body.indexOf('thirty degrees')).toBeLessThan(body.indexOf('ten degrees'));
  });

  it('shows what the model thought', async () => {
    await fake.reset({ behaviour: 'answer', text: 'Four.', reasoning: 'Two and two.' });
    const thinking = { type: 'enabled' as const, budget_tokens: 1024 };
    const message = await client.messages.stream({ ...request(upstream), max_tokens: 2048, thinking }).finalMessage();
    expect(message.content).toMatchObject([{ type: 'thinking', thinking: 'Two and two.' }, { type: 'text', text: 'Four.' }]);
  });

  it('understands that the upstream has too much to do', async () => {
    // Long enough for a pause, and over before the next test asks.
    await fake.reset({ behaviour: 'status', code: 429, headers: [['retry-after', '0.02']] });
    const error = await client.messages.create(request(upstream)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ status: 429, error: { type: 'error', error: { type: 'rate_limit_error', message: expect.any(String) } } });
  });
});

describe('@anthropic-ai/sdk', () => {
  it.each([
    ['temperature', { temperature: 7 }],
    ['max_tokens', { max_tokens: -1 }],
    ['messages', { messages: [{ role: 'nobody', content: 'x' }] }],
  ])('understands the error of a bad %s', async (field, wrong) => {
    const error = await client.messages.create({ ...request('openai'), ...wrong } as Anthropic.MessageCreateParamsNonStreaming).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, error: { type: 'error', error: { type: 'invalid_request_error', message: expect.stringContaining(field) } } });
    await expect(fake.requestCount()).resolves.toBe(0);
  });

  it('understands the error of an unknown model', async () => {
    const error = await client.messages.create({ ...request('openai'), model: 'claude-other' }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error).toMatchObject({ error: { type: 'error', error: { type: 'not_found_error', message: expect.stringContaining('claude-other') } } });
  });

  it('has an error in the middle of a stream as an error, not as an end', async () => {
    await fake.reset({ behaviour: 'error_event_after', chunks: 3 });
    const stream = client.messages.stream(request('openai'));
    await expect(stream.finalMessage()).rejects.toThrow();
  });

  it('counts the tokens of a request where the upstream can', async () => {
    const { input_tokens } = await client.messages.countTokens({ model: `${MODEL}-over-anthropic`, messages: request('').messages });
    expect(input_tokens).toBe(7);
  });
});

describe('anthropic for Python', () => {
  const folder = join(ROOT, 'test', 'e2e', 'python');
  const venv = join(ROOT, '.venv');
  const python = join(venv, 'bin', 'python');

  beforeAll(async () => {
    if (!existsSync(python)) await promisify(execFile)('python3', ['-m', 'venv', venv]);
    // Changes nothing, and asks nobody, when the pinned versions are there.
    await promisify(execFile)(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', join(folder, 'requirements.txt')]);
  });

  it.each(['chat', 'stream', 'tools', 'count', 'bad_request'])('%s', async check => {
    await fake.reset(check === 'tools' ? CALLS : { behaviour: 'answer', text: 'Hello there.' });
    await machine.run(python, [join(folder, 'anthropic_client.py'), check, server, `${MODEL}-over-${check === 'count' ? 'anthropic' : 'openai'}`]);
  });
});
