import { isObject } from '../../../../check.js';
import type { Dropped } from '../dropped.js';
import { refuse, refuseText } from '../refusal.js';

type Fields = Record<string, unknown>;

/** The formats of images that Anthropic reads. */
const IMAGES = ['image/jpeg', 'image/png', 'image/gif', 'image/webp'];

/** The blocks of a message's content; texts that are empty say nothing and are left out, because Anthropic refuses them. */
export function translateContent(content: unknown, at: string, dropped: Dropped): Fields[] {
  if (content == null || content === '') return [];
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return (content as Fields[]).flatMap((part, index) => {
    const { type, cache_control: mark, ...rest } = part;
    const kind = type as string;
    const block = translatePart(part, kind, `${at}.content[${index}]`, dropped);
    for (const [name, value] of Object.entries(rest)) if (name !== kind) dropped.nameUnlessEmpty(`messages[].content[].${name}`, value);
    if (block === undefined && mark != null) dropped.name('messages[].content[].cache_control');
    return block === undefined ? [] : [{ ...block, ...(mark == null ? {} : { cache_control: mark }) }];
  });
}

function translatePart(part: Fields, kind: string, at: string, dropped: Dropped): Fields | undefined {
  switch (kind) {
    case 'text': return part['text'] === '' ? undefined : { type: 'text', text: part['text'] ?? null };
    case 'refusal': return part['refusal'] === undefined ? undefined : { type: 'text', text: part['refusal'] };
    case 'image_url': return image(part['image_url'], at, dropped);
    case 'file': return document(isObject(part['file']) ? part['file'] : {}, at, dropped);
    default: throw refuse(`${at}.type`, 'text, image_url or file, which are what Anthropic takes', kind);
  }
}

/** The type and the payload of a `data:` URL in base64. */
function base64Of(url: string): { media: string; data: string } | undefined {
  const [, media, data] = /^data:([^,]*);base64,(.*)$/s.exec(url) ?? [];
  return media === undefined || data === undefined ? undefined : { media, data };
}

function image(written: unknown, at: string, dropped: Dropped): Fields {
  const { url, detail } = isObject(written) ? written : { url: written, detail: undefined };
  if (detail !== 'auto') dropped.nameUnlessEmpty('messages[].content[].image_url.detail', detail);
  const address = typeof url === 'string' ? url : '';
  const held = base64Of(address);
  if (held !== undefined && IMAGES.includes(held.media)) return { type: 'image', source: { type: 'base64', media_type: held.media, data: held.data } };
  if (held === undefined && /^https?:\/\//.test(address)) return { type: 'image', source: { type: 'url', url: address } };
  throw refuseText(`${at}.image_url.url`, 'an http(s) address, or data:TYPE;base64,... of a JPEG, PNG, GIF or WebP image', address);
}

function document({ file_id: id, file_data: data, filename, ...rest }: Fields, at: string, dropped: Dropped): Fields {
  if (id != null) throw refuse(`${at}.file.file_id`, "file_data in its place, because Anthropic does not know the provider's files", id);
  const source = documentSource(typeof data === 'string' ? data : '', at);
  if (typeof filename !== 'string') dropped.nameUnlessEmpty('messages[].content[].file.filename', filename);
  for (const [name, value] of Object.entries(rest)) dropped.nameUnlessEmpty(`messages[].content[].file.${name}`, value);
  return { type: 'document', source, ...(typeof filename === 'string' ? { title: filename } : {}) };
}

function documentSource(url: string, at: string): Fields {
  const held = base64Of(url);
  if (held?.media === 'application/pdf') return { type: 'base64', media_type: held.media, data: held.data };
  if (held?.media === 'text/plain') {
    try {
      return { type: 'text', media_type: held.media, data: new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(held.data, 'base64')) };
    } catch {
      // Refused below: it is no text.
    }
  }
  throw refuseText(`${at}.file.file_data`, 'data:application/pdf;base64,... or data:text/plain;base64,..., which Anthropic reads', url);
}
