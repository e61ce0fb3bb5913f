import { describe, expect, it } from 'vitest';
import { ApiError } from '$lib/api/http';
import { anthropicRequest, AnthropicReader } from './anthropic';
import { applyChunk } from './answer';
import { protocolOf, protocolToGoOn, type AnswerReader } from './protocol';
import { responsesRequest, ResponsesReader } from './responses';
import { newMessage } from './tree';
import type { ChatSettings, Message } from './types';

const settings: ChatSettings = { system: '', parameters: {} };
const tools = [{ name: 'add', description: 'Adds', parameters: { type: 'object', properties: {} } }];
const call = { id: 'x', name: 'add', arguments: '{"a":1}', result: '3' };
const path = [
  newMessage('user', null, { text: 'Add.' }),
  newMessage('assistant', 'a', { text: 'Well.', toolCalls: [call] }),
  newMessage('user', 'b', { text: 'Thanks' }),
];

/** The message that a stream of events makes. */
function read(reader: AnswerReader, events: object[]): Message {
  const message = newMessage('assistant', 'q');
  for (const event of events) {
    for (const chunk of reader.take({ event: '', data: JSON.stringify(event), id: '' })) applyChunk([message], chunk, 10);
  }
  return message;
}

describe('the choice of a protocol', () => {
  it('falls back to what the server speaks', () => {
    expect(protocolOf('anthropic', () => true).path).toBe('/v1/messages');
    expect(protocolOf('anthropic', () => false).id).toBe('chat');
    expect(protocolOf(undefined, () => true).id).toBe('chat');
    expect(protocolToGoOn(() => true)?.id).toBe('anthropic');
    expect(protocolToGoOn((route) => route === 'POST /v1/responses')).toBeNull();
  });
});

describe('Responses', () => {
  it('gets items, instructions and its own names of parameters', () => {
    const parameters = { max_tokens: 9, n: 3, top_k: 4, top_logprobs: 2, response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: {}, strict: true } } };
    const request = responsesRequest({ model: 'm', path, settings: { system: 'Be brief.', parameters }, tools, mayCall: false });
    expect(request).toEqual({
      model: 'm',
      instructions: 'Be brief.',
      input: [
        { role: 'user', content: 'Add.' },
        { role: 'assistant', content: 'Well.' },
        { type: 'function_call', call_id: 'x', name: 'add', arguments: '{"a":1}' },
        { type: 'function_call_output', call_id: 'x', output: '3' },
        { role: 'user', content: 'Thanks' },
      ],
      top_k: 4,
      top_logprobs: 2,
      include: ['message.output_text.logprobs'],
      max_output_tokens: 9,
      text: { format: { type: 'json_schema', name: 'answer', schema: {}, strict: true } },
      tools: [{ type: 'function', ...tools[0], strict: false }],
      tool_choice: 'none',
      store: false,
      stream: true,
    });
  });

  const usage = { input_tokens: 10, output_tokens: 5, input_tokens_details: { cached_tokens: 4 }, output_tokens_details: { reasoning_tokens: 2 } };

  it('gives reasoning, text, probabilities, usage and the end', () => {
    const reader = new ResponsesReader();
    const message = read(reader, [
      { type: 'response.created', response: {} },
      { type: 'response.reasoning_text.delta', delta: 'hm' },
      { type: 'response.reasoning_summary_text.delta', delta: '!' },
      { type: 'response.output_text.delta', delta: 'Hel', logprobs: [{ token: 'Hel', logprob: -1 }] },
      { type: 'response.output_text.delta', delta: 'lo' },
      { type: 'response.completed', response: { status: 'completed', usage } },
    ]);
    expect(message).toMatchObject({ reasoning: 'hm!', text: 'Hello', finish: 'stop', logprobs: [{ token: 'Hel' }] });
    expect(message.stats).toMatchObject({ promptTokens: 10, completionTokens: 5, cachedTokens: 4, reasoningTokens: 2 });
    expect(reader.ended).toBe(true);
  });

  it('joins calls and takes back what was none', () => {
    const added = (output_index: number, name: string) => ({ type: 'response.output_item.added', output_index, item: { type: 'function_call', call_id: `c${output_index}`, name, arguments: '' } });
    const message = read(new ResponsesReader(), [
      { type: 'response.output_item.added', output_index: 0, item: { type: 'message' } },
      added(1, 'add'),
      { type: 'response.function_call_arguments.delta', output_index: 1, delta: '{"a"' },
      { type: 'response.function_call_arguments.delta', output_index: 1, delta: ':1}' },
      { type: 'response.output_item.done', output_index: 1, item: { type: 'function_call', status: 'completed' } },
      added(2, 'none'),
      { type: 'response.output_item.done', output_index: 2, item: { type: 'function_call', status: 'incomplete' } },
      added(3, 'add'),
      { type: 'response.completed', response: { status: 'completed', usage } },
    ]);
    expect(message.toolCalls).toEqual([
      { id: 'c1', name: 'add', arguments: '{"a":1}' },
      { id: 'c3', name: 'add', arguments: '' },
    ]);
    expect(message.finish).toBe('tool_calls');
  });

  it('tells why it was cut, and of faults', () => {
    const cut = { type: 'response.incomplete', response: { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } } };
    expect(read(new ResponsesReader(), [cut]).finish).toBe('length');
    expect(() => read(new ResponsesReader(), [{ type: 'error', message: 'out of memory' }])).toThrow(new ApiError('out of memory', 500));
    expect(() => read(new ResponsesReader(), [{ type: 'response.failed', response: { error: { message: 'broken' } } }])).toThrow('broken');
  });
});

