import { describe, expect, it } from 'vitest';
import { PARAMETERS, problemOf, requestParameters } from './parameters';
import { buildRequest, pythonLiteral, requestMessages, snippet } from './request';
import { newMessage } from './tree';

const settings = { system: '', parameters: {} };

describe('the request of a conversation', () => {
  it('has the system prompt, attached files and turns in their order', () => {
    const path = [
      newMessage('user', null, { text: 'What is this?', attachments: [{ name: 'a.py', type: 'text/plain', bytes: 5, text: 'x = 1' }] }),
      newMessage('assistant', 'a', { text: 'Code.', reasoning: 'hm', finish: 'stop' }),
      newMessage('user', 'b', { text: 'Thanks' }),
    ];
    expect(requestMessages(path, { system: 'Be brief.', parameters: {} })).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: '<file name="a.py">\nx = 1\n</file>\n\nWhat is this?' },
      { role: 'assistant', content: 'Code.' },
      { role: 'user', content: 'Thanks' },
    ]);
  });

  it('leaves out answers that failed before a word', () => {
    const path = [newMessage('user', null, { text: 'a' }), newMessage('assistant', 'a', { finish: 'failed' })];
    expect(requestMessages(path, settings)).toEqual([{ role: 'user', content: 'a' }]);
  });

  it('sends tool calls with their results behind them', () => {
    const path = [newMessage('assistant', null, { toolCalls: [{ id: 'x', name: 'add', arguments: '{}', result: '3' }] })];
    expect(requestMessages(path, settings)).toEqual([
      { role: 'assistant', content: '', tool_calls: [{ id: 'x', type: 'function', function: { name: 'add', arguments: '{}' } }] },
      { role: 'tool', tool_call_id: 'x', content: '3' },
    ]);
  });

  it('sends what is set and nothing else', () => {
    expect(requestParameters({})).toEqual({});
    expect(requestParameters({ temperature: 0, top_k: 40, stop: [], seed: undefined })).toEqual({ temperature: 0, top_k: 40 });
    expect(requestParameters({ temperature: 9 })).toEqual({});
    expect(requestParameters({ top_logprobs: 3 })).toEqual({ top_logprobs: 3, logprobs: true });
    expect(buildRequest('m', [], settings)).toMatchObject({ model: 'm', stream: true, stream_options: { include_usage: true } });
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

describe('snippets', () => {
  const request = { model: 'm', messages: [{ role: 'user', content: "it's \"quoted\"\n$HOME" }], top_k: 5, temperature: 0.5, stream: true };

  it('quote for the shell', () => {
    const text = snippet('curl', request, 'http://127.0.0.1:1', 'key');
    expect(text).toContain(`it'\\''s`);
    expect(text).not.toContain('stream');
  });

  it('put what the SDK does not know into extra_body', () => {
    const text = snippet('python', request, 'http://127.0.0.1:1', 'key');
    expect(text).toContain('temperature=0.5');
    expect(text).toMatch(/extra_body=\{\n\s+"top_k": 5,\n/);
  });

  it('write Python’s literals', () => {
    expect(pythonLiteral({ a: [true, null, 'x'], b: {} })).toBe('{\n    "a": [\n        True,\n        None,\n        "x",\n    ],\n    "b": {},\n}');
  });
});
