import { isObject } from '../../../check.js';
import type { ChatChunk } from '../../../services/fast-llm-coordinator-types.js';
import { ChunkDecoder, type Dialect, ErrorInAnswer, MAX_EVENT_BYTES, NotOfTheDialect, parseObject } from '../dialect.js';
import { openaiEmbeddings } from './embeddings.js';
import { SseDecoder } from '../lines.js';

/** OpenAI's own dialect, which the local engine speaks too: everything but `model` and `stream` passes as it is. */
export const openai: Dialect = {
  chat: {
    path: () => '/chat/completions',
    request(request, model, stream) {
      const { stream: _, stream_options, ...fields } = request;
      // OpenAI's API refuses stream_options where nothing is streamed.
      return { body: { ...fields, model, ...(stream ? { stream, ...(stream_options === undefined ? {} : { stream_options }) } : {}) }, dropped: [] };
    },
    answer(json) {
      if (!isObject(json)) throw new NotOfTheDialect('expected a JSON object with `choices`');
      if (json['error'] != null) throw new ErrorInAnswer(json['error']);
      if (!Array.isArray(json['choices'])) throw new NotOfTheDialect('expected a JSON object with `choices`');
      return json;
    },
  },
  embeddings: openaiEmbeddings,
  chunks: () => new OpenAiChunks(),
};

class OpenAiChunks extends ChunkDecoder {
  readonly #events = new SseDecoder(MAX_EVENT_BYTES);

  protected override cut(bytes: Uint8Array): string[] {
    return this.#events.push(bytes);
  }

  protected override rest(): string[] {
    return [];
  }

  protected override read(data: string): ChatChunk[] {
    if (data === '[DONE]') {
      this.over = true;
      this.whole = true;
      return [];
    }
    const chunk = parseObject(data);
    if (chunk['error'] != null) throw new ErrorInAnswer(chunk['error']);
    if (!Array.isArray(chunk['choices'])) throw new NotOfTheDialect('expected a chunk with `choices`');
    // Some servers close after the finish reason without [DONE].
    if ((chunk as ChatChunk).choices.some(choice => choice.finish_reason != null)) this.whole = true;
    return [chunk as ChatChunk];
  }
}
