import { describe, expect, it } from 'vitest';

import { LineDecoder, SseDecoder, TooLongError } from '../../src/fallback/fast-llm-coordinator/lines.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Every way to cut bytes in two, and one piece per byte. */
function* cuts(all: Uint8Array): Generator<Uint8Array[]> {
  for (let at = 0; at <= all.length; at++) yield [all.subarray(0, at), all.subarray(at)];
  yield Array.from(all, (_, at) => all.subarray(at, at + 1));
}

describe('server-sent events', () => {
  function check(text: string, events: string[]): void {
    for (const pieces of cuts(bytes(text))) {
      const decoder = new SseDecoder(1_000);
      expect(pieces.flatMap(piece => decoder.push(piece))).toEqual(events);
    }
  }

  it('are the same wherever the bytes are cut', () => check('data: {"a":"ü🌍"}\n\ndata: [DONE]\n\n', ['{"a":"ü🌍"}', '[DONE]']));
  it('may end their lines with LF, CRLF or CR', () => check('data: a\r\n\r\ndata: b\r\rdata: c\n\n', ['a', 'b', 'c']));
  it('may begin with a byte order mark', () => check('\u{FEFF}data: a\n\n', ['a']));
  it('lose their comments and the fields that nobody needs', () => check(': ping\n\nevent: x\nid: 1\nretry: 5\ndata: a\n\n:\n\n', ['a']));
  it('join several lines of data', () => check('data: a\ndata:b\ndata\n\n', ['a\nb\n']));
  it('keep all but the first space', () => check('data:  a \n\n', [' a ']));
  it('that never end are none', () => check('data: a\n\ndata: b\n', ['a']));

  it('of ten megabytes take linear time and arrive whole', () => {
    const text = 'x'.repeat(10_000_000);
    const all = bytes(`data: ${text}\n\n`);
    const decoder = new SseDecoder(16_000_000);
    const events: string[] = [];
    for (let at = 0; at < all.length; at += 4096) events.push(...decoder.push(all.subarray(at, at + 4096)));
    expect(events).toEqual([text]);
  });

  it('above the bound are refused before they are whole', () => {
    const decoder = new SseDecoder(10);
    expect(() => decoder.push(bytes('data: 0123456789'))).toThrow(TooLongError);
    const several = new SseDecoder(10);
    expect(() => several.push(bytes('data: 0123\ndata: 4567\ndata: 89ab\n'))).toThrow(TooLongError);
  });
});

describe('lines', () => {
  it('give the last one at the end, though its newline is missing', () => {
    for (const pieces of cuts(bytes('a\nüb'))) {
      const decoder = new LineDecoder(100);
      expect([...pieces.flatMap(piece => decoder.push(piece)), decoder.end()]).toEqual(['a', 'üb']);
    }
  });
});
