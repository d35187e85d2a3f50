import type { Said } from '../../dialect.js';
import { Dropped } from '../dropped.js';
import { refuse } from '../refusal.js';
import { translateMessages } from './contents.js';
import { modalities, responseFormat, thinkingConfig, toolConfig } from './options.js';

type Fields = Record<string, unknown>;

/** Fields of OpenAI's that are in the generation config under another name. */
const RENAMED: Record<string, string> = { temperature: 'temperature', top_p: 'topP', presence_penalty: 'presencePenalty', frequency_penalty: 'frequencyPenalty' };
/**
 * Fields that say who asks, how it is billed or cached, or how sampling is refined: the answer means the same without
 * them. The last come from llama.cpp, Ollama and vLLM.
 */
const DROPPED = [
  'user', 'safety_identifier', 'metadata', 'store', 'service_tier', 'prompt_cache_key', 'prompt_cache_retention', 'prediction', 'verbosity', 'keep_alive', 'num_ctx',
  'min_p', 'typical_p', 'tfs_z', 'repeat_penalty', 'repetition_penalty', 'repeat_last_n', 'penalize_newline',
];
/** Most stop sequences and candidates of a request (https://ai.google.dev/api/generate-content#generationconfig). */
const MAX_STOP = 5;
const MAX_CANDIDATES = 8;

/** The body that asks the same of Gemini. `model` decides how much thinking is asked for. */
export function generateRequest({ messages, tools, tool_choice, ...fields }: Fields, model: string): Said {
  const dropped = new Dropped();
  const { system, contents } = translateMessages(messages as Fields[], dropped);
  const offered = toolConfig(tools, tool_choice, dropped);
  const config = generationConfig(fields, model, dropped);
  const body = {
    ...(system.length > 0 ? { systemInstruction: { parts: system } } : {}),
    contents,
    ...offered,
    ...(Object.keys(config).length > 0 ? { generationConfig: config } : {}),
  };
  return { body, dropped: dropped.names() };
}

function generationConfig(fields: Fields, model: string, dropped: Dropped): Fields {
  const config: Fields = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value == null) continue;
    const renamed = Object.hasOwn(RENAMED, name) ? RENAMED[name] : undefined;
    if (renamed !== undefined) {
      config[renamed] = value;
      continue;
    }
    switch (name) {
      // In the address, or never Gemini's to know.
      case 'model': case 'stream': case 'stream_options': break;
      // 0 and -1 mean no limit.
      case 'top_k': if (value as number > 0) config['topK'] = value; break;
      // The newer name of the two wins.
      case 'max_completion_tokens': config['maxOutputTokens'] = value; break;
      case 'max_tokens': config['maxOutputTokens'] = fields['max_completion_tokens'] ?? value; break;
      // Gemini's are 32 bits wide.
      case 'seed': if (((value as number) | 0) === value) config['seed'] = value; else dropped.name(name); break;
      case 'stop': config['stopSequences'] = stop(value); break;
      case 'n':
        if (value as number > MAX_CANDIDATES) throw refuse(name, `at most ${MAX_CANDIDATES}, which is Gemini's bound`, value);
        if (value !== 1) config['candidateCount'] = value;
        break;
      case 'logprobs': if (value !== false) config['responseLogprobs'] = value; break;
      case 'top_logprobs': if (value !== 0) config['logprobs'] = value; break;
      case 'response_format': Object.assign(config, responseFormat(value, dropped)); break;
      case 'reasoning_effort': config['thinkingConfig'] = thinkingConfig(value, model); break;
      case 'modalities': Object.assign(config, modalities(value)); break;
      case 'parallel_tool_calls': if (value !== true) throw refuse(name, 'true, because Gemini cannot limit it', value); break;
      default:
        if (name === 'logit_bias' && Object.keys(value).length === 0) break;
        if (!DROPPED.includes(name)) throw refuse(name, 'it absent, because Gemini has no such field', value);
        dropped.name(name);
    }
  }
  return config;
}

function stop(value: unknown): unknown[] {
  const several: unknown[] = Array.isArray(value) ? value : [value];
  if (several.length > MAX_STOP) throw refuse('stop', `at most ${MAX_STOP} strings, which is Gemini's bound`, several);
  return several;
}
