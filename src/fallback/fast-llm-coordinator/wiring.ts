import { resolve } from 'node:path';
import { performance } from 'node:perf_hooks';

import type { EndpointConfig, ModelConfig } from './config.js';
import { Endpoint } from './endpoint.js';
import type { Engine } from './engine.js';
import { HttpClient } from './http-client.js';
import { ollama } from './ollama.js';
import { openai } from './openai.js';

/** A model at an endpoint. */
export interface Place {
  endpoint: Endpoint;
  /** The model's name there. */
  model: string;
  weight: number;
}

/** One public model name. */
export interface Model {
  places: Place[];
}

/** Endpoints and models as one configuration says them. Opens no connection. */
export class Wiring {
  readonly endpoints: Endpoint[];
  readonly models: Map<string, Model>;

  constructor({ endpoints, models }: { endpoints: EndpointConfig[]; models: ModelConfig[] }, engine: Engine | undefined) {
    const byName = new Map(endpoints.map(config => [config.name, endpoint(config, engine)]));
    this.endpoints = [...byName.values()];
    this.models = new Map(models.map(model => [model.name, { places: model.endpoints.map(served => place(served, model, byName)) }]));
  }

  close(): void {
    for (const { client } of this.endpoints) client.close();
  }
}

function endpoint(config: EndpointConfig, engine: Engine | undefined): Endpoint {
  const client = config.base_url === undefined
    ? new HttpClient({ socketPath: () => (engine as Engine).socket() })
    : new HttpClient({ baseUrl: config.base_url });
  return new Endpoint(config, config.protocol === 'ollama' ? ollama : openai, client, performance.now());
}

function place(served: ModelConfig['endpoints'][number], model: ModelConfig, byName: Map<string, Endpoint>): Place {
  const endpoint = byName.get(served.endpoint) as Endpoint;
  const name = served.model ?? model.name;
  // The engine is shared by processes that were started in different folders: a relative path is meant from here.
  const isFile = endpoint.config.protocol === 'uat-engine' && (name.includes('/') || name.endsWith('.gguf'));
  return { endpoint, model: isFile ? resolve(name) : name, weight: served.weight };
}
