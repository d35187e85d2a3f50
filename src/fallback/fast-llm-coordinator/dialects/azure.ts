import type { Dialect, Operation } from '../dialect.js';
import { openai } from './openai.js';

/**
 * OpenAI's documents at Azure's addresses (https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle).
 *
 * @param version Of the dated interface, whose path names a deployment; absent: the versionless one, whose document names the model.
 */
export function azure(version: string | undefined): Dialect {
  const there = <T>(operation: Operation<T>): Operation<T> => ({
    ...operation,
    path: (model, stream) => version === undefined
      ? `/openai/v1${operation.path(model, stream)}`
      : `/openai/deployments/${encodeURIComponent(model)}${operation.path(model, stream)}?api-version=${encodeURIComponent(version)}`,
  });
  return { chat: there(openai.chat), embeddings: there(openai.embeddings), chunks: openai.chunks };
}
