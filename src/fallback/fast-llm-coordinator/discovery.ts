import { isObject } from '../../check.js';
import type { Config, EndpointConfig, EngineSettings, ModelConfig } from './config.js';
import { plainEndpoint } from './config-endpoint.js';
import { HttpClient } from './http-client.js';

/** The local servers that people already run, at their usual ports. */
const NEIGHBOURS = [
  { name: 'ollama', protocol: 'ollama', baseUrl: 'http://127.0.0.1:11434', list: '/api/tags', names: (json: unknown) => namesOf(json, 'models', 'name') },
  { name: 'lm-studio', protocol: 'openai', baseUrl: 'http://127.0.0.1:1234/v1', list: '/v1/models', names: (json: unknown) => namesOf(json, 'data', 'id') },
] as const;

/** A server on this machine lists its models in a few milliseconds; the first request waits for this at most once. */
const PATIENCE_MS = 300;
/** A list of thousands of models fits. */
const LONGEST_LIST = 4 * 1024 * 1024;

type Wirable = Pick<Config, 'endpoints' | 'models'>;

/** What answers when nothing is configured, before anybody was looked for. */
export function engineAlone(engine: EngineSettings): Wirable {
  if (!engine.enabled) return { endpoints: [], models: [] };
  return { endpoints: [plainEndpoint('engine', 'uat-engine')], models: [servedBy('engine', engine.model)] };
}

/** The engine and the local servers that answer; `undefined` if none does. A name stays with whom it was first seen. */
export async function discover(engine: EngineSettings): Promise<Wirable | undefined> {
  const found = (await Promise.all(NEIGHBOURS.map(async ({ name, protocol, baseUrl, list, names }) => {
    const models = await listModels(baseUrl, list, names);
    return models === undefined ? [] : [{ endpoint: plainEndpoint(name, protocol, baseUrl), models }];
  }))).flat();
  if (found.length === 0) return undefined;
  const { endpoints, models } = engineAlone(engine);
  const all: { endpoints: EndpointConfig[]; models: ModelConfig[] } = { endpoints: [...endpoints, ...found.map(one => one.endpoint)], models: [...models] };
  for (const { endpoint, models: names } of found) {
    for (const name of names) if (all.models.every(known => known.name !== name)) all.models.push(servedBy(endpoint.name, name));
  }
  return all;
}

function servedBy(endpoint: string, model: string): ModelConfig {
  return { name: model, endpoints: [{ endpoint, model: undefined, weight: 1 }], balance: 'peak-ewma', max_output_tokens: undefined, facts: {} };
}

/** Who does not answer in time, or not in its own dialect, is not there. */
async function listModels(baseUrl: string, path: string, names: (json: unknown) => string[] | undefined): Promise<string[] | undefined> {
  const client = new HttpClient({ baseUrl: new URL(baseUrl) });
  try {
    const answer = await client.request('GET', path, {}, undefined, PATIENCE_MS, AbortSignal.timeout(PATIENCE_MS));
    if (answer.status !== 200) return undefined;
    const pieces: Uint8Array[] = [];
    let length = 0;
    for (let piece = await answer.read(); piece !== null; piece = await answer.read()) {
      length += piece.length;
      if (length > LONGEST_LIST) return undefined;
      pieces.push(piece);
    }
    return names(JSON.parse(Buffer.concat(pieces).toString('utf8')));
  } catch {
    return undefined;
  } finally {
    client.close();
  }
}

/** Both servers list their embedding models among the others, and their names are all that tells them apart. */
function namesOf(json: unknown, list: string, key: string): string[] | undefined {
  const items = isObject(json) ? json[list] : undefined;
  if (!Array.isArray(items)) return undefined;
  return items.flatMap(item => (isObject(item) && typeof item[key] === 'string' ? [item[key]] : [])).filter(name => !name.toLowerCase().includes('embed'));
}
