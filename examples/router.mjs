// A request that leaves it to the router who answers: `auto` in place of a model's name. `uat explain ID` says why.
//   OPENAI_BASE_URL=http://127.0.0.1:8642/v1 node examples/router.mjs "Why is the sky blue?" my-request

import OpenAI from 'openai';

const question = process.argv[2] ?? 'What is the capital of France? Answer in one short sentence.';
const id = process.argv[3] ?? 'my-request';
const client = new OpenAI({ apiKey: 'none', baseURL: process.env.OPENAI_BASE_URL ?? 'http://127.0.0.1:8642/v1' });

const { data: answer, response } = await client.chat.completions
  .create({ model: 'auto', messages: [{ role: 'user', content: question }], temperature: 0, max_tokens: 32 }, { headers: { 'x-request-id': id } })
  .withResponse();

console.log(`  question   ${question}`);
console.log(`  answer     ${answer.choices[0].message.content}`);
console.log(`  model      ${response.headers.get('x-uat-model')}, chosen for auto`);
