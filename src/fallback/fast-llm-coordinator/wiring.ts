import { resolve } from 'node:path';
import { performance } from 'node:perf_hooks';

import type { Model as Facts } from '../llm-router/question.js';
import { leastInFlight, peakEwma, prefixAffinity, priority, roundRobin, type Strategy } from './balance.js';
import type { Balance, EndpointConfig, ModelConfig } from './config.js';
import type { Dialect } from './dialect.js';
import { anthropic } from './dialects/anthropic/anthropic.js';
import { azure } from './dialects/azure.js';
import { gemini } from './dialects/gemini/gemini.js';
import { ollama } from './dialects/ollama.js';
import { openai } from './dialects/openai.js';
import { Endpoint } from './endpoint.js';
import type { Engine } from './engine.js';
import { HttpClient } from './http-client.js';
import { Pace } from './pace.js';

/** A model at an endpoint. */
export interface Place {
  endpoint: Endpoint;
  /** How its answers come from there. */
  pace: Pace;
  /** The model's name there. */
  model: string;
  weight: number;
  /** The longest answer, in tokens. */
  mostTokens: number | undefined;
}

/** One public model name. */
export interface Model {
  name: string;
  places: Place[];
  strategy: Strategy;
}

/** Endpoints and models as one configuration says them. Opens no connection. */
export class Wiring {
  readonly endpoints: Endpoint[];
  readonly models: Map<string, Model>;
  /** What the router knows of each, in the same order. */
  readonly facts: Facts[];

  /** @param before Its endpoints are kept, with what they and the models there have taught, where their configuration is the same. */
  constructor({ endpoints, models }: { endpoints: EndpointConfig[]; models: ModelConfig[] }, engine: Engine | undefined, before: readonly Endpoint[] = [], former?: Wiring) {
    const byName = new Map(endpoints.map(config => [config.name, before.find(known => isSame(known.config, config)) ?? endpoint(config, engine)]));
    this.endpoints = [...byName.values()];
    const paced = (fresh: Place, name: string): Place => {
      const known = former?.models.get(name)?.places.find(({ endpoint, model }) => endpoint === fresh.endpoint && model === fresh.model);
      return known === undefined ? fresh : { ...fresh, pace: known.pace };
    };
    this.models = new Map(models.map(model => [model.name, { name: model.name, places: model.endpoints.map(served => paced(place(served, model, byName), model.name)), strategy: strategy(model.balance) }]));
    this.facts = models.map(({ name, facts, max_output_tokens: most }) => ({ name, ...facts, ...(most === undefined ? {} : { maxOutputTokens: most }) }));
  }
}

/** By what was written: two `URL`s are never equal by themselves. */
export function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function endpoint(config: EndpointConfig, engine: Engine | undefined): Endpoint {
  const client = config.base_url === undefined
    ? new HttpClient({ socketPath: () => (engine as Engine).socket() })
    : new HttpClient({ baseUrl: config.base_url });
  return new Endpoint(config, dialect(config), client, performance.now());
}

function dialect({ protocol, api_version }: EndpointConfig): Dialect {
  switch (protocol) {
    case 'ollama': return ollama;
    case 'anthropic': return anthropic;
    case 'gemini': return gemini;
    case 'azure': return azure(api_version);
    default: return openai;
  }
}

function strategy(balance: Balance): Strategy {
  switch (balance) {
    case 'peak-ewma': return peakEwma;
    case 'round-robin': return roundRobin();
    case 'least-in-flight': return leastInFlight;
    case 'prefix-affinity': return prefixAffinity;
    case 'priority': return priority;
  }
}

function place(served: ModelConfig['endpoints'][number], model: ModelConfig, byName: Map<string, Endpoint>): Place {
  const endpoint = byName.get(served.endpoint) as Endpoint;
  const name = served.model ?? model.name;
  // The engine is shared by processes that were started in different folders: a relative path is meant from here.
  const isFile = endpoint.config.protocol === 'uat-engine' && (name.includes('/') || name.endsWith('.gguf'));
  return { endpoint, pace: new Pace(), model: isFile ? resolve(name) : name, weight: served.weight, mostTokens: model.max_output_tokens };
}