describe('Anthropic’s messages', () => {
  it('gets blocks, with results before the words that follow them', () => {
    const parameters = { temperature: 1.5, stop: ['END'], n: 2, top_logprobs: 3, reasoning_effort: 'low', response_format: { type: 'json_object' } };
    expect(anthropicRequest({ model: 'm', path, settings: { system: 'Be brief.', parameters }, tools, mayCall: false, contextTokens: 800 })).toEqual({
      model: 'm',
      max_tokens: 800,
      system: 'Be brief.',
      messages: [
        { role: 'user', content: 'Add.' },
        { role: 'assistant', content: [{ type: 'text', text: 'Well.' }, { type: 'tool_use', id: 'x', name: 'add', input: { a: 1 } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'x', content: '3' }, { type: 'text', text: 'Thanks' }] },
      ],
      temperature: 1,
      stop_sequences: ['END'],
      output_config: { format: { type: 'json_schema', schema: { type: 'object' } }, effort: 'low' },
      thinking: { type: 'adaptive' },
      tools: [{ name: 'add', description: 'Adds', input_schema: tools[0]!.parameters }],
      tool_choice: { type: 'none' },
      stream: true,
    });
  });

  it('ends with the beginning of the answer where it goes on, without thinking', () => {
    const begun = [newMessage('user', null, { text: 'Count.' }), newMessage('assistant', 'a', { text: 'One, two' })];
    const request = anthropicRequest({ model: 'm', path: begun, settings: { ...settings, parameters: { max_tokens: 5 } }, goesOn: true });
    expect(request).toMatchObject({ max_tokens: 5, messages: [{ role: 'user' }, { role: 'assistant', content: 'One, two' }] });
    expect(request).not.toHaveProperty('thinking');
  });

  it('says which result is a failure, and takes arguments that are none as none', () => {
    const failed = [newMessage('assistant', null, { toolCalls: [{ ...call, arguments: '{"a', failed: true }] })];
    expect(anthropicRequest({ model: 'm', path: failed, settings }).messages).toEqual([
      { role: 'assistant', content: [{ type: 'tool_use', id: 'x', name: 'add', input: {} }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'x', content: '3', is_error: true }] },
    ]);
  });

  it('gives thinking, text, calls, usage and the end', () => {
    const reader = new AnthropicReader();
    const message = read(reader, [
      { type: 'message_start', message: { usage: { input_tokens: 6, cache_read_input_tokens: 4, output_tokens: 0 } } },
      { type: 'ping' },
      { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'hm' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'x' } },
      { type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: 'Hello' } },
      { type: 'content_block_start', index: 2, content_block: { type: 'tool_use', id: 'x', name: 'add', input: {} } },
      { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '{"a":' } },
      { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '1}' } },
      { type: 'content_block_stop', index: 2 },
      { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 7, output_tokens_details: { thinking_tokens: 2 } } },
      { type: 'message_stop' },
    ]);
    expect(message).toMatchObject({ reasoning: 'hm', text: 'Hello', finish: 'tool_calls', toolCalls: [{ id: 'x', name: 'add', arguments: '{"a":1}' }] });
    expect(message.stats).toMatchObject({ promptTokens: 10, cachedTokens: 4, completionTokens: 7, reasoningTokens: 2 });
    expect(reader.ended).toBe(true);
  });

  it.each([
    ['end_turn', 'stop'],
    ['stop_sequence', 'stop'],
    ['max_tokens', 'length'],
    ['model_context_window_exceeded', 'length'],
    ['refusal', 'content_filter'],
  ])('ends by %s as %s', (stop_reason, finish) => {
    expect(read(new AnthropicReader(), [{ type: 'message_delta', delta: { stop_reason }, usage: {} }]).finish).toBe(finish);
  });

  it('throws an error that comes in mid-stream', () => {
    expect(() => read(new AnthropicReader(), [{ type: 'error', error: { type: 'overloaded_error', message: 'too much' } }])).toThrow('too much');
  });
});
