import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ChatChunk } from '../../src/index.js';
import { Collector, isStorable, replay } from '../../src/fallback/fast-llm-coordinator/completion.js';
import { continued, hasFormat, isResumable, PartialAnswer, Seam } from '../../src/fallback/fast-llm-coordinator/continuation.js';
import { Flights, type Source } from '../../src/fallback/fast-llm-coordinator/flight.js';
import { CallScope } from '../../src/fallback/fast-llm-coordinator/scope.js';
import { chunk, completion } from '../support/chat.js';
import { errorOf } from '../support/errors.js';
import { seeded } from '../support/random.js';

const saying = (content: string, finish: string | null = null): ChatChunk => chunk({ content }, finish) as unknown as ChatChunk;
const heard = (pieces: string[]): PartialAnswer => {
  const partial = new PartialAnswer();
  for (const piece of pieces) partial.hear(saying(piece));
  return partial;
};
const textOf = (one: ChatChunk | 'another' | undefined): string => (one === undefined ? '' : one === 'another' ? '<another>' : one.choices[0]?.delta.content as string | undefined ?? '');

describe('where an answer is taken up again', () => {
  it.each<[string[], boolean, string, string, number]>([
    [['The sky', ' is ', ' '], false, 'The sky is', '  ', 1], [['The sky', ' is', ' bl'], true, 'The sky is', ' bl', 2], [['The sky', ' is '], true, 'The sky', ' is ', 1], [['Thesky'], true, '', 'Thesky', 0],
    [['a', 'x'.repeat(300)], true, `a${'x'.repeat(300)}`, '', 2], [[' \n'], false, '', ' \n', 0],
  ])('%j, repeated: %s', (pieces, repeats, prefill, expected, given) => {
    expect(heard(pieces).cut(repeats)).toMatchObject({ prefill, expected, given });
  });

  it('is a seam without a missing or a doubled letter, however the rest is cut into pieces', () => {
    const whole = 'The sky is  blue,\n because\tof Rayleigh  scattering.';
    const random = seeded(7);
    for (let round = 0; round < 500; round += 1) {
      const at = 1 + Math.floor(random() * (whole.length - 1));
      const partial = heard(whole.slice(0, at).match(/.{1,3}/gs) ?? []);
      const cut = partial.cut(round % 2 === 0);
      const seam = new Seam(cut);
      let rest = '';
      for (let from = cut.prefill.length; from < whole.length;) {
        const length = 1 + Math.floor(random() * 6);
        rest += textOf(seam.chunk(partial, saying(whole.slice(from, from + length))));
        from += length;
      }
      expect(whole.slice(0, at) + rest).toBe(whole);
    }
  });

  it('tells another answer from the rest of this one', () => {
    const partial = heard(['One two']);
    expect(new Seam(partial.cut(true)).chunk(partial, saying(' three'))).toBe('another');
    expect(new Seam(partial.cut(true)).chunk(partial, saying('', 'stop'))).toBe('another');
    expect(textOf(new Seam(partial.cut(false)).chunk(partial, saying(' three')))).toBe(' three');
  });
});

describe('the request for the rest', () => {
  const cut = { prefill: 'Well', expected: '', given: 3, strict: false };
  const hi = { role: 'user', content: 'Hi' };
  it.each<[object, object | undefined]>([
    [{ messages: [hi] }, { messages: [hi, { role: 'assistant', content: 'Well' }] }],
    [{ messages: [hi, { role: 'assistant', content: 'So: ' }] }, { messages: [hi, { role: 'assistant', content: 'So: Well' }] }],
    [{ messages: [hi, { role: 'assistant', content: [{ type: 'text', text: 'So: ' }] }] }, { messages: [hi, { role: 'assistant', content: [{ type: 'text', text: 'So: ' }, { type: 'text', text: 'Well' }] }] }],
    [{ messages: [hi], max_tokens: 5, max_completion_tokens: 4 }, { messages: [hi, { role: 'assistant', content: 'Well' }], max_tokens: 2, max_completion_tokens: 1 }],
    [{ messages: [hi], max_tokens: 3 }, undefined],
  ])('of %j', (request, expected) => expect(continued(request as Record<string, unknown>, cut)).toEqual(expected));

  it.each<[object, boolean, boolean]>([[{}, true, false], [{ n: 1, logprobs: false, response_format: { type: 'text' } }, true, false], [{ n: 2 }, false, false], [{ logprobs: true }, false, false], [{ response_format: { type: 'json_schema' } }, true, true]])('%j can be taken up again: %s', (request, can, format) => {
    expect([isResumable(request as Record<string, unknown>), hasFormat(request as Record<string, unknown>)]).toEqual([can, format]);
  });
});

