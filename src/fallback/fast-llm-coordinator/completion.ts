import { isObject } from '../../check.js';
import type { ChatChunk } from '../../services/fast-llm-coordinator-types.js';

/** What of a delta a stored answer can say; another field would be lost. */
const KEPT = ['role', 'content', 'reasoning_content', 'refusal'];

type Completion = Record<string, unknown>;

/** Whether a whole answer may be given to somebody else who asks the same: complete text, and nothing to be done. */
export function isStorable(completion: Completion): boolean {
  const { choices } = completion;
  if (!Array.isArray(choices) || choices.length !== 1) return false;
  return choices.every(choice => isObject(choice) && choice['finish_reason'] === 'stop' && isObject(choice['message']) && isEmpty(choice['message']['tool_calls']) && choice['message']['function_call'] == null);
}

/** Puts the chunks of one stream together again. */
export class Collector {
  #first: ChatChunk | undefined;
  #usage: unknown;
  #content = '';
  #reasoning = '';
  #refusal = '';
  #finish: string | null = null;
  #lost = false;

  hear(chunk: ChatChunk): void {
    this.#first ??= chunk;
    if (chunk.usage != null) this.#usage = chunk.usage;
    for (const { index, delta, finish_reason, ...rest } of chunk.choices) {
      if (index !== 0 || Object.values(rest).some(value => value != null)) this.#lost = true;
      if (finish_reason != null) this.#finish = finish_reason;
      const said = (isObject(delta) ? delta : {}) as Record<string, unknown>;
      if (Object.entries(said).some(([key, value]) => !KEPT.includes(key) && value != null && !isEmpty(value))) this.#lost = true;
      this.#content += text(said['content']);
      this.#reasoning += text(said['reasoning_content']);
      this.#refusal += text(said['refusal']);
    }
  }

  /** The answer as one document, without `usage` if the stream did not tell it; `undefined`: it said more than that holds. */
  completion(): Completion | undefined {
    if (this.#lost || this.#first === undefined || this.#finish === null) return undefined;
    const { choices: _, usage: __, ...head } = this.#first;
    const message = {
      role: 'assistant', content: this.#content,
      ...(this.#reasoning === '' ? {} : { reasoning_content: this.#reasoning }),
      ...(this.#refusal === '' ? {} : { refusal: this.#refusal }),
    };
    return { ...head, object: 'chat.completion', choices: [{ index: 0, message, finish_reason: this.#finish }], ...(this.#usage === undefined ? {} : { usage: this.#usage }) };
  }
}

/** A whole answer of one choice as the chunks of a stream. */
export function replay(completion: Completion, includeUsage: boolean): ChatChunk[] {
  const { choices, usage, ...head } = completion;
  const chunk = (list: unknown[]): ChatChunk => ({ ...head, object: 'chat.completion.chunk', choices: list }) as unknown as ChatChunk;
  const delta = (said: unknown, finish_reason: string | null = null): ChatChunk => chunk([{ index: 0, delta: said, finish_reason }]);
  const [{ message, finish_reason }] = choices as [{ message: Record<string, unknown>; finish_reason: string }];
  const { role, content, ...rest } = message;
  return [
    delta({ role: role ?? 'assistant', content: '' }),
    ...Object.entries(rest).filter(([, value]) => value != null && !isEmpty(value)).map(([key, value]) => delta({ [key]: value })),
    ...(text(content) === '' ? [] : [delta({ content })]),
    delta({}, finish_reason),
    ...(includeUsage ? [{ ...chunk([]), usage } as ChatChunk] : []),
  ];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function isEmpty(value: unknown): boolean {
  return value == null || value === '' || (Array.isArray(value) && value.length === 0);
}
