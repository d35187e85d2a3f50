import { isObject } from '../../../../check.js';
import type { Dropped } from '../dropped.js';
import { refuse } from '../refusal.js';

type Fields = Record<string, unknown>;

/** The tools and the choice among them; nothing where no tool is offered. */
export function toolConfig(tools: unknown, choice: unknown, dropped: Dropped): Fields {
  if (!Array.isArray(tools) || tools.length === 0) {
    if (choice == null || choice === 'auto' || choice === 'none') return {};
    throw refuse('tool_choice', 'tools to choose from', choice);
  }
  const declared = declarations(tools, dropped);
  const { config, only } = choice == null ? {} : calling(choice);
  const offered = only === undefined ? declared : declared.filter(({ name }) => only.includes(name as string));
  return { tools: [{ functionDeclarations: offered }], ...(config === undefined ? {} : { toolConfig: { functionCallingConfig: config } }) };
}

function declarations(tools: unknown[], dropped: Dropped): Fields[] {
  return tools.map((tool, index) => {
    const { type, function: made, cache_control } = isObject(tool) ? tool : {};
    if (type !== 'function' || !isObject(made)) throw refuse(`tools[${index}].type`, "function, because Gemini has no other tool of the client's own", type);
    const { name, description, parameters, strict } = made;
    if (strict === true) dropped.name('tools[].function.strict');
    if (cache_control !== undefined) dropped.name('tools[].cache_control');
    return {
      name,
      ...(description == null ? {} : { description }),
      // A JSON schema as it is; the older `parameters` takes only a part of OpenAPI's.
      ...(parameters == null ? {} : { parametersJsonSchema: parameters }),
    };
  });
}

/**
 * How functions are called. Where the model may also answer in words, others than the allowed are not declared: Gemini
 * takes a list of names only where it must call one of them.
 */
function calling(choice: unknown): { config?: Fields; only?: string[] } {
  if (choice === 'auto') return {};
  if (choice === 'none') return { config: { mode: 'NONE' } };
  if (choice === 'required') return { config: { mode: 'ANY' } };
  const { type, function: made, allowed_tools: allowed } = isObject(choice) ? choice : {};
  if (type === 'function') {
    const name = isObject(made) ? made['name'] : undefined;
    if (typeof name !== 'string') throw refuse('tool_choice.function.name', 'the name of a function', name ?? null);
    return { config: { mode: 'ANY', allowedFunctionNames: [name] } };
  }
  if (type !== 'allowed_tools') throw refuse('tool_choice', 'auto, none, required, a function or allowed tools', choice);
  const { mode, tools } = isObject(allowed) ? allowed : {};
  const names = (Array.isArray(tools) ? tools : []).flatMap((tool: unknown) => (isObject(tool) && isObject(tool['function']) && typeof tool['function']['name'] === 'string' ? [tool['function']['name']] : []));
  if (names.length === 0) throw refuse('tool_choice.allowed_tools.tools', 'functions', choice);
  if (mode === 'required') return { config: { mode: 'ANY', allowedFunctionNames: names } };
  if (mode !== 'auto') throw refuse('tool_choice.allowed_tools.mode', 'auto or required', choice);
  return { only: names };
}

/** The fields of the generation config that stand for a `response_format`. */
export function responseFormat(format: unknown, dropped: Dropped): Fields {
  const { type, json_schema: described } = isObject(format) ? format : {};
  if (type === 'text') return {};
  if (type === 'json_object') return { responseMimeType: 'application/json' };
  if (type !== 'json_schema') throw refuse('response_format.type', 'text, json_object or json_schema', type ?? null);
  const { schema, description } = isObject(described) ? described : {};
  if (!isObject(schema)) throw refuse('response_format.json_schema.schema', 'a JSON schema', schema ?? null);
  if (description !== undefined) dropped.name('response_format.json_schema.description');
  return { responseMimeType: 'application/json', responseJsonSchema: schema };
}

/**
 * What Gemini's own OpenAI endpoint makes of an effort (https://ai.google.dev/gemini-api/docs/openai#thinking). Up to
 * Gemini 2.5 it is a number of tokens, since then a level. The thoughts are asked for, as OpenAI's clients of reasoning
 * models expect them.
 */
export function thinkingConfig(effort: unknown, model: string): Fields {
  // Models that cannot but think refuse it themselves.
  if (effort === 'none') return { thinkingBudget: 0 };
  const [budget, level] = effort === 'minimal' ? [1024, model.includes('pro') ? 'LOW' : 'MINIMAL'] as const // The Pro models have no level below low.
    : effort === 'low' ? [1024, 'LOW'] as const
    : effort === 'medium' ? [8192, 'MEDIUM'] as const
    : effort === 'high' ? [24_576, 'HIGH'] as const
    : [];
  if (budget === undefined) throw refuse('reasoning_effort', 'none, minimal, low, medium or high', effort);
  const name = model.slice(model.lastIndexOf('/') + 1);
  const byBudget = name.startsWith('gemini-2') || name.startsWith('gemini-1');
  return { ...(byBudget ? { thinkingBudget: budget } : { thinkingLevel: level }), includeThoughts: true };
}

export function modalities(wanted: unknown): Fields {
  const names = (Array.isArray(wanted) ? wanted : []).map((name: unknown) => {
    if (name === 'text' || name === 'image') return name.toUpperCase();
    throw refuse('modalities', 'text or image, because other answers have no translation', name);
  });
  return names.every(name => name === 'TEXT') && names.length < 2 ? {} : { responseModalities: names };
}
