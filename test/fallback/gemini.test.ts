import { describe, expect, it } from 'vitest';

import { ErrorInAnswer, NotOfTheDialect } from '../../src/fallback/fast-llm-coordinator/dialect.js';
import { gemini } from '../../src/fallback/fast-llm-coordinator/dialects/gemini/gemini.js';

// The cases of `llm_wire::gemini`'s own tests: what the core says, the fallback says too.

type Fields = Record<string, unknown>;
const HI = [{ role: 'user', content: 'Hi' }];
const IDS = { id: 'c1', created: 7, model: 'm' };

const said = (fields: Fields, model = 'gemini-2.5-flash'): { body: Fields; dropped: string[] } => gemini.chat.request({ model: 'm', messages: HI, ...fields }, model, false, undefined);

function fieldOf(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return (error as { details?: { field?: string } }).details?.field ?? (error as Error).message.split(':')[0];
  }
}

describe('a request to Gemini', () => {
  const tool = (name: string): Fields => ({ type: 'function', function: { name } });
  const schema = { type: 'object', properties: { z: { $ref: '#/$defs/z' } }, $defs: { z: { type: ['string', 'null'] } }, additionalProperties: false };

  it.each<[string, Fields, Fields, string[]]>([
    ['says parameters by Gemini’s names', {
      temperature: 0.5, top_p: 0.9, top_k: 40, max_tokens: 9, stop: 'END', n: 3, seed: 7, presence_penalty: -1, frequency_penalty: 1, logprobs: true, top_logprobs: 2, stream: true,
    }, { generationConfig: {
      temperature: 0.5, topP: 0.9, topK: 40, maxOutputTokens: 9, stopSequences: ['END'], candidateCount: 3, seed: 7, presencePenalty: -1, frequencyPenalty: 1, responseLogprobs: true, logprobs: 2,
    } }, []],
    ['leaves out what says nothing', {
      n: 1, logprobs: false, top_logprobs: 0, logit_bias: {}, parallel_tool_calls: true, top_k: -1, response_format: { type: 'text' }, modalities: ['text'], tools: [], tool_choice: 'auto', temperature: null,
    }, {}, []],
    ['takes the newer of two limits', { max_tokens: 9, max_completion_tokens: 5 }, { generationConfig: { maxOutputTokens: 5 } }, []],
    ['names what changes no meaning', {
      user: 'u', metadata: {}, seed: 3_000_000_000, min_p: 0.1, service_tier: 'flex', tools: [{ type: 'function', function: { name: 'f', strict: true }, cache_control: { type: 'ephemeral' } }],
    }, { tools: [{ functionDeclarations: [{ name: 'f' }] }] }, ['tools[].function.strict', 'tools[].cache_control', 'user', 'metadata', 'seed', 'min_p', 'service_tier']],
    ['passes schemas unchanged', {
      tools: [{ type: 'function', function: { name: 'f', description: 'd', parameters: schema } }], response_format: { type: 'json_schema', json_schema: { name: 'n', strict: true, schema } },
    }, { tools: [{ functionDeclarations: [{ name: 'f', description: 'd', parametersJsonSchema: schema }] }], generationConfig: { responseMimeType: 'application/json', responseJsonSchema: schema } }, []],
    ['asks for JSON', { response_format: { type: 'json_object' } }, { generationConfig: { responseMimeType: 'application/json' } }, []],
    ['asks for images', { modalities: ['text', 'image'] }, { generationConfig: { responseModalities: ['TEXT', 'IMAGE'] } }, []],
  ])('%s', (_, fields, expected, dropped) => {
    expect(said(fields)).toEqual({ body: { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }], ...expected }, dropped });
  });

  const among = (mode: string): Fields => ({ type: 'allowed_tools', allowed_tools: { mode, tools: [tool('g'), tool('h')] } });
  it.each<[unknown, unknown, string[]]>([
    ['auto', undefined, ['f', 'g', 'h']], ['none', { mode: 'NONE' }, ['f', 'g', 'h']], ['required', { mode: 'ANY' }, ['f', 'g', 'h']],
    [tool('g'), { mode: 'ANY', allowedFunctionNames: ['g'] }, ['f', 'g', 'h']], [among('required'), { mode: 'ANY', allowedFunctionNames: ['g', 'h'] }, ['f', 'g', 'h']], [among('auto'), undefined, ['g', 'h']],
  ])('says the choice of a tool: %j', (tool_choice, config, names) => {
    const { body } = said({ tools: ['f', 'g', 'h'].map(tool), tool_choice });
    expect((body['toolConfig'] as Fields | undefined)?.['functionCallingConfig']).toEqual(config);
    expect((body['tools'] as [{ functionDeclarations: { name: string }[] }])[0].functionDeclarations.map(({ name }) => name)).toEqual(names);
  });

  it.each<[string, string, Fields]>([
    ['none', 'gemini-2.5-flash', { thinkingBudget: 0 }], ['minimal', 'gemini-2.5-pro', { thinkingBudget: 1024, includeThoughts: true }], ['medium', 'models/gemini-2.5-pro', { thinkingBudget: 8192, includeThoughts: true }],
    ['high', 'gemini-2.5-flash', { thinkingBudget: 24_576, includeThoughts: true }], ['minimal', 'gemini-3-flash-preview', { thinkingLevel: 'MINIMAL', includeThoughts: true }],
    ['minimal', 'gemini-3.1-pro', { thinkingLevel: 'LOW', includeThoughts: true }], ['high', 'gemini-flash-latest', { thinkingLevel: 'HIGH', includeThoughts: true }],
  ])('asks for thinking as each generation takes it: %s of %s', (reasoning_effort, model, thinkingConfig) => {
    expect(said({ reasoning_effort }, model).body['generationConfig']).toEqual({ thinkingConfig });
  });

  it('holds a conversation with images and parallel calls', () => {
    const image = (url: string): Fields => ({ type: 'image_url', image_url: { url } });
    const messages = [
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', content: [
        { type: 'text', text: 'What is it?' }, image('data:image/png;base64,iVBO'), image('https://x/y.JPG?z=1.gif'), image('gs://bucket/z'),
        { type: 'input_audio', input_audio: { data: 'UklG', format: 'wav' } }, { type: 'file', file: { file_data: 'data:application/pdf;base64,JVBE' } },
      ] },
      { role: 'user', content: 'Quick!' },
      { role: 'assistant', content: null, refusal: null, annotations: [], reasoning_content: 'Hm.', tool_calls: [
        { id: 'a', type: 'function', function: { name: 'look', arguments: '{"at":1}' } }, { id: 'b', type: 'function', function: { name: 'smell', arguments: '' } },
      ] },
      { role: 'tool', content: 'a cat', tool_call_id: 'b' }, { role: 'tool', content: '{"seen":[1]}', tool_call_id: 'a' },
      { role: 'user', content: 'So?' }, { role: 'system', content: 'Be kind.' },
    ];
    expect(said({ messages }).body).toEqual({
      systemInstruction: { parts: [{ text: 'Be brief.' }, { text: 'Be kind.' }] },
      contents: [
        { role: 'user', parts: [
          { text: 'What is it?' }, { inlineData: { mimeType: 'image/png', data: 'iVBO' } }, { fileData: { fileUri: 'https://x/y.JPG?z=1.gif', mimeType: 'image/jpeg' } }, { fileData: { fileUri: 'gs://bucket/z' } },
          { inlineData: { mimeType: 'audio/wav', data: 'UklG' } }, { inlineData: { mimeType: 'application/pdf', data: 'JVBE' } }, { text: 'Quick!' },
        ] },
        { role: 'model', parts: [{ text: 'Hm.', thought: true }, { functionCall: { id: 'a', name: 'look', args: { at: 1 } } }, { functionCall: { id: 'b', name: 'smell', args: {} } }] },
        { role: 'user', parts: [{ functionResponse: { id: 'b', name: 'smell', response: { output: 'a cat' } } }, { functionResponse: { id: 'a', name: 'look', response: { seen: [1] } } }] },
        { role: 'user', parts: [{ text: 'So?' }] },
      ],
    });
  });

  it('has signatures on the parts that they came from, and nobody else’s', () => {
    const own = (detail: Fields): Fields => ({ ...detail, format: 'google-gemini-v1' });
    const encrypted = (id: string, data: string): Fields => own({ type: 'reasoning.encrypted', id, data });
    const call = (id: string): Fields => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } });
    const messages = [...HI, {
      role: 'assistant', content: 'Well', reasoning_content: 'Hm.So.', tool_calls: [call('a'), call('b')], images: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,iVBO' } }],
      reasoning_details: [
        own({ type: 'reasoning.text', text: 'Hm.', signature: '1' }), own({ type: 'reasoning.text', text: 'So.', signature: '2' }), encrypted('b', '5'), encrypted('content', '3'), encrypted('image', '4'),
        own({ type: 'reasoning.encrypted', data: '6' }), { type: 'reasoning.text', text: 'Hm.', signature: 'theirs', format: 'anthropic-claude-v1' },
      ],
    }];
    const { body, dropped } = said({ messages });
    expect((body['contents'] as Fields[])[1]).toEqual({ role: 'model', parts: [
      { text: 'Hm.', thought: true, thoughtSignature: '1' }, { text: 'So.', thought: true, thoughtSignature: '2' }, { text: 'Well', thoughtSignature: '3' },
      { inlineData: { mimeType: 'image/png', data: 'iVBO' }, thoughtSignature: '4' }, { functionCall: { id: 'a', name: 'f', args: {} } },
      { functionCall: { id: 'b', name: 'f', args: {} }, thoughtSignature: '5' }, { text: '', thoughtSignature: '6' },
    ] });
    expect(dropped).toEqual(['messages[].reasoning_details']);
  });

  it.each<[Fields, string]>([
    [{ n: 9 }, 'n'], [{ logit_bias: { 5: 1 } }, 'logit_bias'], [{ parallel_tool_calls: false }, 'parallel_tool_calls'], [{ stop: ['1', '2', '3', '4', '5', '6'] }, 'stop'], [{ reasoning_effort: 'xhigh' }, 'reasoning_effort'],
    [{ response_format: { type: 'grammar' } }, 'response_format.type'], [{ response_format: { type: 'json_schema' } }, 'response_format.json_schema.schema'], [{ modalities: ['text', 'audio'] }, 'modalities'],
    [{ tool_choice: 'required' }, 'tool_choice'], [{ tools: [{ type: 'custom', custom: { name: 'f' } }] }, 'tools[0].type'], [{ grammar: 'root ::= x' }, 'grammar'], [{ web_search_options: {} }, 'web_search_options'],
    [{ messages: [{ role: 'system', content: 'Be brief.' }] }, 'messages'], [{ messages: [{ role: 'assistant', content: '', audio: { id: 'a' } }] }, 'messages[0].audio'],
    [{ messages: [{ role: 'assistant', content: '', tool_calls: [{ id: 'a', function: { name: 'f', arguments: '{' } }] }] }, 'messages[0].tool_calls[0].function.arguments'],
    [{ messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] }, 'messages[0].content[0].type'],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x.png' } }] }] }, 'messages[0].content[0].image_url.url'],
    [{ messages: [{ role: 'tool', content: 'x', tool_call_id: 'nobody’s' }] }, 'messages[0].tool_call_id'], [{ messages: [{ role: 'function', name: 'f', content: 'x' }] }, 'messages[0].role'],
  ])('that it cannot be asked is refused by name: %j', (fields, field) => {
    expect(fieldOf(() => said(fields))).toBe(field);
  });
});

