import { isObject } from '../../../check.js';
import { type Said } from '../dialect.js';
import { Dropped } from './dropped.js';
import { refuse, refuseText } from './refusal.js';
import { readCalls } from './tool-calls.js';

type Fields = Record<string, unknown>;

/** Fields that say who asks, how it is billed or where it is cached, or hint at the answer: it means the same without them. */
const DROPPED = ['user', 'safety_identifier', 'metadata', 'store', 'service_tier', 'prompt_cache_key', 'prompt_cache_options', 'prompt_cache_retention', 'prediction', 'verbosity'];
/** The same of a message: hints, and what another provider's model needs to believe its thinking. */
const DROPPED_OF_MESSAGES = ['annotations', 'cache_control', 'reasoning_details'];
/** What is said elsewhere. */
const SAID = ['stream_options', 'model', 'stream'];
/** OpenAI's fields, and llama.cpp's, that are options of Ollama under the same name. */
const OPTIONS = [
  'temperature', 'top_p', 'seed', 'frequency_penalty', 'presence_penalty', 'num_ctx',
  'top_k', 'min_p', 'typical_p', 'tfs_z', 'repeat_penalty', 'repeat_last_n', 'mirostat', 'mirostat_tau', 'mirostat_eta', 'penalize_newline',
];

/** The body of `POST /api/chat` that asks the same of an Ollama server. The same translation as `llm_wire::ollama`. */
export function chatRequest({ messages, tools, ...fields }: Fields, model: string, stream: boolean): Said {
  const dropped = new Dropped();
  const body: Fields = { model, messages: translateMessages(messages as Fields[], dropped), stream };
  const options: Fields = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value == null || SAID.includes(name)) continue;
    if (DROPPED.includes(name)) dropped.nameUnlessEmpty(name, value);
    else if (OPTIONS.includes(name)) options[name] = value;
    else translateField(name, value, fields, body, options);
  }
  if (Array.isArray(tools) && tools.length > 0 && fields['tool_choice'] !== 'none') body['tools'] = tools;
  if (Object.keys(options).length > 0) body['options'] = options;
  return { body, dropped: dropped.names() };
}

function translateField(name: string, value: unknown, fields: Fields, body: Fields, options: Fields): void {
  const only = (allowed: boolean, expected: string): void => {
    if (!allowed) throw refuse(name, expected, value);
  };
  switch (name) {
    // The newer name of the two wins.
    case 'max_completion_tokens': options['num_predict'] = value; return;
    case 'max_tokens': options['num_predict'] = fields['max_completion_tokens'] ?? value; return;
    case 'stop': options['stop'] = Array.isArray(value) ? value : [value]; return;
    case 'keep_alive': body[name] = value; return;
    case 'tool_choice': return only(value === 'auto' || value === 'none', 'auto or none');
    case 'response_format': {
      const format = responseFormat(value);
      if (format !== undefined) body['format'] = format;
      return;
    }
    case 'reasoning_effort': body['think'] = think(value); return;
    case 'n': return only(value === 1, '1, because Ollama gives one choice');
    case 'parallel_tool_calls': return only(value === true, 'true, because Ollama cannot limit it');
    case 'modalities': return only(JSON.stringify(value) === '["text"]', '["text"], because Ollama answers in text');
    case 'logprobs': return only(value === false, 'it absent, because Ollama has no such field');
    case 'top_logprobs': return only(value === 0, 'it absent, because Ollama has no such field');
    case 'logit_bias': return only(Object.keys(value as object).length === 0, 'it absent, because Ollama has no such field');
    default: throw refuse(name, 'it absent, because Ollama has no such field', value);
  }
}

