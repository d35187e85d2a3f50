// The same question without a server: the class finds or starts the local engine by itself.
//   node examples/node-class.mjs "Why is the sky blue?"

import { FastLLMCoordinator } from 'universal-ai-tools';

const question = process.argv[2] ?? 'What is the capital of France? Answer in one short sentence.';
const coordinator = new FastLLMCoordinator();

console.log(`  backend    ${coordinator.backend.kind}: ${coordinator.backend.reason}`);
console.log(`  question   ${question}`);
process.stdout.write('  answer     ');
let firstAt, usage, routing;
for await (const chunk of coordinator.stream({ model: 'smollm2-135m', messages: [{ role: 'user', content: question }], temperature: 0, max_tokens: 32, stream_options: { include_usage: true } })) {
  firstAt ??= performance.now();
  process.stdout.write(chunk.choices[0]?.delta?.content ?? '');
  usage = chunk.usage ?? usage;
  routing = chunk.routing ?? routing;
}
console.log(`\n  model      ${routing.model}`);
console.log(`  endpoint   ${routing.endpoint}`);
console.log(`  speed      ${(usage.completion_tokens / ((performance.now() - firstAt) / 1000)).toFixed(0)} tokens/s after the first (${usage.prompt_tokens} + ${usage.completion_tokens} tokens)`);
console.log(`  overhead   ${routing.overheadUs} µs in the coordinator`);
await coordinator.close();
