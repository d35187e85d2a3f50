import { isObject } from '../../../../check.js';
import { type Dropped, saysNothing } from '../dropped.js';
import { refuse } from '../refusal.js';
import { readCalls } from '../tool-calls.js';
import { translateContent } from './blocks.js';

type Fields = Record<string, unknown>;

/** OpenRouter's name for the format of Anthropic's entries in `reasoning_details`. */
export const REASONING_FORMAT = 'anthropic-claude-v1';

/**
 * OpenAI's messages as turns of Anthropic's. Neighbours that speak for the same side become one turn; results of tools
 * are said by the user. A message that says nothing is left out, because Anthropic refuses empty ones.
 */
export function translateConversation(messages: Fields[], dropped: Dropped): { system: Fields[]; turns: Fields[] } {
  const system: Fields[] = [];
  const turns: { role: 'user' | 'assistant'; content: Fields[] }[] = [];
  messages.forEach((message, index) => {
    const at = `messages[${index}]`;
    const { role, ...said } = message;
    if (role === 'system' || role === 'developer') {
      if (turns.length > 0) dropped.name('messages[].role');
      return void system.push(...instructions(said, at, dropped));
    }
    if (role === 'function') throw refuse(`${at}.role`, 'tool in its place', role);
    const side = role === 'assistant' ? 'assistant' : 'user';
    const blocks = role === 'assistant' ? assistant(said, at, dropped) : role === 'tool' ? [toolResult(said, at, dropped)] : user(said, at, dropped);
    const last = turns.at(-1);
    if (blocks.length === 0) return;
    if (last?.role === side) last.content.push(...blocks);
    else turns.push({ role: side, content: blocks });
  });
  if (turns.length === 0) throw refuse('messages', 'a message of the user that says something, which Anthropic requires', 'none');
  return { system, turns };
}

/** Names what a message has besides what was translated, and marks the last block where the message was marked. */
function finish({ name, cache_control: mark, ...extra }: Fields, blocks: Fields[], dropped: Dropped): void {
  if (name != null) dropped.name('messages[].name');
  for (const [key, value] of Object.entries(extra)) dropped.nameUnlessEmpty(`messages[].${key}`, value);
  if (mark == null) return;
  const last = blocks.at(-1);
  // Blocks of thinking cannot be marked.
  if (last === undefined || last['type'] === 'thinking' || last['type'] === 'redacted_thinking') dropped.name('messages[].cache_control');
  else last['cache_control'] ??= mark;
}

function instructions({ content, ...rest }: Fields, at: string, dropped: Dropped): Fields[] {
  const said = translateContent(content, at, dropped);
  const other = said.findIndex(block => block['type'] !== 'text');
  if (other !== -1) throw refuse(`${at}.content[${other}].type`, "text, because Anthropic's system prompt is text", said[other]?.['type']);
  finish(rest, said, dropped);
  return said;
}

function user({ content, ...rest }: Fields, at: string, dropped: Dropped): Fields[] {
  const said = translateContent(content, at, dropped);
  finish(rest, said, dropped);
  return said;
}

function toolResult({ content, tool_call_id: id, ...rest }: Fields, at: string, dropped: Dropped): Fields {
  if (typeof id !== 'string') throw refuse(`${at}.tool_call_id`, 'the id of the call that it answers', id ?? null);
  const said = typeof content === 'string' ? content : translateContent(content, at, dropped);
  const result: Fields = { type: 'tool_result', tool_use_id: id, ...(said.length > 0 ? { content: said } : {}) };
  finish(rest, [result], dropped);
  return result;
}

function assistant({ content, tool_calls: calls, reasoning_details, reasoning_content, reasoning, refusal, audio, function_call, ...rest }: Fields, at: string, dropped: Dropped): Fields[] {
  for (const [name, value] of Object.entries({ audio, function_call })) {
    if (!saysNothing(value)) throw refuse(`${at}.${name}`, "it absent, because Anthropic's messages have no such thing", value);
  }
  const said = Array.isArray(reasoning_details) ? thinking(reasoning_details, dropped) : [];
  // Without a signature Anthropic does not take it; with one it is the same text again.
  if (said.length === 0) for (const [name, text] of Object.entries({ reasoning_content, reasoning })) dropped.nameUnlessEmpty(`messages[].${name}`, text);
  said.push(...translateContent(content, at, dropped));
  if (typeof refusal === 'string' && refusal !== '') said.push({ type: 'text', text: refusal });
  said.push(...toolUses(calls, at, dropped));
  finish(rest, said, dropped);
  return said;
}

/** Blocks of thinking. A stream's pieces that were only put one after another are joined: text without a signature belongs to what follows. */
function thinking(details: unknown[], dropped: Dropped): Fields[] {
  const out: Fields[] = [];
  let unsigned = '';
  for (const detail of details) {
    const text = (key: string): string => (isObject(detail) && typeof detail[key] === 'string' ? detail[key] : '');
    const ours = ['', REASONING_FORMAT].includes(text('format'));
    if (ours && text('type') === 'reasoning.text') {
      unsigned += text('text');
      if (text('signature') === '') continue;
      out.push({ type: 'thinking', thinking: unsigned, signature: text('signature') });
      unsigned = '';
    } else if (ours && text('type') === 'reasoning.encrypted' && text('data') !== '') out.push({ type: 'redacted_thinking', data: text('data') });
    else dropped.name('messages[].reasoning_details');
  }
  if (unsigned !== '') dropped.name('messages[].reasoning_details');
  return out;
}

const OF_A_CALL = ['id', 'type', 'function', 'index', 'cache_control'];

function toolUses(calls: unknown, at: string, dropped: Dropped): Fields[] {
  return readCalls(calls, at).map(({ id, name, args, written }, index) => {
    if (id === undefined) throw refuse(`${at}.tool_calls[${index}].id`, 'the id of the call, which its result refers to', written['id'] ?? null);
    for (const [key, value] of Object.entries(written)) if (!OF_A_CALL.includes(key)) dropped.nameUnlessEmpty(`messages[].tool_calls[].${key}`, value);
    const mark = written['cache_control'];
    return { type: 'tool_use', id, name, input: args, ...(mark === undefined ? {} : { cache_control: mark }) };
  });
}
