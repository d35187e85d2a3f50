import type { Completion } from './fast-llm-coordinator-backend.js';
import type { ChatResponse } from './fast-llm-coordinator-types.js';

/** A whole answer as callers get it: the completion, which is changed, with its text and how it travelled. */
export function chatResponse({ body, routing }: Completion): ChatResponse {
  const response = body as unknown as ChatResponse;
  const content = response.choices[0]?.message?.content;
  response.content = typeof content === 'string' ? content : textOf(content);
  response.routing = routing;
  return response;
}

/** The text parts of an answer whose content is an array. */
function textOf(content: unknown): string {
  if (!Array.isArray(content)) return '';
  return content.map((part: { type?: unknown; text?: unknown }) => (part?.type === 'text' && typeof part.text === 'string' ? part.text : '')).join('');
}
