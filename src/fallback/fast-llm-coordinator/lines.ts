/** A line or an event that is longer than anything a model server sends. */
export class TooLongError extends Error {
  constructor(what: string, limit: number) {
    super(`${what} of more than ${limit} bytes`);
  }
}

/**
 * Cuts bytes that arrive in any pieces into lines; LF, CRLF and CR end one. A byte order mark is dropped.
 *
 * `node:readline` reads a stream to its end and has no bound; here the caller feeds and stops when it likes.
 */
export class LineDecoder {
  readonly #text = new TextDecoder();
  readonly #maxLength: number;
  /** The parts of a line whose end has not arrived; joined once, so that a long line costs linear time. */
  #parts: string[] = [];
  #length = 0;
  #endedInCr = false;

  /** @param maxLength Longest line, in UTF-16 code units (at most as many as its bytes). */
  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  /** The lines that these bytes complete. */
  push(bytes: Uint8Array): string[] {
    let text = this.#text.decode(bytes, { stream: true });
    if (text === '') return [];
    if (this.#endedInCr && text.startsWith('\n')) text = text.slice(1);
    this.#endedInCr = text.endsWith('\r');
    const lines = text.split(/\r\n|\n|\r/);
    const rest = lines.pop() ?? '';
    if (lines.length > 0) {
      lines[0] = this.#take() + lines[0];
    }
    this.#parts.push(rest);
    this.#length += rest.length;
    if (this.#length > this.#maxLength || lines.some(line => line.length > this.#maxLength)) throw new TooLongError('a line', this.#maxLength);
    return lines;
  }

  /** What follows the last line end, once no more bytes come. */
  end(): string {
    this.#parts.push(this.#text.decode());
    return this.#take();
  }

  #take(): string {
    const text = this.#parts.join('');
    this.#parts = [];
    this.#length = 0;
    return text;
  }
}

/** Reads server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) and gives their data. */
export class SseDecoder {
  readonly #lines: LineDecoder;
  readonly #maxLength: number;
  #data: string[] = [];
  #length = 0;

  constructor(maxLength: number) {
    this.#lines = new LineDecoder(maxLength);
    this.#maxLength = maxLength;
  }

  /** The data of the events that these bytes complete; an event whose blank line never comes is none. */
  push(bytes: Uint8Array): string[] {
    const events: string[] = [];
    for (const line of this.#lines.push(bytes)) {
      if (line === '') {
        if (this.#data.length > 0) events.push(this.#data.join('\n'));
        this.#data = [];
        this.#length = 0;
      } else if (line === 'data' || line.startsWith('data:')) {
        const value = line.slice(5);
        this.#data.push(value.startsWith(' ') ? value.slice(1) : value);
        this.#length += value.length;
        if (this.#length > this.#maxLength) throw new TooLongError('an event', this.#maxLength);
      }
      // Comments and other fields (event, id, retry) say nothing that a chat answer needs.
    }
    return events;
  }
}
