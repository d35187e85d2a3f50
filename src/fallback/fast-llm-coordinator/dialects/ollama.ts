import { isObject } from '../../../check.js';
import type { ChatChunk } from '../../../services/fast-llm-coordinator-types.js';
import { type AnswerIds, ChunkDecoder, type Dialect, ErrorInAnswer, MAX_EVENT_BYTES, NotOfTheDialect, parseObject } from '../dialect.js';
import { LineDecoder } from '../lines.js';
import { assemble } from './assemble.js';
import { ollamaEmbeddings } from './embeddings.js';
import { chatRequest } from './ollama-request.js';

/** Ollama's `POST /api/chat` and `POST /api/embed` (https://github.com/ollama/ollama/blob/main/docs/api.md), translated both ways. */
export const ollama: Dialect = {
  chat: {
    path: () => '/api/chat',
    request: chatRequest,
    answer(json, ids) {
      if (!isObject(json)) throw new NotOfTheDialect('expected a JSON object with `message`');
      if (json['error'] == null && json['done'] !== true) throw new NotOfTheDialect('expected an answer that is done');
      return assemble(new OllamaAnswer(ids, true).line(json));
    },
  },
  embeddings: ollamaEmbeddings,
  chunks: (ids, includeUsage) => new OllamaChunks(ids, includeUsage),
};

/** Translates the lines of one answer; a whole answer is one line that is done. */
class OllamaAnswer {
  readonly #ids: AnswerIds;
  readonly #includeUsage: boolean;
  #begun = false;
  #calls = 0;
  isDone = false;

  constructor(ids: AnswerIds, includeUsage: boolean) {
    this.#ids = ids;
    this.#includeUsage = includeUsage;
  }

  line(line: Record<string, unknown>): ChatChunk[] {
    if (line['error'] != null) throw new ErrorInAnswer(line['error']);
    const { message } = line;
    if (!isObject(message)) throw new NotOfTheDialect('expected a JSON object with `message`');
    // OpenAI's streams begin with the role.
    const chunks = this.#begun ? [] : [this.#said({ role: 'assistant', content: '' })];
    this.#begun = true;
    const { content, thinking, tool_calls: calls } = message;
    if (typeof thinking === 'string' && thinking !== '') chunks.push(this.#said({ reasoning_content: thinking }));
    if (typeof content === 'string' && content !== '') chunks.push(this.#said({ content }));
    if (Array.isArray(calls) && calls.length > 0) chunks.push(this.#said({ tool_calls: calls.map(call => this.#call(call)) }));
    if (line['done'] !== true) return chunks;
    this.isDone = true;
    chunks.push(this.#said({}, this.#finish(line['done_reason'])));
    return this.#includeUsage ? [...chunks, { ...this.#chunk([]), usage: usage(line) } as ChatChunk] : chunks;
  }

  /** Identifiers that Ollama leaves out are made from the answer's, so that they are unique in a conversation. */
  #call(call: unknown): Record<string, unknown> {
    const { id, function: made } = isObject(call) ? call : {};
    const { name, arguments: parameters } = isObject(made) ? made : {};
    const index = this.#calls;
    this.#calls += 1;
    return { index, id: typeof id === 'string' && id !== '' ? id : `call_${this.#ids.id}_${index}`, type: 'function', function: { name, arguments: JSON.stringify(parameters ?? {}) } };
  }

  /** `load` and `unload` answer a request without messages; OpenAI's clients know no such reasons. */
  #finish(reason: unknown): string {
    if (reason === 'length') return 'length';
    return this.#calls > 0 ? 'tool_calls' : 'stop';
  }

  #said(delta: Record<string, unknown>, finish_reason: string | null = null): ChatChunk {
    return this.#chunk([{ index: 0, delta, finish_reason }]);
  }

  #chunk(choices: unknown[]): ChatChunk {
    const { id, created, model } = this.#ids;
    return { id, object: 'chat.completion.chunk', created, model, choices } as unknown as ChatChunk;
  }
}

class OllamaChunks extends ChunkDecoder {
  readonly #lines = new LineDecoder(MAX_EVENT_BYTES);
  readonly #answer: OllamaAnswer;

  constructor(ids: AnswerIds, includeUsage: boolean) {
    super();
    this.#answer = new OllamaAnswer(ids, includeUsage);
  }

  protected override cut(bytes: Uint8Array): string[] {
    return this.#lines.push(bytes);
  }

  protected override rest(): string[] {
    return [this.#lines.end()];
  }

  protected override read(line: string): ChatChunk[] {
    if (line.trim() === '') return [];
    const chunks = this.#answer.line(parseObject(line));
    this.over = this.#answer.isDone;
    this.whole = this.over;
    return chunks;
  }
}

/** Ollama leaves a count of zero out. */
function usage(answer: Record<string, unknown>): NonNullable<ChatChunk['usage']> {
  const count = (value: unknown): number => (typeof value === 'number' ? value : 0);
  const [prompt, completion] = [count(answer['prompt_eval_count']), count(answer['eval_count'])];
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}
