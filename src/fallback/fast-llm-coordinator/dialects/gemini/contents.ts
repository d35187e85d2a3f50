import { isObject } from '../../../../check.js';
import { type Dropped, saysNothing } from '../dropped.js';
import { refuse, refuseText } from '../refusal.js';
import { readCalls } from '../tool-calls.js';

type Fields = Record<string, unknown>;

/** OpenRouter's name for what Gemini signs, and the `id`s of signatures that came on the text or an image of an answer. */
export const SIGNATURE_FORMAT = 'google-gemini-v1';
export const SIGNED_CONTENT = 'content';
export const SIGNED_IMAGE = 'image';

/** The types of files by the ends of their addresses; Google's servers find out what has none. */
const MEDIA_TYPES: Record<string, string> = { png: 'image/png', jpg: 'image/jpeg', jpeg: 'image/jpeg', webp: 'image/webp', gif: 'image/gif', heic: 'image/heic', pdf: 'application/pdf' };

/** The parts of the system instruction, and the contents: neighbours of one kind are one, as the results of parallel calls have to be. */
export function translateMessages(messages: Fields[], dropped: Dropped): { system: Fields[]; contents: Fields[] } {
  const system: Fields[] = [];
  const turns: { kind: 'user' | 'model' | 'results'; parts: Fields[] }[] = [];
  const calls = new Map<string, string>();
  messages.forEach((message, index) => {
    const at = `messages[${index}]`;
    const { role, ...said } = message;
    if (role === 'system' || role === 'developer') return void system.push(...instructions(said, at, dropped));
    if (role === 'function') throw refuse(`${at}.role`, 'tool, because the older role names no call', role);
    const [kind, parts] = role === 'assistant' ? ['model', assistant(said, at, calls, dropped)] as const
      : role === 'tool' ? ['results', [result(said, at, calls, dropped)]] as const
      : ['user', user(said, at, dropped)] as const;
    const last = turns.at(-1);
    if (last?.kind === kind) last.parts.push(...parts);
    else turns.push({ kind, parts: [...parts] });
  });
  const telling = turns.filter(({ parts }) => parts.length > 0);
  if (telling.length === 0) throw refuse('messages', 'a message of a user, because Gemini answers no system instruction alone', 'none');
  return { system, contents: telling.map(({ kind, parts }) => ({ role: kind === 'model' ? 'model' : 'user', parts })) };
}

function instructions({ content, name, ...extra }: Fields, at: string, dropped: Dropped): Fields[] {
  const parts = contentParts(content, at, dropped);
  const other = parts.find(part => part['text'] === undefined);
  if (other !== undefined) throw refuse(`${at}.content`, 'text, which is what Gemini is instructed by', other);
  leftover(name, extra, at, dropped);
  return parts;
}

function user({ content, name, ...extra }: Fields, at: string, dropped: Dropped): Fields[] {
  const parts = contentParts(content, at, dropped);
  leftover(name, extra, at, dropped);
  return parts;
}

/** What nobody translated: names go by their own name, anything else is refused. */
function leftover(name: unknown, extra: Fields, at: string, dropped: Dropped): void {
  if (name != null) dropped.name('messages[].name');
  for (const [key, value] of Object.entries(extra)) {
    // Answers are sent back with the fields that they came with, empty where they say nothing.
    if (value == null || value === '' || (Array.isArray(value) && value.length === 0)) continue;
    if (key !== 'annotations' && key !== 'cache_control') throw refuse(`${at}.${key}`, "it absent, because Gemini's contents have no such field", value);
    dropped.name(`messages[].${key}`);
  }
}

function contentParts(content: unknown, at: string, dropped: Dropped): Fields[] {
  if (content == null) return [];
  if (typeof content === 'string') return [{ text: content }];
  return (content as Fields[]).map((part, index) => contentPart(part, `${at}.content[${index}]`, dropped));
}

function contentPart(part: Fields, at: string, dropped: Dropped): Fields {
  if (part['cache_control'] !== undefined) dropped.name('messages[].content[].cache_control');
  const kind = String(part['type']);
  const inner = isObject(part[kind]) ? part[kind] : {};
  const field = (name: string): string | undefined => (typeof inner[name] === 'string' ? inner[name] : undefined);
  if (kind === 'text' && typeof part['text'] === 'string') return { text: part['text'] };
  if (kind === 'refusal') return { text: typeof part['refusal'] === 'string' ? part['refusal'] : '' };
  const url = kind === 'image_url' ? field('url') ?? (typeof part['image_url'] === 'string' ? part['image_url'] : undefined) : undefined;
  if (url !== undefined) {
    if ((field('detail') ?? 'auto') !== 'auto') dropped.name('messages[].content[].image_url.detail');
    return media(url, `${at}.image_url.url`);
  }
  const [data, format, file] = [field('data'), field('format'), field('file_data')];
  if (kind === 'input_audio' && data !== undefined && format !== undefined) return { inlineData: { mimeType: `audio/${format}`, data } };
  if (kind === 'file' && file !== undefined) {
    if (field('filename') !== undefined) dropped.name('messages[].content[].file.filename');
    return media(file, `${at}.file.file_data`);
  }
  throw refuse(`${at}.type`, 'text, image_url, input_audio with data, or file with file_data', kind);
}