describe('an answer of Gemini’s', () => {
  const parts = (...list: Fields[]): Fields => ({ candidates: [{ content: { role: 'model', parts: list }, index: 0 }] });
  const ended = (finishReason: string): Fields => ({ candidates: [{ content: { parts: [{ text: '' }], role: 'model' }, finishReason, index: 0 }] });
  const sse = (documents: Fields[]): Buffer => Buffer.from(documents.map(document => `data: ${JSON.stringify(document)}\r\n\r\n`).join(''));

  function streamed(documents: Fields[], cut = 0): Fields[] {
    const decoder = gemini.chunks(IDS, true);
    const bytes = sse(documents);
    const chunks = [...decoder.push(bytes.subarray(0, cut)), ...decoder.push(bytes.subarray(cut)), ...decoder.end()];
    expect(decoder.failure).toBeUndefined();
    return chunks as unknown as Fields[];
  }
  const first = (chunk: Fields | undefined): { delta: Fields; finish_reason: string | null } => (chunk!['choices'] as [{ delta: Fields; finish_reason: string | null }])[0];

  it('becomes chunks, of which the last has the reason, whichever documents had one', () => {
    const begin = parts({ text: 'Hm.', thought: true });
    (begin['candidates'] as Fields[])[0]!['finishReason'] = 'STOP';
    const end = { ...ended('MAX_TOKENS'), usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 4, thoughtsTokenCount: 5, cachedContentTokenCount: 2, totalTokenCount: 12 } };
    const chunks = streamed([{ ...begin, usageMetadata: { promptTokenCount: 3 } }, parts({ text: 'Hel' }), parts({ text: 'lo' }), end]);
    expect(chunks.slice(0, 5).map(chunk => first(chunk).delta)).toEqual([{ role: 'assistant', content: '' }, { reasoning_content: 'Hm.' }, { content: 'Hel' }, { content: 'lo' }, {}]);
    expect(chunks.slice(0, 5).map(chunk => first(chunk).finish_reason)).toEqual([null, null, null, null, 'length']);
    expect(chunks[5]).toMatchObject({ id: 'c1', created: 7, model: 'm', choices: [], usage: {
      prompt_tokens: 3, completion_tokens: 9, total_tokens: 12, prompt_tokens_details: { cached_tokens: 2 }, completion_tokens_details: { reasoning_tokens: 5 },
    } });
  });

  it('counts and signs parallel calls, wherever its bytes are cut', () => {
    const documents = [
      parts({ functionCall: { name: 'f', args: { x: 'Größe\n\n' } }, thoughtSignature: 's' }), parts({ functionCall: { id: 'b', name: 'g' } }, { functionCall: { name: 'h', args: {} } }), ended('STOP'),
    ];
    const call = (index: number, id: string, name: string, args: unknown): Fields[] => [{ index, id, type: 'function', function: { name, arguments: JSON.stringify(args) } }];
    const expected = streamed(documents);
    expect(expected.slice(1).map(chunk => first(chunk))).toEqual([
      { index: 0, delta: { tool_calls: call(0, 'call_c1_0', 'f', { x: 'Größe\n\n' }), reasoning_details: [{ type: 'reasoning.encrypted', data: 's', format: 'google-gemini-v1', id: 'call_c1_0' }] }, finish_reason: null },
      { index: 0, delta: { tool_calls: call(1, 'b', 'g', {}) }, finish_reason: null }, { index: 0, delta: { tool_calls: call(2, 'call_c1_2', 'h', {}) }, finish_reason: null },
      { index: 0, delta: {}, finish_reason: 'tool_calls' },
    ]);
    for (let cut = 0; cut <= sse(documents).length; cut += 1) expect(streamed(documents, cut)).toEqual(expected);
  });

  it('becomes a completion', () => {
    const answer = {
      candidates: [{
        content: { role: 'model', parts: [{ text: 'Hm.', thought: true, thoughtSignature: '1' }, { text: 'Hel' }, { text: 'lo', thoughtSignature: '2' }, { inlineData: { mimeType: 'image/png', data: 'iVBO' } }] }, finishReason: 'STOP',
        logprobsResult: { chosenCandidates: [{ token: 'é', tokenId: 5, logProbability: -0.5 }], topCandidates: [{ candidates: [{ token: 'e', logProbability: -1.5 }] }] },
      }],
      usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 4, toolUsePromptTokenCount: 1 }, modelVersion: 'x',
    };
    expect(gemini.chat.answer(answer, IDS, {})).toEqual({
      id: 'c1', object: 'chat.completion', created: 7, model: 'm', usage: { prompt_tokens: 4, completion_tokens: 4, total_tokens: 8 },
      choices: [{
        index: 0, finish_reason: 'stop', logprobs: { content: [{ token: 'é', logprob: -0.5, bytes: [195, 169], top_logprobs: [{ token: 'e', logprob: -1.5, bytes: [101] }] }] },
        message: {
          role: 'assistant', content: 'Hello', reasoning_content: 'Hm.', images: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,iVBO' } }],
          reasoning_details: [{ type: 'reasoning.text', text: 'Hm.', signature: '1', format: 'google-gemini-v1' }, { type: 'reasoning.encrypted', data: '2', format: 'google-gemini-v1', id: 'content' }],
        },
      }],
    });
  });

  it('has a choice for every candidate', () => {
    const both = { candidates: [{ index: 1, content: { parts: [{ text: 'b' }] }, finishReason: 'STOP' }, { content: { parts: [{ functionCall: { name: 'f' } }] }, index: 0, finishReason: 'STOP' }] };
    expect(gemini.chat.answer(both, IDS, {})['choices']).toMatchObject([{ index: 0, finish_reason: 'tool_calls' }, { index: 1, message: { role: 'assistant', content: 'b' }, finish_reason: 'stop' }]);
  });

  it.each([
    ['STOP', 'stop'], ['MAX_TOKENS', 'length'], ['SAFETY', 'content_filter'], ['SPII', 'content_filter'], ['MALFORMED_FUNCTION_CALL', undefined], ['OTHER', undefined], ['A_REASON_OF_TOMORROW', undefined],
  ])('that ends with %s ends with %s', (reason, expected) => {
    const read = (): unknown => (gemini.chat.answer(ended(reason), IDS, {})['choices'] as [{ finish_reason: string }])[0].finish_reason;
    if (expected === undefined) expect(read).toThrow(ErrorInAnswer);
    else expect(read()).toBe(expected);
  });

  it('to a blocked prompt is one that refuses', () => {
    const chunks = streamed([{ promptFeedback: { blockReason: 'PROHIBITED_CONTENT' }, usageMetadata: { promptTokenCount: 3 } }]);
    expect(first(chunks[1]).delta['refusal']).toContain('PROHIBITED_CONTENT');
    expect(first(chunks[2]).finish_reason).toBe('content_filter');
  });

  it('that is cut has no end', () => {
    const decoder = gemini.chunks(IDS, true);
    decoder.push(sse([parts({ text: 'Hel' })]));
    expect([decoder.end(), decoder.whole, decoder.over]).toEqual([[], false, false]);
  });

  it.each<[unknown, string]>([
    [[], '$'], [7, '$'], [[{ candidates: [] }], '$'], [{}, 'candidates'], [parts({ text: 'a' }, { executableCode: {} }), 'candidates[0].content.parts[1]'],
    [parts({ inlineData: { mimeType: 'audio/wav', data: 'UklG' } }), 'candidates[0].content.parts[0].inlineData.mimeType'],
  ])('that is none is told so: %j', (document, field) => {
    try {
      gemini.chat.answer(document, IDS, {});
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(NotOfTheDialect);
      if (field !== '$') expect((error as Error).message.split(':')[0]).toBe(field);
    }
  });
});
