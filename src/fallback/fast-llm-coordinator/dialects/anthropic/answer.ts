import { isObject } from '../../../../check.js';
import type { ChatChunk } from '../../../../services/fast-llm-coordinator-types.js';
import { type AnswerIds, ChunkDecoder, ErrorInAnswer, MAX_EVENT_BYTES, NotOfTheDialect, parseObject } from '../../dialect.js';
import { SseDecoder } from '../../lines.js';
import { REASONING_FORMAT } from './messages.js';

type Fields = Record<string, unknown>;

/** Most blocks that one answer may have: far above any seen, below what a runaway stream would take from the machine. */
const MAX_BLOCKS = 4_096;
/** Most characters of thinking that are kept, because they are said again when their block ends. */
const MAX_KEPT = 16 * 1024 * 1024;

/** A block that is open. */
interface Block {
  type: string;
  /** Of a tool's call: its place among the calls, the input that came whole with the start, and whether a piece followed. */
  call: number;
  whole: string | undefined;
  hasArguments: boolean;
  /** Of thinking. */
  thought: string;
  signature: string;
}

/** Translates one answer: its events, or the whole of it. */
export class AnthropicAnswer {
  readonly #ids: AnswerIds;
  readonly #includeUsage: boolean;
  /** By index; `undefined` once it has ended. */
  readonly #blocks = new Map<unknown, Block | undefined>();
  #begun = false;
  #calls = 0;
  #counts: Fields = {};
  /** Whether the reason why it ended has come; and whether it has ended. */
  hasReason = false;
  isOver = false;

  constructor(ids: AnswerIds, includeUsage: boolean) {
    this.#ids = ids;
    this.#includeUsage = includeUsage;
  }

  /** A whole answer, as the events that a stream would have told it in. */
  message(json: unknown): ChatChunk[] {
    const message = isObject(json) ? json : {};
    if (message['error'] != null) throw new ErrorInAnswer(message['error']);
    const { content, usage, stop_reason, stop_sequence, stop_details } = message;
    if (!Array.isArray(content)) throw new NotOfTheDialect('expected a JSON object with `content`');
    const blocks = content.flatMap((block: unknown, index) => [{ type: 'content_block_start', index, content_block: block }, { type: 'content_block_stop', index }]);
    const end = { type: 'message_delta', delta: { stop_reason: stop_reason ?? 'end_turn', stop_sequence, stop_details } };
    return [{ type: 'message_start', message: { usage } }, ...blocks, end, { type: 'message_stop' }].flatMap(event => this.event(event));
  }

