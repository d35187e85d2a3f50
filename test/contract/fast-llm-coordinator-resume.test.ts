import { describe, expect, it } from 'vitest';

import type { ChatRequest } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { type Asked, chunk, collect, coordinators, providers, REQUEST, sendEvents, sendStream, served, textOf } from '../support/chat.js';
import { errorOf } from '../support/errors.js';

const WORDS = ['The', ' sky', ' is', ' blue', ',', ' because', ' of', ' Rayleigh', ' scattering.'];
const WHOLE = WORDS.join('');

eachBackend(() => {
  const coordinator = coordinators();
  const provider = providers();

  /** Sends what the last message, an assistant's, lacks. */
  const continuing = async (asked: Asked, response: Parameters<typeof sendStream>[0]): Promise<void> => {
    const { role, content } = (asked.body['messages'] as { role: string; content: string }[]).at(-1)!;
    const begun = role === 'assistant' ? content : '';
    expect(WHOLE.startsWith(begun)).toBe(true);
    const rest = WHOLE.slice(begun.length);
    const usage = { choices: [], id: 'up', usage: { prompt_tokens: 7 + begun.split(' ').length, completion_tokens: 3, total_tokens: 0 } };
    await sendStream(response, rest.match(/.{1,5}/gs) ?? [], 'end', [usage]);
  };

  /** Two endpoints, of which the first breaks off after some words. */
  async function broken(words: string[], options: { first?: object; second?: object; end?: 'cut' | 'stall' } = {}): Promise<{ config: ReturnType<typeof served>; a: Awaited<ReturnType<typeof provider>>; b: Awaited<ReturnType<typeof provider>> }> {
    const a = await provider((_, response) => sendStream(response, words, options.end ?? 'cut'));
    const b = await provider(continuing);
    return { config: served('priority', { url: a.url, idle_timeout_ms: 200, ...options.first }, { url: b.url, resume: 'prefill', ...options.second }), a, b };
  }

  describe('a stream that breaks off after content, where another endpoint can go on', () => {
    it.each(['cut', 'stall'] as const)('is continued without a missing or a doubled word when it is a %s', async end => {
      const { config, b } = await broken(WORDS.slice(0, 4), { end });
      const one = coordinator(config);
      const chunks = await collect(one.stream({ ...REQUEST, temperature: 0.7 }));
      expect(textOf(chunks)).toBe(WHOLE);
      // One answer: one role, one id, one end.
      expect(new Set(chunks.map(({ id }) => id))).toEqual(new Set(['up']));
      expect(chunks.filter(({ choices }) => choices[0]?.delta.role !== undefined)).toHaveLength(1);
      expect(chunks.filter(({ choices }) => choices[0]?.finish_reason != null)).toHaveLength(1);
      expect(chunks.at(-1)?.routing).toMatchObject({ endpoint: 'b', attempts: [{ endpoint: 'a', outcome: end === 'cut' ? 'error' : 'timeout', error: expect.any(String) }, { endpoint: 'b', outcome: 'resumed', status: 200 }] });
      expect(one.stats()).toMatchObject({ requests: 1, errors: 0, resumes: 1, inFlight: 0 });
      expect(b.asked[0]?.body).toMatchObject({ continue_final_message: true, add_generation_prompt: false, messages: [...REQUEST.messages, { role: 'assistant', content: 'The sky is blue' }] });
    });

    it('asks for the last word anew at temperature 0, where the same will come again', async () => {
      const { config, b } = await broken(WORDS.slice(0, 4));
      expect(textOf(await collect(coordinator(config).stream({ ...REQUEST, temperature: 0 }, { cache: false })))).toBe(WHOLE);
      expect(b.asked[0]?.body['messages']).toEqual([...REQUEST.messages, { role: 'assistant', content: 'The sky is' }]);
    });

    it('sends no white space at the end, and expects it again', async () => {
      const { config, b } = await broken(['The sky', ' is \n']);
      // The rest of this answer begins with the white space.
      const answer = (await collect(coordinator(config).stream({ ...REQUEST, temperature: 1 })));
      expect(b.asked[0]?.body['messages']).toEqual([...REQUEST.messages, { role: 'assistant', content: 'The sky is' }]);
      expect(textOf(answer)).toBe('The sky is \nblue, because of Rayleigh scattering.');
    });

    it('gets fewer tokens, and counts all of them as tokens of the answer', async () => {
      const { config, b } = await broken(WORDS.slice(0, 4));
      const chunks = await collect(coordinator(config).stream({ ...REQUEST, temperature: 0.7, maxTokens: 30, stream_options: { include_usage: true } }));
      expect(b.asked[0]?.body['max_tokens']).toBe(26);
      expect(chunks.at(-1)?.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 7 });
    });

    it('ends where no token is left', async () => {
      const { config, b } = await broken(WORDS.slice(0, 4));
      const chunks = await collect(coordinator(config).stream({ ...REQUEST, temperature: 0.7, maxTokens: 4 }));
      expect(textOf(chunks)).toBe('The sky is blue');
      expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('length');
      expect(b.asked).toEqual([]);
    });

    it('is continued by the endpoint that broke off, if no other can', async () => {
      const a = await provider((asked, response, index) => (index === 0 ? sendStream(response, WORDS.slice(0, 3), 'cut') : continuing(asked, response)));
      const one = coordinator(served('priority', { url: a.url, resume: 'prefill' }));
      expect(textOf(await collect(one.stream({ ...REQUEST, temperature: 0.7 })))).toBe(WHOLE);
    });

    it('is continued as often as it says something new', async () => {
      const a = await provider(async (asked, response) => {
        const { content } = (asked.body['messages'] as { content: string }[]).at(-1)!;
        const at = asked.body['continue_final_message'] === true ? content.length : 0;
        if (at > 30) await continuing(asked, response);
        else await sendStream(response, [WHOLE.slice(at, at + 4), WHOLE.slice(at + 4, at + 8)], 'cut');
      });
      const one = coordinator(served('priority', { url: a.url, resume: 'prefill' }));
      expect(textOf(await collect(one.stream({ ...REQUEST, temperature: 0.7 })))).toBe(WHOLE);
      expect(one.stats().resumes).toBeGreaterThan(2);
    });

    it('is given up with the first error when nobody has anything more to say', async () => {
      const a = await provider((_, response, index) => sendStream(response, index === 0 ? WORDS.slice(0, 3) : [], 'cut'));
      const one = coordinator(served('priority', { url: a.url, resume: 'prefill' }));
      const error = await errorOf(collect(one.stream({ ...REQUEST, temperature: 0.7 })));
      expect(error).toMatchObject({ code: 'UAT_UPSTREAM', retryable: true });
      expect(one.stats()).toMatchObject({ errors: 1, inFlight: 0 });
    });

    it('is given up after two more tries that only said again what had been said', async () => {
      const a = await provider((_asked, response, index) => sendStream(response, index === 0 ? ['One', ' two'] : [' t', 'wo'], 'cut'));
      const one = coordinator(served('priority', { url: a.url, resume: 'prefill' }));
      expect(await errorOf(collect(one.stream({ ...REQUEST, temperature: 0 }, { cache: false })))).toMatchObject({ code: 'UAT_UPSTREAM' });
      expect(a.asked).toHaveLength(4);
    });

    it('is asked for once more where other words came than the answer had begun with', async () => {
      const a = await provider((_, response) => sendStream(response, ['One two'], 'cut'));
      const b = await provider((_, response, index) => sendStream(response, index === 0 ? ['three four'] : [' three']));
      const one = coordinator(served('priority', a.url, { url: b.url, resume: 'prefill' }));
      expect(textOf(await collect(one.stream({ ...REQUEST, temperature: 0 }, { cache: false })))).toBe('One two three');
    });
  });

  describe('a stream that breaks off is not continued, and ends with its error', () => {
    const requests: [string, Partial<ChatRequest>][] = [
      ['where several answers were asked for', { n: 2 }], ['where log probabilities were asked for', { logprobs: true }], ['where its form was prescribed', { response_format: { type: 'json_object' } }],
    ];
    it.each(requests)('%s', async (_, fields) => {
      const { config, b } = await broken(WORDS.slice(0, 4));
      expect(await errorOf(collect(coordinator(config).stream({ ...REQUEST, ...fields })))).toMatchObject({ code: 'UAT_UPSTREAM' });
      expect(b.asked).toEqual([]);
    });

    it.each([
      ['once a tool was called', { tool_calls: [{ index: 0, id: 'c', type: 'function', function: { name: 'f', arguments: '{' } }] }], ['while it thinks aloud', { reasoning_content: 'Hm' }],
    ])('%s', async (_, delta) => {
      const a = await provider((_asked, response) => sendEvents(response, [chunk({ role: 'assistant' }), chunk({ content: 'So' }), chunk(delta)], 'cut'));
      const b = await provider(continuing);
      expect(await errorOf(collect(coordinator(served('priority', a.url, { url: b.url, resume: 'prefill' })).stream(REQUEST)))).toMatchObject({ code: 'UAT_UPSTREAM' });
      expect(b.asked).toEqual([]);
    });

    it('where no endpoint says that it can', async () => {
      const { config, b } = await broken(WORDS.slice(0, 4), { second: { resume: undefined } });
      expect(await errorOf(collect(coordinator(config).stream(REQUEST)))).toMatchObject({ code: 'UAT_UPSTREAM' });
      expect(b.asked).toEqual([]);
    });
  });
});
