import type { ChatChunk } from '../../../../services/fast-llm-coordinator-types.js';
import { type AnswerIds, ChunkDecoder, ErrorInAnswer, isObject, MAX_EVENT_BYTES, NotOfTheDialect, parseObject } from '../../dialect.js';
import { SseDecoder } from '../../lines.js';
import { REASONING_FORMAT } from './messages.js';

type Fields = Record<string, unknown>;

/** A block that is being told. */
interface Block {
  type: string;
  /** Of a tool's call: its place among the calls, and whether any argument has come. */
  call: number;
  hasArguments: boolean;
  /** Of thinking. */
  thought: string;
  signature: string;
}

/** Translates one answer: its events, or the whole of it. */
export class AnthropicAnswer {
  readonly #ids: AnswerIds;
  readonly #includeUsage: boolean;
  readonly #blocks = new Map<unknown, Block>();
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
    if (message['type'] === 'error' || message['error'] != null) throw new ErrorInAnswer(message['error'] ?? message);
    const { content, usage, stop_reason } = message;
    if (!Array.isArray(content)) throw new NotOfTheDialect('expected a JSON object with `content`');
    const blocks = content.flatMap((block: unknown, index) => [
      { type: 'content_block_start', index, content_block: block, whole: true }, { type: 'content_block_stop', index },
    ]);
    const events: Fields[] = [{ type: 'message_start', message: { usage } }, ...blocks, { type: 'message_delta', delta: { stop_reason: stop_reason ?? 'end_turn' } }, { type: 'message_stop' }];
    return events.flatMap(event => this.event(event));
  }

  event(event: Fields): ChatChunk[] {
    switch (event['type']) {
      case 'message_start': {
        const { usage } = isObject(event['message']) ? event['message'] : {};
        this.#count(usage);
        return [this.#said({ role: 'assistant', content: '' })];
      }
      case 'content_block_start': return this.#start(event['index'], isObject(event['content_block']) ? event['content_block'] : {}, event['whole'] === true);
      case 'content_block_delta': return this.#delta(this.#block(event['index']), isObject(event['delta']) ? event['delta'] : {});
      case 'content_block_stop': return this.#stop(event['index']);
      case 'message_delta': {
        this.#count(event['usage']);
        const reason = isObject(event['delta']) ? event['delta']['stop_reason'] : undefined;
        if (typeof reason !== 'string' || this.hasReason) return [];
        this.hasReason = true;
        return [this.#said({}, finishReason(reason))];
      }
      case 'message_stop':
        this.isOver = true;
        return this.#includeUsage && this.hasReason ? this.#usage() : [];
      case 'error': throw new ErrorInAnswer(event['error'] ?? event);
      // `ping`, and what the future brings: Anthropic asks clients to pass over events that they do not know.
      default: return [];
    }
  }

  #start(index: unknown, block: Fields, whole: boolean): ChatChunk[] {
    const type = String(block['type']);
    const text = (key: string): string => (typeof block[key] === 'string' ? block[key] : '');
    const begun: Block = { type, call: this.#calls, hasArguments: false, thought: text('thinking'), signature: text('signature') };
    this.#blocks.set(index, begun);
    switch (type) {
      case 'text': return text('text') === '' ? [] : [this.#said({ content: text('text') })];
      case 'thinking': return begun.thought === '' ? [] : [this.#said({ reasoning_content: begun.thought })];
      case 'redacted_thinking': return [this.#said({ reasoning_details: [{ type: 'reasoning.encrypted', data: text('data'), format: REASONING_FORMAT }] })];
      case 'tool_use': {
        this.#calls += 1;
        // A stream begins with an empty object, and tells the arguments afterwards.
        const input = isObject(block['input']) && (whole || Object.keys(block['input']).length > 0) ? JSON.stringify(block['input']) : '';
        begun.hasArguments = input !== '';
        return [this.#called(begun, { id: text('id'), type: 'function', function: { name: text('name'), arguments: input } })];
      }
      default: throw new NotOfTheDialect(`content[${String(index)}].type: expected text, thinking or tool_use, got ${type}`);
    }
  }

  #delta(block: Block, delta: Fields): ChatChunk[] {
    const text = (key: string): string => (typeof delta[key] === 'string' ? delta[key] : '');
    switch (delta['type']) {
      case 'text_delta': return text('text') === '' ? [] : [this.#said({ content: text('text') })];
      case 'thinking_delta':
        block.thought += text('thinking');
        return text('thinking') === '' ? [] : [this.#said({ reasoning_content: text('thinking') })];
      case 'signature_delta':
        block.signature += text('signature');
        return [];
      case 'input_json_delta':
        if (text('partial_json') === '') return [];
        block.hasArguments = true;
        return [this.#called(block, { function: { arguments: text('partial_json') } })];
      // Citations, and what the future brings.
      default: return [];
    }
  }

  #stop(index: unknown): ChatChunk[] {
    const block = this.#block(index);
    this.#blocks.delete(index);
    if (block.type === 'tool_use' && !block.hasArguments) return [this.#called(block, { function: { arguments: '{}' } })];
    if (block.type !== 'thinking' || block.signature === '') return [];
    return [this.#said({ reasoning_details: [{ type: 'reasoning.text', text: block.thought, signature: block.signature, format: REASONING_FORMAT }] })];
  }

  #block(index: unknown): Block {
    const block = this.#blocks.get(index);
    if (block === undefined) throw new NotOfTheDialect(`an event for block ${String(index)}, which has not begun`);
    return block;
  }

  /** The events of a stream count cumulatively. */
  #count(usage: unknown): void {
    if (!isObject(usage)) return;
    for (const [key, value] of Object.entries(usage)) if (value != null) this.#counts[key] = value;
  }

  /** Anthropic counts what its cache held apart from `input_tokens`, OpenAI counts it in `prompt_tokens`. */
  #usage(): ChatChunk[] {
    const count = (value: unknown): number | undefined => (Number.isSafeInteger(value) && (value as number) >= 0 ? value as number : undefined);
    const [input, output, read, written] = ['input_tokens', 'output_tokens', 'cache_read_input_tokens', 'cache_creation_input_tokens'].map(key => count(this.#counts[key]));
    if (input === undefined && output === undefined) return [];
    const { output_tokens_details: details } = this.#counts;
    const thought = isObject(details) ? count(details['thinking_tokens']) : undefined;
    const prompt_tokens = (input ?? 0) + (read ?? 0) + (written ?? 0);
    const usage = {
      prompt_tokens, completion_tokens: output ?? 0, total_tokens: prompt_tokens + (output ?? 0),
      ...(read === undefined && written === undefined ? {} : { prompt_tokens_details: { cached_tokens: read ?? 0, ...(written === undefined ? {} : { cache_write_tokens: written }) } }),
      ...(thought === undefined ? {} : { completion_tokens_details: { reasoning_tokens: thought } }),
    };
    return [{ ...this.#chunk([]), usage } as ChatChunk];
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
    if (this.#answer.isOver && !this.#answer.hasReason) throw new NotOfTheDialect('message_stop came before the reason why the answer ended');
    this.whole = this.#answer.hasReason;
    this.over = this.#answer.isOver;
    return chunks;
  }
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
