/**
 * The tensors of an ONNX file: as much of protobuf as that takes. By hand because of its five thousand fields three are wanted.
 * The schema: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3; the encoding: https://protobuf.dev/programming-guides/encoding/.
 */

import { UniversalAiError } from '../../errors.js';

/** A tensor of the graph. */
export interface Tensor {
  dims: number[];
  /** Of 32 bits; `undefined` where it is of another type. */
  data: Float32Array | undefined;
}

/** `ModelProto.graph`, `GraphProto.initializer`, and the fields of `TensorProto`. */
const MODEL_GRAPH = 7;
const GRAPH_INITIALIZER = 5;
const TENSOR = { dims: 1, dataType: 2, name: 8, rawData: 9 } as const;
const FLOAT = 1;
/** ONNX knows no tensor of more dimensions that anybody uses. */
const MOST_DIMS = 8;

/** The initialisers of the file's graph, by name. @throws {UniversalAiError} `UAT_CORRUPT_VALUE`. */
export function tensors(file: Uint8Array): Map<string, Tensor> {
  const found = new Map<string, Tensor>();
  for (const [field, graph] of fields(file, 0)) {
    if (field !== MODEL_GRAPH || !(graph instanceof Bytes)) continue;
    for (const [inner, tensor] of fields(graph.bytes, graph.start)) {
      if (inner === GRAPH_INITIALIZER && tensor instanceof Bytes) readTensor(tensor, found);
    }
  }
  return found;
}

function readTensor({ bytes, start }: Bytes, found: Map<string, Tensor>): void {
  let [name, type, data]: [string, number, Uint8Array] = ['', 0, new Uint8Array()];
  const dims: number[] = [];
  for (const [field, value] of fields(bytes, start)) {
    if (field === TENSOR.dims && value instanceof Bytes) {
      // Writers may pack repeated numbers.
      const packed = new Reader(value.bytes, value.start);
      while (!packed.isAtEnd() && dims.length <= MOST_DIMS) dims.push(packed.varint());
    } else if (field === TENSOR.dims && typeof value === 'number') dims.push(value);
    else if (field === TENSOR.dataType && typeof value === 'number') type = value;
    else if (field === TENSOR.name && value instanceof Bytes) name = Buffer.from(value.bytes).toString('latin1');
    else if (field === TENSOR.rawData && value instanceof Bytes) data = value.bytes;
    if (dims.length > MOST_DIMS) throw corrupt('a tensor of more than 8 dimensions', start);
  }
  // Copied, because what lies in the file need not begin at a multiple of four. Machines that Node runs on are little-endian, as ONNX is.
  found.set(name, { dims, data: type === FLOAT && data.length % 4 === 0 ? new Float32Array(new Uint8Array(data).buffer) : undefined });
}

/** Bytes, and where in the file they begin. */
class Bytes {
  constructor(readonly bytes: Uint8Array, readonly start: number) {}
}

/** Fields' numbers and values; those of a fixed width, which nothing that is read here has, are `undefined`. */
function* fields(bytes: Uint8Array, start: number): Generator<[number, number | Bytes | undefined]> {
  const reader = new Reader(bytes, start);
  while (!reader.isAtEnd()) {
    const tag = reader.varint();
    yield [Math.floor(tag / 8), reader.value(tag & 7)];
  }
}

class Reader {
  #at = 0;

  constructor(readonly bytes: Uint8Array, readonly start: number) {}

  isAtEnd(): boolean {
    return this.#at >= this.bytes.length;
  }

  value(type: number): number | Bytes | undefined {
    switch (type) {
      case 0: return this.varint();
      case 2: return this.#take(this.varint());
      case 1: case 5:
        this.#take(type === 1 ? 8 : 4);
        return undefined;
      default: throw corrupt('expected a field of protobuf', this.start + this.#at);
    }
  }

  varint(): number {
    let number = 0;
    // Ten groups of seven bits hold 64; what a double cannot hold is no length and no dimension of such a file.
    for (let group = 0; group < 10; group++) {
      const byte = this.bytes[this.#at];
      if (byte === undefined) throw corrupt('it ends within a number', this.start + this.#at);
      this.#at++;
      number += (byte & 0x7f) * 2 ** (7 * group);
      if (byte < 0x80) return number;
    }
    throw corrupt('a number of more than 64 bits', this.start + this.#at);
  }

  #take(length: number): Bytes {
    if (length > this.bytes.length - this.#at) throw corrupt('it ends within a field', this.start + this.#at);
    const taken = new Bytes(this.bytes.subarray(this.#at, this.#at + length), this.start + this.#at);
    this.#at += length;
    return taken;
  }
}

function corrupt(reason: string, offset: number): UniversalAiError {
  return new UniversalAiError('UAT_CORRUPT_VALUE', `the model is not a sound ONNX file: ${reason} (at byte ${offset}); pull \`silero-vad-6\` again`);
}
