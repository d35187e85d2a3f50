// Memory in pieces of one size, got as it is needed, and queues of records that lie in them.

/** A piece of memory that holds records one after another. */
export interface Segment {
  readonly id: number;
  readonly words: Uint32Array;
  readonly bytes: Buffer;
  /** Whole milliseconds of the tier's clock; the expiries of its records count from here. */
  base: number;
  /** How many words are taken. */
  end: number;
  /** Whose records these are. */
  queue: RecordQueue | undefined;
}

/** All segments of a tier. A position is the number of a word counted through all of them. */
export class Segments {
  readonly segmentBytes: number;
  readonly #shift: number;
  readonly #mask: number;
  readonly #all: (Segment | undefined)[] = [];
  readonly #vacantIds: number[] = [];
  readonly #free: Segment[] = [];
  #taken = 0;

  /** @param segmentBytes A power of two. */
  constructor(segmentBytes: number) {
    this.segmentBytes = segmentBytes;
    this.#shift = 29 - Math.clz32(segmentBytes);
    this.#mask = segmentBytes / 4 - 1;
  }

  /** Bytes of segments that hold records. */
  get usedBytes(): number {
    return this.#taken * this.segmentBytes;
  }

  /** Bytes of emptied segments, kept for the next that is needed. */
  get freeBytes(): number {
    return this.#free.length * this.segmentBytes;
  }

  at(position: number): Segment {
    return this.#all[position >>> this.#shift]!;
  }

  /** The word within its segment. */
  offset(position: number): number {
    return position & this.#mask;
  }

  position(segment: Segment, offset: number): number {
    return ((segment.id << this.#shift) | offset) >>> 0;
  }

  take(base: number, queue: RecordQueue): Segment {
    const segment = this.#free.pop() ?? this.#allocate();
    segment.base = base;
    segment.end = 0;
    segment.queue = queue;
    this.#taken += 1;
    return segment;
  }

  release(segment: Segment): void {
    segment.queue = undefined;
    this.#taken -= 1;
    this.#free.push(segment);
  }

  /** Gives one emptied segment back to the garbage collector. */
  dropFree(): boolean {
    const segment = this.#free.pop();
    if (segment === undefined) return false;
    this.#all[segment.id] = undefined;
    this.#vacantIds.push(segment.id);
    return true;
  }

  #allocate(): Segment {
    const memory = new ArrayBuffer(this.segmentBytes);
    const id = this.#vacantIds.pop() ?? this.#all.length;
    const segment: Segment = { id, words: new Uint32Array(memory), bytes: Buffer.from(memory), base: 0, end: 0, queue: undefined };
    this.#all[id] = segment;
    return segment;
  }
}

/** Records in the order in which they came. The newest segment is written, the oldest is read and then released. */
export class RecordQueue {
  readonly #segments: Segments;
  #line: Segment[] = [];
  #first = 0;
  #offset = 0;
  /** Bytes between oldest and newest record, those of removed records too, and what live records hold elsewhere. */
  bytes = 0;

  constructor(segments: Segments) {
    this.#segments = segments;
  }

  get empty(): boolean {
    return this.#first === this.#line.length;
  }

  /** Whether a record of so many words needs another segment. */
  needsSegment(words: number): boolean {
    const last = this.#line.at(-1);
    return this.empty || last!.end + words > last!.words.length;
  }

  /** Makes room for a record at the end and returns where. */
  append(words: number, nowMs: number): number {
    if (this.needsSegment(words)) this.#line.push(this.#segments.take(Math.floor(nowMs), this));
    const segment = this.#line.at(-1)!;
    const position = this.#segments.position(segment, segment.end);
    segment.end += words;
    this.bytes += words * 4;
    return position;
  }

  /** Where the oldest record lies. Only for a queue that is not empty. */
  oldest(): number {
    return this.#segments.position(this.#line[this.#first]!, this.#offset);
  }

  /** Steps over the oldest record, which is so many words long; releases its segment if that was the last one in it. */
  pass(words: number): void {
    const segment = this.#line[this.#first]!;
    this.#offset += words;
    this.bytes -= words * 4;
    if (this.#offset < segment.end) return;
    this.#offset = 0;
    this.#first += 1;
    // Shifts rarely, so that stepping on stays cheap however many segments there are.
    if (this.#first * 2 > this.#line.length) {
      this.#line = this.#line.slice(this.#first);
      this.#first = 0;
    }
    this.#segments.release(segment);
  }
}
