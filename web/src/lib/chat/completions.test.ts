import { describe, expect, it } from 'vitest';
import { PARAMETERS, problemOf, requestParameters } from './parameters';
import { chatRequest } from './completions';
import { newMessage } from './tree';
import type { ChatSettings, Message } from './types';

const settings = { system: '', parameters: {} };
const messages = (path: Message[], given: ChatSettings = settings) => chatRequest({ model: 'm', path, settings: given }).messages;

describe('the request of a conversation', () => {
  it('has the system prompt, attached files and turns in their order', () => {
    const path = [
      newMessage('user', null, { text: 'What is this?', attachments: [{ name: 'a.py', type: 'text/plain', bytes: 5, text: 'x = 1' }] }),
      newMessage('assistant', 'a', { text: 'Code.', reasoning: 'hm', finish: 'stop' }),
      newMessage('user', 'b', { text: 'Thanks' }),
    ];
    expect(messages(path, { system: 'Be brief.', parameters: {} })).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: '<file name="a.py">\nx = 1\n</file>\n\nWhat is this?' },
      { role: 'assistant', content: 'Code.' },
      { role: 'user', content: 'Thanks' },
    ]);
  });

  it('leaves out answers that failed before a word', () => {
    const path = [newMessage('user', null, { text: 'a' }), newMessage('assistant', 'a', { finish: 'failed' })];
    expect(messages(path)).toEqual([{ role: 'user', content: 'a' }]);
  });

  it('sends tool calls with their results behind them', () => {
    const path = [newMessage('assistant', null, { toolCalls: [{ id: 'x', name: 'add', arguments: '{}', result: '3' }] })];
    expect(messages(path)).toEqual([
      { role: 'assistant', content: '', tool_calls: [{ id: 'x', type: 'function', function: { name: 'add', arguments: '{}' } }] },
      { role: 'tool', tool_call_id: 'x', content: '3' },
    ]);
  });

  it('leaves out calls that never got a result', () => {
    const path = [newMessage('assistant', null, { text: 'a', toolCalls: [{ id: 'x', name: 'add', arguments: '{}' }] })];
    expect(messages(path)).toEqual([{ role: 'assistant', content: 'a' }]);
  });

  it('offers tools, and may forbid more calls', () => {
    const tools = [{ name: 'add', description: 'Adds', parameters: { type: 'object' } }];
    const request = chatRequest({ model: 'm', path: [], settings, tools });
    expect(request.tools).toEqual([{ type: 'function', function: tools[0] }]);
    expect(request).not.toHaveProperty('tool_choice');
    expect(chatRequest({ model: 'm', path: [], settings, tools, mayCall: false }).tool_choice).toBe('none');
  });

  it('sends what is set and nothing else', () => {
    expect(requestParameters({})).toEqual({});
    expect(requestParameters({ temperature: 0, top_k: 40, stop: [], seed: undefined })).toEqual({ temperature: 0, top_k: 40 });
    expect(requestParameters({ temperature: 9 })).toEqual({});
    expect(requestParameters({ top_logprobs: 3 })).toEqual({ top_logprobs: 3, logprobs: true });
    expect(chatRequest({ model: 'm', path: [], settings })).toMatchObject({ model: 'm', stream: true, stream_options: { include_usage: true } });
  });

  it('knows what is wrong with a value', () => {
    const find = (name: string) => PARAMETERS.find((each) => each.name === name)!;
    expect(problemOf(find('temperature'), 2.5)).toBe('range');
    expect(problemOf(find('top_k'), 1.5)).toBe('integer');
    expect(problemOf(find('top_k'), NaN)).toBe('number');
    expect(problemOf(find('logit_bias'), [])).toBe('json');
    expect(problemOf(find('logit_bias'), { 5: 1 })).toBeNull();
    expect(problemOf(find('seed'), undefined)).toBeNull();
  });
});
