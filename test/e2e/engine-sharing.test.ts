import { once } from 'node:events';
import { join } from 'node:path';

import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { type ChatChunk, FastLLMCoordinator } from '../../src/index.js';
import { built, ROOT } from '../support/built.js';
import { Machine, MODEL } from '../support/uat.js';

const PROMPT = 'What is the capital of France? Answer in one short sentence.';
const LONG: Parameters<FastLLMCoordinator['stream']>[0] = { model: MODEL, messages: [{ role: 'user', content: 'Tell a long story about a river.' }], max_tokens: 512 };
const ASK = join(ROOT, 'test', 'e2e', 'scripts', 'ask.mjs');

let machine: Machine;
beforeAll(async () => {
  const any = new Machine();
  await any.pull();
  await any.stop();
});
beforeEach(() => {
  machine = new Machine();
});
afterEach(async () => {
  await machine.stop();
});

describe('one engine for everybody', () => {
  it('serves uat serve, both backends in two scripts and uat chat at once', async () => {
    const server = await machine.serve();
    const client = new OpenAI({ baseURL: `${server}/v1`, apiKey: 'none', maxRetries: 0 });
    // A stream that lasts as long as the others, so that they really meet.
    const stream = await client.chat.completions.create({ ...LONG, stream: true, max_tokens: 4000 } as OpenAI.ChatCompletionCreateParamsStreaming);
    await stream[Symbol.asyncIterator]().next();
    const [native, fallback, chat] = await Promise.all([
      machine.run(process.execPath, [ASK, MODEL, PROMPT], { UAT_BACKEND: 'native' }),
      machine.run(process.execPath, [ASK, MODEL, PROMPT], { UAT_BACKEND: 'typescript' }),
      machine.run(built('uat'), ['chat', '--temperature', '0', '--max-tokens', '24', PROMPT]),
    ]);
    expect(machine.engines()).toHaveLength(1);
    stream.controller.abort();
    for (const [printed, backend] of [[native, 'native'], [fallback, 'typescript']] as const) {
      expect(JSON.parse(printed)).toMatchObject({ content: expect.stringContaining('Paris'), endpoint: 'engine', backend });
    }
    expect(chat).toContain('Paris');
  });

  it('is started once when eight processes want it at the same time', async () => {
    const backends = Array.from({ length: 8 }, (_, index) => (index % 2 === 0 ? 'native' : 'typescript'));
    const answers = backends.map(backend => machine.run(process.execPath, [ASK, MODEL, PROMPT], { UAT_BACKEND: backend }));
    // Whoever answers first must not have let the engine go: at any time there is one.
    await Promise.race(answers);
    expect(machine.engines()).toHaveLength(1);
    await Promise.all(answers);
  });

  it('goes by itself when nobody needs it any more', async () => {
    await machine.run(process.execPath, [ASK, MODEL, PROMPT], { UAT_BACKEND: 'typescript' });
    await expect.poll(() => machine.engines(), { timeout: 20_000 }).toEqual([]);
  });
});

describe.each(['native', 'typescript'])('an engine that is killed under eight streams of the %s backend', backend => {
  const before = { ...process.env };
  let coordinator: FastLLMCoordinator;
  beforeEach(() => {
    Object.assign(process.env, machine.env, { UAT_BACKEND: backend });
    coordinator = new FastLLMCoordinator();
  });
  afterEach(async () => {
    await coordinator.close();
  });
  afterAll(() => {
    for (const key of Object.keys(process.env)) if (!(key in before)) delete process.env[key];
    Object.assign(process.env, before);
  });

  it('is started again and goes on with each of them', async () => {
    const streams = Array.from({ length: 8 }, () => coordinator.stream(LONG));
    await Promise.all(streams.map(stream => stream.next()));
    const ends = streams.map(async stream => {
      let last: ChatChunk | undefined;
      for (let next = await stream.next(); next.done !== true; next = await stream.next()) last = next.value;
      return last?.routing?.attempts.map(({ outcome }) => outcome);
    });
    const [engine] = machine.engines();
    process.kill(engine!, 'SIGKILL');
    expect(await Promise.all(ends)).toEqual(Array(8).fill(['error', 'resumed']));

    const answer = await coordinator.route({ model: MODEL, messages: [{ role: 'user', content: PROMPT }], temperature: 0, max_tokens: 24 });
    expect(answer.content).toContain('Paris');
    expect(machine.engines()).toHaveLength(1);
    expect(machine.engines()).not.toEqual([engine]);
    // Eight long answers twice on one core, where the other is busy.
  }, 300_000);
});

describe('a model that is not there', () => {
  it.each(['native', 'typescript'])('is told with the command that fetches it, on the %s backend', async backend => {
    const script = machine.start(process.execPath, ['--input-type=module', '-e', `
      import { FastLLMCoordinator } from ${JSON.stringify(join(ROOT, 'dist', 'index.js'))};
      const error = await new FastLLMCoordinator().route({ model: '${MODEL}', messages: [{ role: 'user', content: 'x' }] }).catch(error => error);
      console.log(JSON.stringify({ code: error.code, retryable: error.retryable, message: error.message }));
    `], { UAT_BACKEND: backend, HOME: machine.folder, XDG_CACHE_HOME: machine.folder, UAT_MODELS: join(machine.folder, 'none'), HF_HOME: '', HF_HUB_CACHE: '', LLAMA_CACHE: '' });
    let printed = '';
    script.stdout.setEncoding('utf8').on('data', piece => { printed += piece; });
    await once(script, 'close');
    expect(JSON.parse(printed)).toEqual({ code: 'UAT_MODEL_NOT_FOUND', retryable: false, message: expect.stringContaining(`uat models pull ${MODEL}`) });
  });
});
