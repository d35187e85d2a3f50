import { isObject } from '../../../../check.js';
import type { Dropped } from '../dropped.js';
import { refuse } from '../refusal.js';

type Fields = Record<string, unknown>;

/** Tools, and which of them the model is to call. */
export function toolFields({ tools, tool_choice: wanted, parallel_tool_calls: parallel }: Fields, dropped: Dropped): Fields {
  if (tools != null && !Array.isArray(tools)) throw refuse('tools', 'an array of tools', tools);
  const offered = (tools ?? []).map((tool: unknown, index: number) => translateTool(tool, `tools[${index}]`, dropped));
  const choice = wanted == null ? undefined : translateChoice(wanted);
  if (offered.length === 0) {
    // Anthropic refuses a choice among no tools; none of them says anything but one that forces a call.
    if (choice?.['type'] === 'any' || choice?.['type'] === 'tool') throw refuse('tools', 'the tools that tool_choice speaks of', []);
    return {};
  }
  const oneAtATime = parallel === false && choice?.['type'] !== 'none';
  const said = oneAtATime ? { type: 'auto', ...choice, disable_parallel_tool_use: true } : choice;
  return { tools: offered, ...(said === undefined ? {} : { tool_choice: said }) };
}

function translateChoice(choice: unknown): Fields {
  if (typeof choice === 'string') {
    const type = ({ auto: 'auto', required: 'any', none: 'none' } as Record<string, string>)[choice];
    if (type === undefined) throw refuse('tool_choice', 'auto, none, required or a function', choice);
    return { type };
  }
  const { type, function: made } = isObject(choice) ? choice : {};
  if (type !== 'function') throw refuse('tool_choice.type', 'function, because Anthropic chooses all tools or one', type ?? choice);
  const name = isObject(made) ? made['name'] : undefined;
  if (typeof name !== 'string') throw refuse('tool_choice.function.name', 'the name of a function', name ?? null);
  return { type: 'tool', name };
}

function translateTool(tool: unknown, at: string, dropped: Dropped): Fields {
  if (!isObject(tool)) throw refuse(at, 'an object with a function', tool);
  const { type, function: made, cache_control: mark, ...others } = tool;
  if (type !== undefined && type !== 'function') throw refuse(`${at}.type`, 'function, the one kind that can be translated', type);
  if (!isObject(made)) throw refuse(`${at}.function`, 'an object with a name', made ?? null);
  for (const [name, value] of Object.entries(others)) dropped.nameUnlessEmpty(`tools[].${name}`, value);
  const { name, description, strict, parameters, cache_control: innerMark, ...rest } = made;
  for (const [key, value] of Object.entries(rest)) dropped.nameUnlessEmpty(`tools[].function.${key}`, value);
  if (typeof name !== 'string') throw refuse(`${at}.function.name`, 'the name of the function', name ?? null);
  const marked = mark ?? innerMark;
  return {
    name,
    ...(description == null ? {} : { description }),
    ...(strict == null ? {} : { strict }),
    input_schema: inputSchema(parameters, at),
    ...(marked == null ? {} : { cache_control: marked }),
  };
}

/** Anthropic requires a schema, and the type that OpenAI implies. */
function inputSchema(schema: unknown, at: string): Fields {
  if (schema == null) return { type: 'object', properties: {} };
  if (!isObject(schema)) throw refuse(`${at}.function.parameters`, 'a JSON schema of an object', schema);
  if ((schema['type'] ?? 'object') !== 'object') throw refuse(`${at}.function.parameters.type`, 'object, which Anthropic requires', schema['type']);
  return { type: 'object', ...schema };
}
