import { isObject } from '../../../../check.js';
import { type Said } from '../../dialect.js';
import { Dropped, saysNothing } from '../dropped.js';
import { refuse } from '../refusal.js';
import { translateConversation } from './messages.js';
import { toolFields } from './tools.js';

type Fields = Record<string, unknown>;

/** What Anthropic is told where neither the caller nor the configuration sets a limit: every model of theirs gives as much. */
const DEFAULT_MAX_TOKENS = 4_096;

/** Fields that constrain or extend the answer and that Anthropic has no word for: left out, the answer would be another. */
const REFUSED: Record<string, string> = {
  audio: "it absent, because Anthropic's models do not speak",
  logit_bias: 'it absent, because Anthropic cannot weigh single tokens',
  logprobs: 'false, because Anthropic gives no log probabilities',
  top_logprobs: '0, because Anthropic gives no log probabilities',
  functions: 'tools in its place',
  function_call: 'tool_choice in its place',
  web_search_options: 'it absent: this translation has no web search',
  grammar: 'response_format with a JSON schema, the one constraint that Anthropic has',
  guided_json: 'response_format in its place',
  guided_regex: 'it absent, because Anthropic takes no regular expression',
  guided_choice: 'it absent, because Anthropic takes no list of choices',
  guided_grammar: 'it absent, because Anthropic takes no grammar',
  structured_outputs: 'response_format in its place',
  json_schema: 'response_format in its place',
};
/** What is set already, or concerns only the way of the answer. */
const ELSEWHERE = ['model', 'stream', 'stream_options', 'max_tokens', 'max_completion_tokens', 'tools', 'tool_choice', 'parallel_tool_calls', 'reasoning_effort', 'thinking', 'user', 'safety_identifier'];

/** The body of `POST /v1/messages` that asks the same of Anthropic. */
export function messagesRequest({ messages, ...fields }: Fields, model: string, stream: boolean, mostTokens: number | undefined): Said {
  const dropped = new Dropped();
  const { system, turns } = translateConversation(messages as Fields[], dropped);
  const body: Fields = {
    model,
    max_tokens: fields['max_completion_tokens'] ?? fields['max_tokens'] ?? mostTokens ?? DEFAULT_MAX_TOKENS,
    ...(system.length > 0 ? { system } : {}),
    messages: turns,
    ...(stream ? { stream } : {}),
  };
  for (const [name, value] of Object.entries(fields)) {
    if (value != null && !ELSEWHERE.includes(name)) translateField(name, value, body, dropped);
  }
  if (fields['thinking'] != null && !isObject(fields['thinking'])) dropped.nameUnlessEmpty('thinking', fields['thinking']);
  think(fields['reasoning_effort'], fields['thinking'], body);
  const user = fields['user'] ?? fields['safety_identifier'];
  if (user != null) body['metadata'] = { user_id: user };
  Object.assign(body, toolFields(fields, dropped));
  return { body, dropped: dropped.names() };
}

function translateField(name: string, value: unknown, body: Fields, dropped: Dropped): void {
  switch (name) {
    case 'temperature':
      if (value as number > 1) throw refuse(name, 'a number from 0 to 1, which is what Anthropic takes', value);
      body[name] = value;
      return;
    case 'top_p': case 'cache_control': body[name] = value; return;
    // -1 and 0 mean all tokens, which is what Anthropic does without the field.
    case 'top_k': if (value as number > 0) body[name] = value; return;
    case 'stop': body['stop_sequences'] = stopSequences(value); return;
    case 'response_format': {
      const format = outputFormat(value, dropped);
      if (format !== undefined) body['output_config'] = { format };
      return;
    }
    case 'n':
      if (value !== 1) throw refuse(name, '1, because Anthropic gives one choice', value);
      return;
    case 'modalities':
      if (!Array.isArray(value) || value.length !== 1 || value[0] !== 'text') throw refuse(name, '["text"], because Anthropic answers in text', value);
      return;
    default: {
      const expected = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
      if (expected === undefined) dropped.nameUnlessEmpty(name, value);
      else if (!saysNothing(value) && value !== 0) throw refuse(name, expected, value);
    }
  }
}

/** Effort, and the thinking that comes with it unless the caller has said himself how the model is to think. */
function think(effort: unknown, thinking: unknown, body: Fields): void {
  const own = isObject(thinking) ? thinking : undefined;
  if (effort == null || effort === 'none') {
    if (own !== undefined || effort === 'none') body['thinking'] = own ?? { type: 'disabled' };
    return;
  }
  const level = effort === 'minimal' ? 'low' : effort;
  if (!['low', 'medium', 'high', 'xhigh', 'max'].includes(level as string)) throw refuse('reasoning_effort', 'none, minimal, low, medium, high, xhigh or max', effort);
  body['output_config'] = { ...(body['output_config'] as Fields | undefined), effort: level };
  body['thinking'] = own ?? { type: 'adaptive' };
}

function stopSequences(stop: unknown): unknown[] {
  const several: unknown[] = Array.isArray(stop) ? stop : [stop];
  several.forEach((one, index) => {
    if (typeof one === 'string' && one.trim() !== '') return;
    throw refuse(Array.isArray(stop) ? `stop[${index}]` : 'stop', 'text that is not only white space, which Anthropic requires', one);
  });
  return several;
}

/** Anthropic's schemas are always strict and have no name. */
function outputFormat(format: unknown, dropped: Dropped): Fields | undefined {
  const { type, json_schema: described } = isObject(format) ? format : {};
  if (type === 'text') return undefined;
  if (type !== 'json_schema') throw refuse('response_format.type', 'text or json_schema, because Anthropic has no JSON without a schema', type ?? null);
  const { schema, description } = isObject(described) ? described : {};
  if (!isObject(schema)) throw refuse('response_format.json_schema.schema', 'a JSON schema', schema ?? null);
  dropped.nameUnlessEmpty('response_format.json_schema.description', description);
  return { type: 'json_schema', schema };
}