  event(event: Fields): ChatChunk[] {
    const { type, index } = event;
    if (type === 'error') throw new ErrorInAnswer(event['error'] ?? event);
    const said = this.#event(String(type), index, event);
    // `ping`, and what the future brings: Anthropic asks clients to pass over events that they do not know.
    if (said === undefined) return [];
    if (this.#begun) return said;
    this.#begun = true;
    return [this.#said({ role: 'assistant', content: '' }), ...said];
  }

  #event(type: string, index: unknown, event: Fields): ChatChunk[] | undefined {
    switch (type) {
      case 'message_start': return this.#count(isObject(event['message']) ? event['message']['usage'] : undefined);
      case 'content_block_start': return this.#start(index, event['content_block']);
      case 'content_block_delta': return this.#delta(index, isObject(event['delta']) ? event['delta'] : {});
      case 'content_block_stop': return this.#stop(index);
      case 'message_delta': return [...this.#count(event['usage']), ...this.#end(isObject(event['delta']) ? event['delta'] : {})];
      case 'message_stop':
        this.isOver = true;
        return this.#includeUsage ? [this.#usage()] : [];
      default: return undefined;
    }
  }

  #start(index: unknown, content: unknown): ChatChunk[] {
    if (!isObject(content)) throw new NotOfTheDialect('content_block: expected an object with a type');
    if (this.#blocks.has(index)) throw new NotOfTheDialect(`index: expected a block that has not started yet, got the start of block ${String(index)} a second time`);
    if (this.#blocks.size >= MAX_BLOCKS) throw new NotOfTheDialect(`an answer of more than ${MAX_BLOCKS} blocks`);
    const block: Block = { type: String(content['type']), call: this.#calls, whole: undefined, hasArguments: false, thought: '', signature: textOf(content, 'signature') };
    this.#blocks.set(index, block);
    const { text, thinking } = content;
    switch (block.type) {
      case 'redacted_thinking': return [this.#said({ reasoning_details: [{ type: 'reasoning.encrypted', data: textOf(content, 'data'), format: REASONING_FORMAT }] })];
      case 'tool_use': {
        const name = textOf(content, 'name');
        if (name === '') throw new NotOfTheDialect('content_block.name: expected the name of a tool');
        this.#calls += 1;
        block.whole = content['input'] === undefined ? undefined : JSON.stringify(content['input']);
        return [this.#called(block, { id: textOf(content, 'id') || `call_${this.#ids.id}_${block.call}`, type: 'function', function: { name, arguments: '' } })];
      }
      default: return this.#delta(index, { text, thinking });
    }
  }

  #delta(index: unknown, delta: Fields): ChatChunk[] {
    const block = this.#blocks.get(index);
    if (block === undefined) throw new NotOfTheDialect(`index: expected a block that has started, got a piece of block ${String(index)}, which is not open`);
    switch (block.type) {
      case 'text': return textOf(delta, 'text') === '' ? [] : [this.#said({ content: delta['text'] })];
      case 'thinking':
        block.thought += textOf(delta, 'thinking');
        block.signature += textOf(delta, 'signature');
        if (block.thought.length > MAX_KEPT || block.signature.length > MAX_KEPT) throw new NotOfTheDialect(`a block of thinking of more than ${MAX_KEPT} characters`);
        return textOf(delta, 'thinking') === '' ? [] : [this.#said({ reasoning_content: delta['thinking'] })];
      case 'tool_use':
        if (textOf(delta, 'partial_json') === '') return [];
        block.hasArguments = true;
        return [this.#called(block, { function: { arguments: delta['partial_json'] } })];
      // Uses and results of Anthropic's own tools, which no request in OpenAI's dialect offers.
      default: return [];
    }
  }

  /** A block that ends twice, or ends unbegun, has nothing to say. */
  #stop(index: unknown): ChatChunk[] {
    const block = this.#blocks.get(index);
    if (this.#blocks.has(index)) this.#blocks.set(index, undefined);
    // Input that came whole counts if no piece followed.
    if (block?.type === 'tool_use' && !block.hasArguments) return [this.#called(block, { function: { arguments: block.whole ?? '{}' } })];
    if (block?.type !== 'thinking' || block.signature === '') return [];
    return [this.#said({ reasoning_details: [{ type: 'reasoning.text', text: block.thought, signature: block.signature, format: REASONING_FORMAT }] })];
  }

  #end({ stop_reason: reason, stop_sequence: met, stop_details: details }: Fields): ChatChunk[] {
    if (typeof reason !== 'string' || this.hasReason) return [];
    this.hasReason = true;
    const explanation = reason === 'refusal' && isObject(details) ? textOf(details, 'explanation') : '';
    // `stop_reason` is vLLM's field for the stop text that was met.
    const end = this.#chunk([{ index: 0, delta: {}, finish_reason: finishReason(reason), ...(met == null ? {} : { stop_reason: met }) }]);
    return explanation === '' ? [end] : [this.#said({ refusal: explanation }), end];
  }

  /** The events of a stream count cumulatively. */
  #count(usage: unknown): [] {
    for (const [key, value] of Object.entries(isObject(usage) ? usage : {})) if (value != null) this.#counts[key] = value;
    return [];
  }

  /** Anthropic counts what its cache held apart from `input_tokens`, OpenAI counts it in `prompt_tokens`. */
  #usage(): ChatChunk {
    const count = (value: unknown): number | undefined => (Number.isSafeInteger(value) && (value as number) >= 0 ? value as number : undefined);
    const [input, output, read, written] = ['input_tokens', 'output_tokens', 'cache_read_input_tokens', 'cache_creation_input_tokens'].map(key => count(this.#counts[key]));
    const { output_tokens_details: details } = this.#counts;
    const thought = isObject(details) ? count(details['thinking_tokens']) : undefined;
    const prompt_tokens = (input ?? 0) + (read ?? 0) + (written ?? 0);
    const usage = {
      prompt_tokens, completion_tokens: output ?? 0, total_tokens: prompt_tokens + (output ?? 0),
      ...(read === undefined && written === undefined ? {} : { prompt_tokens_details: { cached_tokens: read ?? 0, ...(written === undefined ? {} : { cache_write_tokens: written }) } }),
      ...(thought === undefined ? {} : { completion_tokens_details: { reasoning_tokens: thought } }),
    };
    return { ...this.#chunk([]), usage } as ChatChunk;
  }

  #called({ call }: Block, fields: Fields): ChatChunk {
    return this.#said({ tool_calls: [{ index: call, ...fields }] });
  }

  #said(delta: Fields, finish_reason: string | null = null): ChatChunk {
    return this.#chunk([{ index: 0, delta, finish_reason }]);
  }

  #chunk(choices: unknown[]): ChatChunk {
    const { id, created, model } = this.#ids;
    return { id, object: 'chat.completion.chunk', created, model, choices } as unknown as ChatChunk;
  }
}

/** The events of a streamed answer. */
export class AnthropicChunks extends ChunkDecoder {
  readonly #events = new SseDecoder(MAX_EVENT_BYTES);
  readonly #answer: AnthropicAnswer;

  constructor(ids: AnswerIds, includeUsage: boolean) {
    super();
    this.#answer = new AnthropicAnswer(ids, includeUsage);
  }

  protected override cut(bytes: Uint8Array): string[] {
    return this.#events.push(bytes);
  }

  protected override rest(): string[] {
    return [];
  }

  protected override read(data: string): ChatChunk[] {
    const chunks = this.#answer.event(parseObject(data));
    this.whole = this.#answer.hasReason || this.#answer.isOver;
    this.over = this.#answer.isOver;
    return chunks;
  }
}

function textOf(fields: Fields, key: string): string {
  const value = fields[key];
  return typeof value === 'string' ? value : '';
}

/** OpenAI's word for Anthropic's `stop_reason`. A reason that is not known yet is an end like any other. */
function finishReason(reason: string): string {
  switch (reason) {
    case 'max_tokens': case 'model_context_window_exceeded': return 'length';
    case 'tool_use': return 'tool_calls';
    case 'refusal': return 'content_filter';
    // `end_turn`, `stop_sequence`; and `pause_turn`, after which the client may ask for more.
    default: return 'stop';
  }
}