/** The media at an address: what a `data:` URL holds, or what Google's servers fetch. */
function media(url: string, at: string): Fields {
  const [, mimeType, data] = /^data:(.*?);base64,(.*)$/s.exec(url) ?? [];
  if (mimeType !== undefined) return { inlineData: { mimeType, data } };
  if (!/^(https?|gs):\/\//.test(url)) throw refuseText(at, 'data:<type>;base64,<data>, or an address on http, https or gs', url);
  const known = MEDIA_TYPES[/\.([^.]*)$/.exec(url.split(/[?#]/)[0] ?? '')?.[1]?.toLowerCase() ?? ''];
  return { fileData: { fileUri: url, ...(known === undefined ? {} : { mimeType: known }) } };
}

function assistant({ content, name, tool_calls: made, reasoning_details, reasoning_content, reasoning, refusal, images, ...extra }: Fields, at: string, calls: Map<string, string>, dropped: Dropped): Fields[] {
  const details = ownDetails(reasoning_details, at, dropped);
  const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
  const parts = thoughts(text(reasoning_content) ?? text(reasoning), details.filter(detail => detail['signature'] != null));
  const signatures = details.filter(detail => detail['signature'] == null && typeof detail['data'] === 'string');
  const said = [...contentParts(content, at, dropped), ...(text(refusal) === undefined ? [] : [{ text: refusal }])].filter(part => part['text'] !== '');
  sign(said.at(-1), take(signatures, SIGNED_CONTENT, said.length > 0));
  parts.push(...said);
  (Array.isArray(images) ? images : []).forEach((image: unknown, index) => {
    const here = `${at}.images[${index}].image_url.url`;
    const url = isObject(image) && isObject(image['image_url']) ? image['image_url']['url'] : undefined;
    if (typeof url !== 'string') throw refuse(here, 'an address', image);
    const part = media(url, here);
    sign(part, take(signatures, SIGNED_IMAGE));
    parts.push(part);
  });
  for (const { id, name: called, args } of readCalls(made, at)) {
    const part: Fields = { functionCall: { ...(id === undefined ? {} : { id }), name: called, args } };
    if (id !== undefined) {
      sign(part, take(signatures, id));
      calls.set(id, called);
    }
    parts.push(part);
  }
  for (let signature = take(signatures, undefined); signature !== undefined; signature = take(signatures, undefined)) parts.push({ text: '', thoughtSignature: signature });
  leftover(name, extra, at, dropped);
  return parts;
}

/** Details of somebody's reasoning; only Gemini's own go back to it. */
function ownDetails(written: unknown, at: string, dropped: Dropped): Fields[] {
  if (written == null) return [];
  if (!Array.isArray(written)) throw refuse(`${at}.reasoning_details`, 'an array', written);
  const own = written.filter((detail): detail is Fields => isObject(detail) && detail['format'] === SIGNATURE_FORMAT);
  if (own.length < written.length) dropped.name('messages[].reasoning_details');
  return own;
}

/** The thought parts: as they came, where the details tell, else the whole text as one. */
function thoughts(text: string | undefined, signed: Fields[]): Fields[] {
  const words = (detail: Fields): string => (typeof detail['text'] === 'string' ? detail['text'] : '');
  const part = (said: string, detail: Fields | undefined): Fields => ({ text: said, thought: true, ...(detail === undefined ? {} : { thoughtSignature: detail['signature'] }) });
  // Some of it came without a signature, so the parts are not known.
  if (text !== undefined && text !== signed.map(words).join('')) return [part(text, signed.at(-1))];
  return signed.map(detail => part(words(detail), detail));
}

/** Takes the first signature of something. */
function take(signatures: Fields[], id: string | undefined, wanted = true): string | undefined {
  const at = signatures.findIndex(detail => (detail['id'] ?? undefined) === id);
  return at === -1 || !wanted ? undefined : signatures.splice(at, 1)[0]?.['data'] as string;
}

function sign(part: Fields | undefined, signature: string | undefined): void {
  if (part !== undefined && signature !== undefined) part['thoughtSignature'] = signature;
}

/** A tool's result. Gemini wants the name of the function, and an object: text that is none stands under `output`, Google's own convention. */
function result({ content, name, tool_call_id: id, ...extra }: Fields, at: string, calls: Map<string, string>, dropped: Dropped): Fields {
  const called = calls.get(String(id)) ?? name;
  if (typeof called !== 'string') throw refuse(`${at}.tool_call_id`, 'the id of a call made before', id ?? '');
  const parts = contentParts(content, at, dropped);
  const files = parts.filter(part => part['text'] === undefined);
  const file = files.find(part => part['inlineData'] === undefined);
  if (file !== undefined) throw refuse(`${at}.content`, 'text, or media as data: URLs', file);
  const text = parts.map(part => part['text'] ?? '').join('');
  leftover(undefined, extra, at, dropped);
  return { functionResponse: { ...(saysNothing(id) ? {} : { id }), name: called, response: response(text), ...(files.length > 0 ? { parts: files } : {}) } };
}

function response(text: string): Fields {
  try {
    const json: unknown = JSON.parse(text);
    // What a tool wrote in this form itself is wrapped once more, so that it comes back as it was.
    if (isObject(json) && !(Object.keys(json).length === 1 && typeof json['output'] === 'string')) return json;
  } catch {
    // Most tools answer in words.
  }
  return { output: text };
}
