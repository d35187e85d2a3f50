import { UniversalAiError } from '../../errors.js';
import type { ChatChunk } from '../../services/fast-llm-coordinator-types.js';
import { type AnswerIds, ChunkDecoder, type Dialect, ErrorInAnswer, isObject, MAX_EVENT_BYTES, NotOfTheDialect, parseObject } from './dialect.js';
import { ollamaEmbeddings } from './embeddings.js';
import { LineDecoder } from './lines.js';

/** OpenAI's names of sampling options and Ollama's (https://github.com/ollama/ollama/blob/main/docs/api.md). */
const OPTIONS = [
  ['temperature', 'temperature'], ['top_p', 'top_p'], ['top_k', 'top_k'], ['min_p', 'min_p'], ['seed', 'seed'], ['stop', 'stop'],
  ['max_tokens', 'num_predict'], ['max_completion_tokens', 'num_predict'], ['frequency_penalty', 'frequency_penalty'], ['presence_penalty', 'presence_penalty'],
] as const;

/** Ollama's `POST /api/chat` and `POST /api/embed`, translated both ways. */
export const ollama: Dialect = {
  chat: {
    path: '/api/chat',
    request(request, model, stream) {
      if (typeof request['n'] === 'number' && request['n'] > 1) {
        throw new UniversalAiError('UAT_INVALID_INPUT', `n: expected 1, because Ollama gives one answer, got ${request['n']}`, { details: { field: 'n', expected: '1', got: String(request['n']) } });
      }
      const options: Record<string, unknown> = {};
      for (const [theirs, ours] of OPTIONS) if (request[theirs] != null) options[ours] = request[theirs];
      const format = responseFormat(request['response_format']);
      return {
        model,
        messages: (request['messages'] as Record<string, unknown>[]).map(message),
        stream,
        options,
        ...(Array.isArray(request['tools']) ? { tools: request['tools'] } : {}),
        ...(format === undefined ? {} : { format }),
      };
    },
    answer(json, ids) {
      const answer = answerOf(json);
      if (answer.done !== true) throw new NotOfTheDialect('expected an answer that is done');
      const { content, ...rest } = new OpenAiMessage().of(answer.message);
      return {
        id: ids.id, object: 'chat.completion', created: ids.created, model: ids.model,
        choices: [{ index: 0, message: { role: 'assistant', content: content ?? '', ...rest }, finish_reason: finishReason(answer, 'tool_calls' in rest) }],
        usage: usage(answer),
      };
    },
  },
  embeddings: ollamaEmbeddings,
  chunks: (ids, includeUsage) => new OllamaChunks(ids, includeUsage),
};

interface OllamaAnswer {
  message: Record<string, unknown>;
  done: unknown;
  done_reason?: unknown;
  prompt_eval_count?: unknown;
  eval_count?: unknown;
}

class OllamaChunks extends ChunkDecoder {
  readonly #lines = new LineDecoder(MAX_EVENT_BYTES);
  readonly #message = new OpenAiMessage();
  readonly #ids: AnswerIds;
  readonly #includeUsage: boolean;
  #first = true;

  constructor(ids: AnswerIds, includeUsage: boolean) {
    super();
    this.#ids = ids;
    this.#includeUsage = includeUsage;
  }

  protected override cut(bytes: Uint8Array): string[] {
    return this.#lines.push(bytes);
  }