describe('a stored answer', () => {
  it('is the same after it was streamed and collected again', () => {
    const answer = completion('Hello', { choices: [{ index: 0, message: { role: 'assistant', content: 'Hello', reasoning_content: 'Hm.' }, finish_reason: 'stop' }] });
    const collector = new Collector();
    for (const one of replay(answer, true)) collector.hear(one);
    expect(collector.completion()).toEqual(answer);
    expect(isStorable(answer)).toBe(true);
  });

  it.each<[string, object]>([['annotations', { annotations: [{}] }], ['details of reasoning', { reasoning_details: [{}] }], ['audio', { audio: { id: 'x' } }]])('is none of a stream with %s', (_, delta) => {
    const collector = new Collector();
    for (const one of [chunk({ content: 'x', ...delta }), chunk({}, 'stop')]) collector.hear(one as unknown as ChatChunk);
    expect(collector.completion()).toBeUndefined();
  });
});

describe('an answer that several wait for', () => {
  const scope = (): CallScope => new CallScope(undefined, undefined, new Set());
  function source(pieces: string[]): Source<string> & { cancelled: boolean; asked: number } {
    return { cancelled: false, asked: 0, async next() { this.asked += 1; return pieces[this.asked - 1] ?? null; }, size: piece => piece.length, cancel() { this.cancelled = true; } };
  }
  async function rest(seat: { next(scope: CallScope): Promise<string | null> }): Promise<string> {
    let text = '';
    for (let piece = await seat.next(scope()); piece !== null; piece = await seat.next(scope())) text += piece;
    return text;
  }

  it('comes to each whole, also to one who joins late', async () => {
    const flights = new Flights(1_000);
    const one = source(['a', 'b', 'c']);
    const first = flights.join('k', () => one);
    await first.next(scope());
    const second = flights.join('k', () => source(['other']));
    expect([first.leads, second.leads]).toEqual([true, false]);
    expect(await Promise.all([rest(second), rest(first)])).toEqual(['abc', 'bc']);
    expect(one.asked).toBe(4);
    expect(await rest(flights.join('k', () => source(['new'])))).toBe('new');
  });

  it('is cancelled with the last of them, not with the first', async () => {
    const flights = new Flights(1_000);
    const one = source(['a', 'b']);
    const [first, second] = [flights.join('k', () => one), flights.join('k', () => one)];
    first.leave();
    expect(one.cancelled).toBe(false);
    expect(await second.next(scope())).toBe('a');
    second.leave();
    expect(one.cancelled).toBe(true);
  });

  describe('that is longer than what is kept', () => {
    const piece = 'x'.repeat(400);
    beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
    afterEach(() => void vi.useRealTimers());

    it('waits for the slowest, whom it gives up after five seconds', async () => {
      const one = source(Array.from({ length: 8 }, () => piece));
      const flights = new Flights(1_000);
      const [slow, fast] = [flights.join('k', () => one), flights.join('k', () => one)];
      const reading = rest(fast);
      await vi.advanceTimersByTimeAsync(4_000);
      expect(one.asked).toBe(3);
      expect(await slow.next(scope())).toBe(piece);
      await vi.advanceTimersByTimeAsync(0);
      expect(one.asked).toBe(4);
      await vi.advanceTimersByTimeAsync(5_001);
      expect((await reading).length).toBe(8 * piece.length);
      expect(await errorOf(slow.next(scope()))).toMatchObject({ code: 'UAT_OVERLOADED', retryable: true });
    });

    it('takes nobody who would miss its beginning', async () => {
      const flights = new Flights(1_000);
      const first = flights.join('k', () => source(Array.from({ length: 8 }, () => piece)));
      for (let read = 0; read < 3; read += 1) await first.next(scope());
      expect(flights.join('k', () => source(['anew'])).leads).toBe(true);
    });
  });
});
