import type { EmbedResponse } from '../../../../services/fast-llm-coordinator-types.js';
import { type Dialect, NotOfTheDialect, type Operation } from '../../dialect.js';
import { assemble } from '../assemble.js';
import { refuse } from '../refusal.js';
import { AnthropicAnswer, AnthropicChunks } from './answer.js';
import { messagesRequest } from './request.js';

const embeddings: Operation<EmbedResponse> = {
  path: () => '',
  request: (_, model) => {
    throw refuse('model', 'a model of another endpoint, because Anthropic has no embeddings', model);
  },
  answer: () => {
    throw new NotOfTheDialect('Anthropic has no embeddings');
  },
};

/** Anthropic's messages (https://platform.claude.com/docs/en/api/messages), translated both ways. The same translation as `llm_wire::anthropic`. */
export const anthropic: Dialect = {
  chat: {
    path: () => '/messages',
    request: messagesRequest,
    answer(json, ids) {
      return assemble(new AnthropicAnswer(ids, true).message(json));
    },
  },
  embeddings,
  chunks: (ids, includeUsage) => new AnthropicChunks(ids, includeUsage),
};
