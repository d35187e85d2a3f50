import { isObject } from '../../../../check.js';
import type { EmbedResponse } from '../../../../services/fast-llm-coordinator-types.js';
import { type Dialect, ErrorInAnswer, NotOfTheDialect, type Operation } from '../../dialect.js';
import { assemble } from '../assemble.js';
import { GeminiAnswer, GeminiChunks, promptTokens } from './answer.js';
import { generateRequest } from './request.js';

/** Gemini's `batchEmbedContents`. */
const embeddings: Operation<EmbedResponse> = {
  path: model => `/models/${named(model)}:batchEmbedContents`,
  request: ({ input }, model) => {
    const name = `models/${model.replace(/^models\//, '')}`;
    return { body: { requests: (input as string[]).map(text => ({ model: name, content: { parts: [{ text }] } })) }, dropped: [] };
  },
  answer(json, _, request) {
    const answer = isObject(json) ? json : {};
    if (answer['error'] != null) throw new ErrorInAnswer(answer['error']);
    const wanted = (request['input'] as string[]).length;
    const vectors = answer['embeddings'];
    if (!Array.isArray(vectors) || vectors.length !== wanted) throw new NotOfTheDialect(`embeddings: expected ${wanted} vectors, one for each input`);
    return { embeddings: vectors.map(vector), usage: { prompt_tokens: promptTokens(answer['usageMetadata']) } };
  },
};

/**
 * Gemini's `generateContent` (https://ai.google.dev/api/generate-content), translated both ways. The model and whether
 * the answer is streamed stand in the address. The same translation as `llm_wire::gemini`.
 */
export const gemini: Dialect = {
  chat: {
    path: (model, stream) => `/models/${named(model)}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    request: generateRequest,
    answer(json, ids) {
      const answer = new GeminiAnswer(ids, true);
      const chunks = answer.read(json);
      return assemble([...chunks, ...answer.endOfWhole()]);
    },
  },
  embeddings,
  chunks: (ids, includeUsage) => new GeminiChunks(ids, includeUsage),
};

/** A name as one segment of a path, with or without the folder that Google's lists show. */
function named(model: string): string {
  return encodeURIComponent(model.replace(/^models\//, ''));
}

function vector(entry: unknown, position: number): Float32Array {
  const values = isObject(entry) ? entry['values'] : undefined;
  if (!Array.isArray(values) || !values.every(value => typeof value === 'number')) throw new NotOfTheDialect(`vector ${position}: expected an array of numbers`);
  const numbers = Float32Array.from(values as number[]);
  if (!numbers.every(Number.isFinite)) throw new NotOfTheDialect(`vector ${position}: expected finite numbers`);
  return numbers;
}
