import { execFile } from 'node:child_process';
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import Anthropic from '@anthropic-ai/sdk';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embed, generateText, streamText } from 'ai';
import { Ollama } from 'ollama';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ROOT } from '../support/built.js';
import { Machine, MODEL } from '../support/uat.js';

const PROMPT = 'What is the capital of France? Answer in one short sentence.';
/** "He was not an ill disposed young man." */
const SPEECH = join(ROOT, 'examples', 'speech.wav');
/** Enough for that answer, and few enough for two busy cores. */
const MAX_TOKENS = 24;

let machine: Machine;
let server: string;
beforeAll(async () => {
  machine = new Machine();
  for (const model of [MODEL, 'whisper-tiny.en', 'silero-vad-6']) await machine.pull(model);
  server = await machine.serve();
});
afterAll(async () => {
  await machine?.stop();
});

/** A small model may say anything, but at temperature 0 it knows this. */
function expectAnswer(text: string): void {
  expect(text).toContain('Paris');
}

/** Whatever the model makes of a text: numbers that are not all alike, of length 1, and the same again for the same text. */
function expectVector(vector: number[]): void {
  expect(vector.length).toBeGreaterThan(8);
  expect(new Set(vector).size).toBeGreaterThan(8);
  expect(Math.hypot(...vector)).toBeCloseTo(1, 3);
}

function expectAlike(one: number[], other: number[]): void {
  one.forEach((number, at) => expect(number).toBeCloseTo(other[at]!, 5));
}

describe('the Anthropic client for Node', () => {
  it('hears how many tokens the model will read', async () => {
    const client = new Anthropic({ baseURL: server, apiKey: 'none', maxRetries: 0 });
    const request = { model: MODEL, system: 'You are brief.', messages: [{ role: 'user' as const, content: `${PROMPT} ¿Qué? 日本語` }] };
    const { input_tokens } = await client.messages.countTokens(request);
    const answer = await client.messages.create({ ...request, max_tokens: 1 });
    expect(input_tokens).toBe(answer.usage.input_tokens + (answer.usage.cache_read_input_tokens ?? 0));
  });
});

