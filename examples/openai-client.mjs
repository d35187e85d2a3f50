// The official OpenAI client against `uat serve`: only the base URL is another.
//   OPENAI_BASE_URL=http://127.0.0.1:8642/v1 node examples/openai-client.mjs "Why is the sky blue?"

import OpenAI from 'openai';

const question = process.argv[2] ?? 'What is the capital of France? Answer in one short sentence.';
const client = new OpenAI({ apiKey: 'none', baseURL: process.env.OPENAI_BASE_URL ?? 'http://127.0.0.1:8642/v1' });

const { data: stream, response } = await client.chat.completions
  .create({ model: 'smollm2-135m', messages: [{ role: 'user', content: question }], temperature: 0, max_tokens: 32, stream: true, stream_options: { include_usage: true } })
  .withResponse();

console.log(`  question   ${question}`);
process.stdout.write('  answer     ');
let firstAt, usage;
for await (const chunk of stream) {
  firstAt ??= performance.now();
  process.stdout.write(chunk.choices[0]?.delta?.content ?? '');
  usage = chunk.usage ?? usage;
}
const header = name => response.headers.get(name);
console.log(`\n  model      ${header('x-uat-model')}`);
console.log(`  endpoint   ${header('x-uat-endpoint')}`);
console.log(`  speed      ${(usage.completion_tokens / ((performance.now() - firstAt) / 1000)).toFixed(0)} tokens/s after the first (${usage.prompt_tokens} + ${usage.completion_tokens} tokens)`);
console.log(`  overhead   ${header('x-uat-overhead-us')} µs in the gateway`);
