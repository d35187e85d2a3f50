import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { type Dialect, ErrorInAnswer } from '../../src/fallback/fast-llm-coordinator/dialect.js';
import { anthropic } from '../../src/fallback/fast-llm-coordinator/dialects/anthropic/anthropic.js';
import { gemini } from '../../src/fallback/fast-llm-coordinator/dialects/gemini/gemini.js';
import { ROOT } from '../support/built.js';

/** The golden translations of `crates/llm-wire`: what the core says, the fallback says too. */
const GOLDEN = join(ROOT, 'crates/llm-wire/tests/golden');
interface Spoken {
  dialect: Dialect;
  /** The model's name at the endpoint, and the public one. */
  there: string;
  model: string;
}
const DIALECTS: Record<string, Spoken> = { anthropic: { dialect: anthropic, there: 'claude', model: 'claude' }, gemini: { dialect: gemini, there: 'gemini-3-flash-preview', model: 'gemini' } };

/** Which of the translations the fallback has: it asks such endpoints, and answers no such clients. */
const TRANSLATIONS = ['request_out', 'answer_in', 'stream_in'] as const;

function cases(folder: string): { name: string; input: string; output: string }[] {
  // The answers are the core's to write; its own test fails where one is missing.
  return readdirSync(folder).filter(file => file.includes('.out.')).map(file => ({
    name: file.split('.')[0] ?? '', input: readFileSync(join(folder, file.replace('.out.', '.in.')), 'utf8'), output: readFileSync(join(folder, file), 'utf8'),
  }));
}

/** A refusal by the field alone: its words are not part of the contract. */
function refusedField(message: string): { refused: string } {
  return { refused: message.split(':')[0] ?? '' };
}

function requestOut({ dialect, there }: Spoken, input: string): unknown {
  const request = JSON.parse(input) as Record<string, unknown>;
  try {
    const { body, dropped } = dialect.chat.request(request, there, request['stream'] === true, undefined);
    return { dropped: [...dropped].sort(), body };
  } catch (error) {
    return refusedField((error as Error).message);
  }
}

const ids = (model: string): { id: string; created: number; model: string } => ({ id: 'chatcmpl-1', created: 1, model });

function answerIn({ dialect, model }: Spoken, input: string): unknown {
  try {
    return dialect.chat.answer(JSON.parse(input), ids(model), {});
  } catch (error) {
    return error instanceof ErrorInAnswer ? { error: (error.error as { message: unknown }).message } : refusedField((error as Error).message);
  }
}

function streamIn({ dialect, model }: Spoken, input: string): unknown {
  const decoder = dialect.chunks(ids(model), true);
  const chunks: unknown[] = [...decoder.push(Buffer.from(input)), ...decoder.end()];
  const { failure } = decoder;
  if (failure instanceof ErrorInAnswer) chunks.push({ error: (failure.error as { message: unknown }).message });
  else if (failure !== undefined) chunks.push(refusedField(failure.message));
  return { chunks, end: decoder.over ? 'done' : 'cut' };
}

/** An error object by its message: the fallback keeps the endpoint's own object. */
function withoutDress(document: unknown): unknown {
  const { error, refused } = document as { error?: { message: string }; refused?: string };
  if (error !== undefined) return { error: error.message };
  return refused === undefined ? document : refusedField(refused);
}

function expected(translation: (typeof TRANSLATIONS)[number], output: string): unknown {
  if (translation === 'stream_in') {
    const blocks = output.trim().split('\n\n');
    const end = blocks.pop()?.slice(': '.length);
    return { chunks: blocks.map(block => (block.startsWith('data: ') ? withoutDress(JSON.parse(block.slice('data: '.length))) : refusedField(block.slice(': refused: '.length)))), end };
  }
  const document = withoutDress(JSON.parse(output)) as { dropped?: string[] };
  return document.dropped === undefined ? document : { ...document, dropped: [...document.dropped].sort() };
}

/** The arguments of whole calls as values: JavaScript has read their numbers as doubles, where the core passes their digits on. */
function withArgumentsRead(document: unknown): unknown {
  return JSON.parse(JSON.stringify(document), (key, value: unknown) => (key === 'arguments' && typeof value === 'string' && value.startsWith('{') ? JSON.parse(value) as unknown : value)) as unknown;
}

describe.each(readdirSync(GOLDEN).filter(name => name in DIALECTS))('in the dialect %s', name => {
  const spoken = DIALECTS[name]!;
  const said = { request_out: requestOut, answer_in: answerIn, stream_in: streamIn };
  describe.each(TRANSLATIONS)('%s', translation => {
    it.each(cases(join(GOLDEN, name, translation)))('$name', ({ input, output }) => {
      const read = translation === 'answer_in' ? withArgumentsRead : (document: unknown): unknown => document;
      expect(read(said[translation](spoken, input))).toEqual(read(expected(translation, output)));
    });
  });
});

it('the fallback knows every dialect that has golden translations and that endpoints speak', () => {
  expect(readdirSync(GOLDEN, { withFileTypes: true }).filter(entry => entry.isDirectory()).map(entry => entry.name)).toContain('anthropic');
});