describe('openai for Node', () => {
  const client = (): OpenAI => new OpenAI({ baseURL: `${server}/v1`, apiKey: 'none', maxRetries: 0 });
  const request = { model: MODEL, messages: [{ role: 'user' as const, content: PROMPT }], temperature: 0, max_tokens: MAX_TOKENS };

  it('chats', async () => {
    const answer = await client().chat.completions.create(request);
    expectAnswer(answer.choices[0]?.message.content ?? '');
    expect(answer.usage?.completion_tokens).toBeGreaterThan(0);
  });

  it('streams, with the usage at the end', async () => {
    let text = '';
    let tokens = 0;
    for await (const chunk of await client().chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta.content ?? '';
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    expectAnswer(text);
    expect(tokens).toBeGreaterThan(0);
  });

  it('lists the models', async () => {
    const names: string[] = [];
    for await (const model of client().models.list()) names.push(model.id);
    expect(names).toContain(MODEL);
  });

  it('understands the error of an unknown model', async () => {
    const failing = client().chat.completions.create({ ...request, model: 'smollm2' });
    await expect(failing).rejects.toMatchObject({ status: 404, code: 'model_not_found', param: 'model', message: expect.stringContaining(MODEL) });
  });

  it('understands the error of a bad request', async () => {
    const failing = client().chat.completions.create({ ...request, temperature: 7 });
    await expect(failing).rejects.toMatchObject({ status: 400, param: 'temperature' });
  });
});

describe('openai for Node on /v1/audio/transcriptions', () => {
  const client = (): OpenAI => new OpenAI({ baseURL: `${server}/v1`, apiKey: 'none', maxRetries: 0 });
  const ask = () => ({ file: createReadStream(SPEECH), model: 'whisper-1' });

  it('hears what was said', async () => {
    const { text } = await client().audio.transcriptions.create(ask());
    expect(text).toContain('young man');
  });

  it('hears when each word was said', async () => {
    const said = await client().audio.transcriptions.create({ ...ask(), response_format: 'verbose_json', timestamp_granularities: ['word'] });
    const ends = said.words?.map(word => word.end) ?? [];
    expect(ends.length).toBeGreaterThan(5);
    expect(ends).toEqual(ends.toSorted((a, b) => a - b));
    expect(said.duration).toBeCloseTo(2.99, 2);
  });

  it('streams sentences that add up to all of it', async () => {
    let told = '';
    let whole: string | undefined;
    for await (const event of await client().audio.transcriptions.create({ ...ask(), stream: true })) {
      if (event.type === 'transcript.text.delta') told += event.delta;
      if (event.type === 'transcript.text.done') whole = event.text;
    }
    expect(told).toContain('young man');
    expect(whole).toBe(told);
  });

  it('understands the error of what is no recording', async () => {
    const failing = client().audio.transcriptions.create({ ...ask(), file: new File(['no audio at all'], 'a.mp3') });
    await expect(failing).rejects.toMatchObject({ status: 400, code: 'invalid_audio', message: expect.stringContaining('no known container') });
  });
});

describe('openai for Node on /v1/responses', () => {
  const client = (): OpenAI => new OpenAI({ baseURL: `${server}/v1`, apiKey: 'none', maxRetries: 0 });
  const request = { model: MODEL, input: PROMPT, temperature: 0, max_output_tokens: MAX_TOKENS };

  it('answers', async () => {
    const response = await client().responses.create({ ...request, instructions: 'You are brief.' });
    expectAnswer(response.output_text);
    expect(response).toMatchObject({ id: expect.stringMatching(/^resp_/), object: 'response', instructions: 'You are brief.', temperature: 0 });
    expect(response.usage?.output_tokens).toBeGreaterThan(0);
  });

  it('streams events that add up to the response', async () => {
    const stream = client().responses.stream(request);
    let text = '';
    const numbers: number[] = [];
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') text += event.delta;
      numbers.push(event.sequence_number);
    }
    expectAnswer(text);
    expect(numbers).toEqual(numbers.map((_, at) => at));
    const response = await stream.finalResponse();
    expect(response.output_text).toBe(text);
    expect(response.usage?.total_tokens).toBeGreaterThan(0);
  });

  it('says that an answer was cut', async () => {
    const response = await client().responses.create({ ...request, max_output_tokens: 2 });
    expect(response).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } });
  });

  it('goes on with a conversation that the client sends again', async () => {
    const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: PROMPT }];
    const first = await client().responses.create({ ...request, input });
    const second = await client().responses.create({ ...request, input: [...input, ...first.output.filter(item => item.type === 'message'), { role: 'user', content: PROMPT }] });
    expect(second.output_text).not.toBe('');
  });

  it('understands that nothing is stored', async () => {
    await expect(client().responses.create({ ...request, previous_response_id: 'resp_1' })).rejects.toMatchObject({ status: 400, param: 'previous_response_id' });
    await expect(client().responses.retrieve('resp_1')).rejects.toMatchObject({ status: 404, code: 'not_stored' });
    await expect(client().responses.delete('resp_1')).rejects.toMatchObject({ status: 404, code: 'not_stored' });
  });
});

describe('embeddings', () => {
  const texts = ['The sky is blue.', 'Llamas hum.'];
  /** What the official client of OpenAI makes of the base64 that it asks for by itself. */
  const reference = async (): Promise<number[][]> => {
    const client = new OpenAI({ baseURL: `${server}/v1`, apiKey: 'none', maxRetries: 0 });
    const { data, usage } = await client.embeddings.create({ model: MODEL, input: texts });
    expect(usage.prompt_tokens).toBeGreaterThan(4);
    return data.map(({ embedding }) => [...embedding]);
  };

  it('come to openai for Node as base64 and as numbers', async () => {
    const vectors = await reference();
    vectors.forEach(expectVector);
    const client = new OpenAI({ baseURL: `${server}/v1`, apiKey: 'none', maxRetries: 0 });
    const { data } = await client.embeddings.create({ model: MODEL, input: texts[1]!, encoding_format: 'float' });
    expectAlike(data[0]!.embedding, vectors[1]!);
    await expect(client.embeddings.create({ model: MODEL, input: ['a', ''] })).rejects.toMatchObject({ status: 400, param: 'input[1]' });
  });

  it('come to ollama for Node on both paths', async () => {
    const client = new Ollama({ host: server });
    const vectors = await reference();
    const { embeddings } = await client.embed({ model: MODEL, input: texts });
    embeddings.forEach((vector, at) => expectAlike(vector, vectors[at]!));
    const { embedding } = await client.embeddings({ model: MODEL, prompt: texts[0]! });
    expectAlike(embedding, vectors[0]!);
    await expect(client.embed({ model: MODEL, input: 'x', truncate: true })).rejects.toThrow('truncate');
  });

  it('come to the AI SDK', async () => {
    const provider = createOpenAICompatible({ name: 'uat', baseURL: `${server}/v1` });
    const { embedding, usage } = await embed({ model: provider.embeddingModel(MODEL), value: texts[0]!, maxRetries: 0 });
    expectAlike(embedding, (await reference())[0]!);
    expect(usage.tokens).toBeGreaterThan(2);
  });
});

