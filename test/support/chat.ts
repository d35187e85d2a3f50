import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterEach } from 'vitest';

import { type ChatChunk, type ChatRequest, FastLLMCoordinator, type GatewayConfig } from '../../src/index.js';

/** What the tests of `FastLLMCoordinator` share. */

export const MESSAGES: ChatRequest['messages'] = [{ role: 'user', content: 'Why is the sky blue?' }];
export const REQUEST: ChatRequest = { model: 'm', messages: MESSAGES };

type Fields = Record<string, unknown>;
export type PlaceOptions = string | ({ url: string; weight?: number } & Fields);

/** One model `m` at the given addresses, with endpoints `a`, `b` and so on. */
export function served(balance: string, ...places: PlaceOptions[]): GatewayConfig {
  const all = places.map((place, index) => {
    const { url, weight = 1, ...options } = typeof place === 'string' ? { url: place } : place;
    return { endpoint: { name: 'abcdef'[index], protocol: 'openai', base_url: url, ...options }, weight };
  });
  return {
    endpoints: all.map(({ endpoint }) => endpoint),
    models: [{ name: 'm', balance, endpoints: all.map(({ endpoint: { name }, weight }) => ({ endpoint: name, model: `m-at-${name}`, weight })) }],
  };
}

export async function collect(stream: AsyncIterable<ChatChunk>): Promise<ChatChunk[]> {
  const chunks: ChatChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

export function textOf(chunks: ChatChunk[]): string {
  return chunks.map(chunk => chunk.choices[0]?.delta.content ?? '').join('');
}

/** Makes coordinators that are closed after each test. */
export function coordinators(): (config: GatewayConfig | string) => FastLLMCoordinator {
  const open: FastLLMCoordinator[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map(one => one.close()));
  });
  return config => {
    const made = new FastLLMCoordinator(config);
    open.push(made);
    return made;
  };
}

/** A request as a provider sees it. */
export interface Asked {
  path: string;
  headers: IncomingMessage['headers'];
  body: Fields;
}

/** A provider that answers as the test says. */
export interface Provider {
  url: string;
  asked: Asked[];
}

/** Makes providers that are closed after each test. */
export function providers(): (answer: (asked: Asked, response: ServerResponse, index: number) => unknown) => Promise<Provider> {
  const servers: { close(): void }[] = [];
  afterEach(() => servers.splice(0).forEach(server => server.close()));
  return async answer => {
    const asked: Asked[] = [];
    const server = createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', piece => { text += piece; }).on('end', () => {
        const one = { path: request.url ?? '', headers: request.headers, body: JSON.parse(text) as Fields };
        asked.push(one);
        void answer(one, response, asked.length - 1);
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    servers.push({ close: () => { server.closeAllConnections(); server.close(); } });
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
  };
}

/** One whole answer of this text. */
export function completion(content: string, more: Fields = {}): Fields {
  return { id: 'up', object: 'chat.completion', created: 1, model: 'up', choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }], usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }, ...more };
}

export function sendJson(response: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

/** A chunk of a stream. */
export function chunk(delta: Fields, finish_reason: string | null = null, more: Fields = {}): Fields {
  return { id: 'up', object: 'chat.completion.chunk', created: 1, model: 'up', choices: [{ index: 0, delta, finish_reason }], ...more };
}

/** Sends events, each by itself, and then ends properly, or cuts the connection. */
export async function sendEvents(response: ServerResponse, events: (Fields | string)[], end: 'end' | 'cut' | 'stall' = 'end'): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const event of events) {
    response.write(`data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`);
    // In pieces of its own, because what comes with the first content counts as come before it.
    await new Promise(resolve => setTimeout(resolve, 2));
  }
  if (end === 'end') response.end();
  else if (end === 'cut') response.destroy();
}

/** A stream that says these words. */
export async function sendStream(response: ServerResponse, words: string[], end?: 'end' | 'cut' | 'stall', more: Fields[] = []): Promise<void> {
  const events = [chunk({ role: 'assistant', content: '' }), ...words.map(content => chunk({ content }))];
  await sendEvents(response, end === undefined || end === 'end' ? [...events, chunk({}, 'stop'), ...more, '[DONE]'] : events, end);
}
