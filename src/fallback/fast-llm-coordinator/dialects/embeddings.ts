import { isObject } from '../../../check.js';
import type { EmbedResponse } from '../../../services/fast-llm-coordinator-types.js';
import { ErrorInAnswer, NotOfTheDialect, type Operation } from '../dialect.js';

/** OpenAI's `POST /v1/embeddings`, which the local engine speaks too. */
export const openaiEmbeddings: Operation<EmbedResponse> = {
  path: () => '/embeddings',
  // Base64 is shorter and quicker to read; a server that does not know it sends numbers.
  request: (request, model) => ({ body: { ...request, model, encoding_format: 'base64' }, dropped: [] }),
  answer(json, _, request) {
    const { data, usage } = answerOf(json);
    const entries = listOf(data, request, 'data');
    const embeddings: Float32Array[] = [];
    entries.forEach((entry, position) => {
      const { index = position, embedding } = isObject(entry) ? entry : {};
      if (!Number.isInteger(index) || (index as number) < 0 || (index as number) >= entries.length || embeddings[index as number] !== undefined) {
        throw new NotOfTheDialect(`data[${position}].index: expected every index below ${entries.length} once`);
      }
      embeddings[index as number] = typeof embedding === 'string' ? fromBase64(embedding, position) : fromNumbers(embedding, position);
    });
    return { embeddings, usage: { prompt_tokens: count(isObject(usage) ? usage['prompt_tokens'] : undefined) } };
  },
};

/** Ollama's `POST /api/embed`, which is told to cut nothing. */
export const ollamaEmbeddings: Operation<EmbedResponse> = {
  path: () => '/api/embed',
  request: (request, model) => ({ body: { ...request, model, truncate: false }, dropped: [] }),
  answer(json, _, request) {
    const answer = answerOf(json);
    return {
      embeddings: listOf(answer['embeddings'], request, 'embeddings').map(fromNumbers),
      usage: { prompt_tokens: count(answer['prompt_eval_count']) },
    };
  },
};

function answerOf(json: unknown): Record<string, unknown> {
  if (!isObject(json)) throw new NotOfTheDialect('expected a JSON object with vectors');
  if (json['error'] != null) throw new ErrorInAnswer(json['error']);
  return json;
}

function listOf(list: unknown, request: Record<string, unknown>, field: string): unknown[] {
  const wanted = (request['input'] as string[]).length;
  if (!Array.isArray(list) || list.length !== wanted) throw new NotOfTheDialect(`${field}: expected ${wanted} vectors, one for each input, got ${Array.isArray(list) ? list.length : 'none'}`);
  return list;
}

function fromNumbers(numbers: unknown, position: number): Float32Array {
  if (!Array.isArray(numbers) || !numbers.every(number => typeof number === 'number')) throw new NotOfTheDialect(`vector ${position}: expected an array of numbers`);
  return finite(Float32Array.from(numbers), position);
}

/** Base64 of little-endian 32-bit numbers. */
function fromBase64(text: string, position: number): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  // Node passes over what is not base64.
  if (bytes.length % 4 !== 0 || bytes.toString('base64') !== text) throw new NotOfTheDialect(`vector ${position}: expected base64 of 32-bit numbers`);
  return finite(Float32Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(at * 4)), position);
}

function finite(vector: Float32Array, position: number): Float32Array {
  if (!vector.every(Number.isFinite)) throw new NotOfTheDialect(`vector ${position}: expected finite numbers`);
  return vector;
}

function count(tokens: unknown): number {
  return typeof tokens === 'number' ? tokens : 0;
}