describe('ollama for Node', () => {
  const client = (): Ollama => new Ollama({ host: server });
  const request = { model: MODEL, messages: [{ role: 'user', content: PROMPT }], options: { temperature: 0, num_predict: MAX_TOKENS } };

  it('chats', async () => {
    const answer = await client().chat({ ...request, stream: false });
    expectAnswer(answer.message.content);
    expect(answer).toMatchObject({ done: true, eval_count: expect.any(Number) });
  });

  it('streams', async () => {
    let text = '';
    let done = false;
    for await (const part of await client().chat({ ...request, stream: true })) {
      text += part.message.content;
      done = part.done;
    }
    expectAnswer(text);
    expect(done).toBe(true);
  });

  it('generates', async () => {
    const { messages: _, ...rest } = request;
    const answer = await client().generate({ ...rest, prompt: PROMPT, stream: false });
    expectAnswer(answer.response ?? '');
    expect(answer).toMatchObject({ done: true, done_reason: expect.any(String), eval_count: expect.any(Number) });
    let text = '';
    for await (const part of await client().generate({ ...rest, prompt: PROMPT, stream: true })) text += part.response ?? '';
    expect(text).toBe(answer.response);
  });

  it('loads a model with an empty prompt', async () => {
    const loaded = await client().generate({ model: MODEL, prompt: '', stream: false });
    expect(loaded).toMatchObject({ done: true, done_reason: 'load', response: '' });
    expect((await client().ps()).models.map(model => model.name)).toContain(MODEL);
    await expect(client().generate({ model: MODEL, prompt: 'a', suffix: 'b', stream: false })).rejects.toThrow('suffix');
  });

  it('lists the models', async () => {
    expect((await client().list()).models.map(model => model.name)).toContain(MODEL);
  });

  it('shows what a model is', async () => {
    const shown = await client().show({ model: MODEL });
    expect(shown.details).toMatchObject({ format: 'gguf', family: 'llama', families: ['llama'], parameter_size: '134.52M', quantization_level: 'Q4_1' });
    expect(shown.model_info).toMatchObject({ 'general.architecture': 'llama', 'llama.context_length': 8192 });
    expect(shown.capabilities).toContain('completion');
    expect(shown.template).toContain('im_start');
    await expect(client().show({ model: 'smollm2' })).rejects.toThrow(MODEL);
  });

  it('says what is in memory', async () => {
    await client().chat({ ...request, stream: false });
    const { models } = await client().ps();
    const [loaded] = models.filter(model => model.name === MODEL);
    expect(loaded).toMatchObject({ model: MODEL, details: { family: 'llama' }, digest: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(loaded!.size).toBeGreaterThan(90_000_000);
    expect(new Date(loaded!.expires_at).getTime()).toBeGreaterThan(Date.now());
  });
});

describe('the AI SDK with @ai-sdk/openai-compatible', () => {
  const model = () => createOpenAICompatible({ name: 'uat', baseURL: `${server}/v1`, includeUsage: true })(MODEL);
  const request = { prompt: PROMPT, temperature: 0, maxOutputTokens: MAX_TOKENS, maxRetries: 0 };

  it('chats', async () => {
    const { text, usage } = await generateText({ model: model(), ...request });
    expectAnswer(text);
    expect(usage.outputTokens).toBeGreaterThan(0);
  });

  it('streams', async () => {
    const result = streamText({ model: model(), ...request });
    let text = '';
    for await (const piece of result.textStream) text += piece;
    expectAnswer(text);
    expect((await result.usage).outputTokens).toBeGreaterThan(0);
  });
});

describe('openai and ollama for Python', () => {
  const folder = join(ROOT, 'test', 'e2e', 'python');
  const venv = join(ROOT, '.venv');
  const python = join(venv, 'bin', 'python');

  beforeAll(async () => {
    if (!existsSync(python)) await promisify(execFile)('python3', ['-m', 'venv', venv]);
    // Changes nothing, and asks nobody, when the pinned versions are there.
    await promisify(execFile)(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', join(folder, 'requirements.txt')]);
  });

  it.each(['openai_chat', 'openai_stream', 'ollama_chat', 'ollama_stream'])('%s', async check => {
    const stdout = await machine.run(python, [join(folder, 'clients.py'), check, server, MODEL]);
    expectAnswer(stdout);
  });

  it('hears what was said', async () => {
    expect(await machine.run(python, [join(folder, 'clients.py'), 'openai_transcription', server, SPEECH])).toContain('young man');
  });
});
