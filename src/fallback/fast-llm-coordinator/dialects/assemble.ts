import { isObject } from '../../../check.js';
import type { ChatChunk } from '../../../services/fast-llm-coordinator-types.js';

type Fields = Record<string, unknown>;

interface Choice {
  message: Fields;
  other: Fields;
  calls: Map<number, Fields>;
  logprobs: Fields;
  finish: string | null;
}

/**
 * One whole answer out of the chunks of a translation: text is joined, lists are continued, tool calls are merged by
 * their index, and of everything else the last value counts.
 */
export function assemble(chunks: readonly ChatChunk[]): Fields {
  const choices = new Map<number, Choice>();
  let head: Fields = {};
  let usage: unknown;
  for (const { choices: parts, usage: counted, object: _, ...rest } of chunks) {
    head = rest;
    usage = counted ?? usage;
    for (const { index, delta, finish_reason, ...more } of parts) {
      const choice: Choice = choices.get(index) ?? { message: {}, other: {}, calls: new Map(), logprobs: {}, finish: null };
      choices.set(index, choice);
      const { tool_calls: calls, role, ...said } = delta as Fields;
      if (role != null) choice.message['role'] = role;
      for (const call of Array.isArray(calls) ? calls.filter(isObject) : []) {
        const { index: at, ...fields } = call;
        const known = typeof at === 'number' ? at : choice.calls.size;
        choice.calls.set(known, merged(choice.calls.get(known) ?? {}, fields));
      }
      choice.message = merged(choice.message, said);
      const { logprobs, ...other } = more as Fields;
      choice.other = { ...choice.other, ...other };
      if (isObject(logprobs)) choice.logprobs = merged(choice.logprobs, logprobs);
      choice.finish = finish_reason ?? choice.finish;
    }
  }
  const { id, ...others } = head;
  return {
    id, object: 'chat.completion', ...others,
    choices: [...choices].sort(([one], [other]) => one - other).map(([index, choice]) => whole(index, choice)),
    ...(usage === undefined ? {} : { usage }),
  };
}

function whole(index: number, { message, other, calls, logprobs, finish }: Choice): Fields {
  const { role, content, ...rest } = message;
  const called = [...calls.values()];
  return {
    index,
    message: {
      role: role ?? 'assistant',
      // An assistant that only calls tools says nothing.
      content: called.length > 0 && content === '' ? null : content ?? null,
      ...rest,
      ...(called.length > 0 ? { tool_calls: called } : {}),
    },
    ...(Object.keys(logprobs).length > 0 ? { logprobs } : {}),
    finish_reason: finish,
    ...other,
  };
}

function merged(into: Fields, delta: Fields): Fields {
  const result = { ...into };
  for (const [key, value] of Object.entries(delta)) {
    const before = result[key];
    if (value == null) continue;
    // Identifiers and names come whole.
    if (typeof before === 'string' && typeof value === 'string') result[key] = ['id', 'type', 'name'].includes(key) ? value || before : before + value;
    else if (Array.isArray(before) && Array.isArray(value)) result[key] = [...before as unknown[], ...value as unknown[]];
    else if (isObject(before) && isObject(value)) result[key] = merged(before, value);
    else result[key] = value;
  }
  return result;
}
