import { isObject } from '../../../check.js';
import { refuse, refuseText } from './refusal.js';

/** A call of a tool, as an assistant's message has it. */
export interface Call {
  id: string | undefined;
  name: string;
  /** OpenAI carries arguments as a text of JSON, the other dialects as an object. */
  args: Record<string, unknown>;
  /** As it was written. */
  written: Record<string, unknown>;
}

/** The calls that an assistant's message makes. @param at The message's place in the request. */
export function readCalls(calls: unknown, at: string): Call[] {
  if (calls == null) return [];
  if (!Array.isArray(calls)) throw refuse(`${at}.tool_calls`, 'an array of calls', calls);
  return calls.map((call: unknown, index) => {
    const here = `${at}.tool_calls[${index}]`;
    if (!isObject(call)) throw refuse(here, 'an object with a function', call);
    const { id, type, function: made } = call;
    if (type != null && type !== 'function') throw refuse(`${here}.type`, 'function, the one kind that can be translated', type);
    if (!isObject(made) || typeof made['name'] !== 'string') throw refuse(`${here}.function.name`, 'the name of the function', isObject(made) ? made['name'] : made);
    return { id: typeof id === 'string' ? id : undefined, name: made['name'], args: readArguments(made['arguments'], `${here}.function.arguments`), written: call };
  });
}

function readArguments(text: unknown, field: string): Record<string, unknown> {
  const expected = 'a string that holds a JSON object';
  if (text == null) return {};
  if (typeof text !== 'string') throw refuse(field, expected, text);
  if (text.trim() === '') return {};
  try {
    const json: unknown = JSON.parse(text);
    if (isObject(json)) return json;
  } catch {
    // Refused below, without its words.
  }
  throw refuseText(field, expected, text);
}