  protected override rest(): string[] {
    return [this.#lines.end()];
  }

  protected override read(line: string): ChatChunk[] {
    if (line.trim() === '') return [];
    const answer = answerOf(parseObject(line));
    const chunks: ChatChunk[] = [];
    // OpenAI's streams begin with the role.
    if (this.#first) chunks.push(this.#delta({ role: 'assistant', content: '' }));
    this.#first = false;
    const delta = this.#message.of(answer.message);
    if (Object.keys(delta).length > 0) chunks.push(this.#delta(delta));
    if (answer.done !== true) return chunks;
    this.over = true;
    this.whole = true;
    chunks.push(this.#delta({}, finishReason(answer, this.#message.toolCalls > 0)));
    if (this.#includeUsage) chunks.push({ ...this.#chunk([]), usage: usage(answer) });
    return chunks;
  }

  #delta(delta: Record<string, unknown>, finish_reason: string | null = null): ChatChunk {
    return this.#chunk([{ index: 0, delta, finish_reason }]);
  }

  #chunk(choices: unknown[]): ChatChunk {
    return { id: this.#ids.id, object: 'chat.completion.chunk', created: this.#ids.created, model: this.#ids.model, choices } as unknown as ChatChunk;
  }
}

/** The fields of an OpenAI message or delta; counts the tool calls of an answer, which Ollama does not number. */
class OpenAiMessage {
  toolCalls = 0;

  of(message: Record<string, unknown>): Record<string, unknown> {
    const { content, thinking, tool_calls: calls } = message;
    return {
      ...(typeof content === 'string' && content !== '' ? { content } : {}),
      ...(typeof thinking === 'string' && thinking !== '' ? { reasoning_content: thinking } : {}),
      ...(Array.isArray(calls) && calls.length > 0 ? { tool_calls: calls.map(call => this.#toolCall(call)) } : {}),
    };
  }

  #toolCall(call: unknown): Record<string, unknown> {
    const { name, arguments: parameters } = isObject(call) && isObject(call['function']) ? call['function'] : {};
    const index = this.toolCalls;
    this.toolCalls += 1;
    return { index, id: `call_${index}`, type: 'function', function: { name, arguments: JSON.stringify(parameters ?? {}) } };
  }
}

function answerOf(json: unknown): OllamaAnswer {
  if (!isObject(json)) throw new NotOfTheDialect('expected a JSON object with `message`');
  if (json['error'] != null) throw new ErrorInAnswer(json['error']);
  if (!isObject(json['message'])) throw new NotOfTheDialect('expected a JSON object with `message`');
  return json as unknown as OllamaAnswer;
}

function finishReason(answer: OllamaAnswer, calledTools: boolean): string {
  if (calledTools) return 'tool_calls';
  return answer.done_reason === 'length' ? 'length' : 'stop';
}

function usage(answer: OllamaAnswer): NonNullable<ChatChunk['usage']> {
  const count = (value: unknown): number => (typeof value === 'number' ? value : 0);
  const [prompt, completion] = [count(answer.prompt_eval_count), count(answer.eval_count)];
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}

function responseFormat(format: unknown): unknown {
  if (!isObject(format)) return undefined;
  if (format['type'] === 'json_object') return 'json';
  return format['type'] === 'json_schema' && isObject(format['json_schema']) ? format['json_schema']['schema'] : undefined;
}

function message(from: Record<string, unknown>): Record<string, unknown> {
  const { role, content, tool_calls: calls, ...rest } = from;
  const parts = Array.isArray(content) ? content.filter(isObject) : [];
  const images = parts.flatMap(part => (isObject(part['image_url']) ? [imageData(part['image_url']['url'])] : []));
  return {
    ...rest,
    // Ollama knows no developer role; OpenAI treats it as the system role of newer models.
    role: role === 'developer' ? 'system' : role,
    content: typeof content === 'string' ? content : parts.map(part => (typeof part['text'] === 'string' ? part['text'] : '')).join(''),
    ...(images.length > 0 ? { images } : {}),
    ...(Array.isArray(calls) ? { tool_calls: calls.filter(isObject).map(toolCall) } : {}),
  };
}

function imageData(url: unknown): string {
  const data = typeof url === 'string' ? /^data:[^,]*;base64,(.*)$/s.exec(url)?.[1] : undefined;
  if (data === undefined) throw new UniversalAiError('UAT_INVALID_INPUT', 'image_url.url: expected a base64 data URL, because Ollama fetches no images, got another address', { details: { field: 'image_url.url' } });
  return data;
}

/** OpenAI carries arguments as a JSON text, Ollama as an object. */
function toolCall(call: Record<string, unknown>): Record<string, unknown> {
  const made = isObject(call['function']) ? call['function'] : {};
  const text = made['arguments'];
  return { function: { name: made['name'], arguments: typeof text === 'string' ? parseObject(text === '' ? '{}' : text) : text } };
}
