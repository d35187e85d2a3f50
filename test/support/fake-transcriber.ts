import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A question as the fake saw it. */
export interface Asked {
  path: string;
  authorization: string | undefined;
  fields: Record<string, string[]>;
  /** A WAV file. */
  file: Buffer;
}

/** What the fake answers: a status and a body, or `'never'`. */
export type Answer = { status: number; body: string; headers?: Record<string, string> } | 'never';

/** A server with OpenAI's `/v1/audio/transcriptions` that answers as told. */
export class FakeTranscriber {
  readonly asked: Asked[] = [];
  readonly #server: Server;
  #answers: Answer[] = [];
  /** Called when a question has come. */
  heard: () => void = () => undefined;
  /** Called when a client has gone before its answer. */
  left: () => void = () => undefined;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<FakeTranscriber> {
    const server = createServer();
    const fake = new FakeTranscriber(server);
    server.on('request', (request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('close', () => { if (!response.writableFinished) fake.left(); });
      request.on('end', () => {
        const boundary = /boundary=(\S+)/.exec(request.headers['content-type'] ?? '')?.[1] ?? '';
        fake.asked.push({ path: request.url ?? '', authorization: request.headers.authorization, ...parts(Buffer.concat(pieces), boundary) });
        const answer = fake.#answers.length > 1 ? fake.#answers.shift()! : fake.#answers[0] ?? 'never';
        fake.heard();
        if (answer !== 'never') response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(answer.body);
      });
    });
    await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve); });
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Forgets what was asked; from now on these are given in turn, the last again and again. */
  answer(...answers: Answer[]): void {
    this.asked.length = 0;
    this.#answers = answers;
    this.heard = this.left = () => undefined;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise(resolve => { this.#server.close(resolve); });
  }
}

/** `multipart/form-data`, as far as clients of this path write it. */
function parts(body: Buffer, boundary: string): { fields: Record<string, string[]>; file: Buffer } {
  const fields: Record<string, string[]> = {};
  let file = Buffer.alloc(0);
  const mark = Buffer.from(`--${boundary}`);
  for (let at = body.indexOf(mark); at >= 0;) {
    const next = body.indexOf(mark, at + mark.length);
    if (next < 0) break;
    const part = body.subarray(at + mark.length + 2, next - 2);
    const split = part.indexOf('\r\n\r\n');
    const name = /name="([^"]+)"/.exec(part.subarray(0, split).toString())?.[1] ?? '';
    const value = part.subarray(split + 4);
    if (name === 'file') file = Buffer.from(value);
    else (fields[name] ??= []).push(value.toString());
    at = next;
  }
  return { fields, file };
}