function responseFormat(format: unknown): unknown {
  const { type, json_schema: described } = isObject(format) ? format : {};
  if (type === 'text') return undefined;
  if (type === 'json_object') return 'json';
  if (type !== 'json_schema') throw refuse('response_format.type', 'text, json_object or json_schema', type ?? null);
  const schema = isObject(described) ? described['schema'] : undefined;
  if (!isObject(schema)) throw refuse('response_format.json_schema.schema', 'a JSON schema', schema ?? null);
  return schema;
}

function think(effort: unknown): unknown {
  if (effort === 'none') return false;
  if (effort === 'minimal') return 'low';
  if (effort === 'low' || effort === 'medium' || effort === 'high') return effort;
  throw refuse('reasoning_effort', 'none, minimal, low, medium or high', effort);
}

function translateMessages(messages: Fields[], dropped: Dropped): Fields[] {
  // Ollama's templates want the name of the tool that answers; OpenAI's messages have only the call's identifier.
  const calls = new Map<string, string>();
  return messages.map((message, index) => translateMessage(message, `messages[${index}]`, calls, dropped));
}

function translateMessage({ role: said, content, name, tool_call_id: id, tool_calls: made, ...extra }: Fields, at: string, calls: Map<string, string>, dropped: Dropped): Fields {
  const role = said === 'developer' ? 'system' : said === 'function' ? 'tool' : said;
  const { text, images } = translateContent(content, at, dropped);
  if (name != null && role !== 'tool') dropped.name('messages[].name');
  const tool = role === 'tool' ? name ?? calls.get(String(id)) : undefined;
  const translated = readCalls(made, at).map(({ id: made, name: called, args }) => {
    if (made !== undefined) calls.set(made, called);
    return { ...(made === undefined ? {} : { id: made }), function: { name: called, arguments: args } };
  });
  return {
    role, content: text,
    ...(images.length > 0 ? { images } : {}),
    ...(tool === undefined ? {} : { tool_name: tool }),
    ...(id == null ? {} : { tool_call_id: id }),
    ...(made == null ? {} : { tool_calls: translated }),
    ...leftover(extra, at, dropped),
  };
}

function leftover(extra: Fields, at: string, dropped: Dropped): Fields {
  const out: Fields = {};
  for (const [name, value] of Object.entries(extra)) {
    if ((name === 'reasoning_content' || name === 'reasoning') && typeof value === 'string') out['thinking'] = value;
    // Answers are sent back with the fields that they came with, empty where they say nothing.
    else if (DROPPED_OF_MESSAGES.includes(name)) dropped.nameUnlessEmpty(`messages[].${name}`, value);
    else if (value != null && !(Array.isArray(value) && value.length === 0)) throw refuse(`${at}.${name}`, "it absent, because Ollama's messages have no such field", value);
  }
  return out;
}

function translateContent(content: unknown, at: string, dropped: Dropped): { text: string; images: string[] } {
  if (content == null || typeof content === 'string') return { text: content ?? '', images: [] };
  let text = '';
  const images: string[] = [];
  (content as Fields[]).forEach((part, index) => {
    const { type, text: piece, image_url: image } = part;
    if (type === 'text' && typeof piece === 'string') text += piece;
    else if (type === 'image_url') {
      const url = isObject(image) ? image['url'] : image;
      const data = typeof url === 'string' ? /^data:image\/[^,]*;base64,(.*)$/s.exec(url)?.[1] : undefined;
      if (data === undefined) throw refuseText(`${at}.content[${index}].image_url.url`, 'the image itself as data:image/...;base64,..., because Ollama fetches none', String(url));
      images.push(data);
      const detail = isObject(image) ? image['detail'] : undefined;
      if (detail !== 'auto') dropped.nameUnlessEmpty('messages[].content[].image_url.detail', detail);
    } else throw refuse(`${at}.content[${index}].type`, 'text or image_url, which are what Ollama takes', type);
    for (const [name, value] of Object.entries(part)) {
      if (!['type', 'text', 'image_url'].includes(name)) dropped.nameUnlessEmpty(`messages[].content[].${name}`, value);
    }
  });
  return { text, images };
}
