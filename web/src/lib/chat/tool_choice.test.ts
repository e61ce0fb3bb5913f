import { describe, expect, it } from 'vitest';
import { anthropicToolFields, chatToolFields, responsesToolFields, toolChoiceOf } from './tool_choice';
import type { Asked } from './protocol';
import { newMessage } from './tree';
import type { ChatSettings } from './types';

const tools = [{ name: 'add', description: 'Adds', parameters: { type: 'object' } }];
const asked = (settings: Partial<ChatSettings>, rest: Partial<Asked> = {}): Asked => ({
  model: 'm',
  path: [newMessage('user', null, { text: 'Hi' })],
  settings: { system: '', parameters: {}, ...settings },
  tools,
  ...rest,
});

describe('the choice of tools', () => {
  it('says nothing where the defaults are meant', () => {
    for (const fields of [chatToolFields, responsesToolFields, anthropicToolFields]) expect(fields(asked({}))).toEqual({});
  });

  it('names a tool in the words of each protocol', () => {
    const settings = { toolChoice: { name: 'add' } };
    expect(chatToolFields(asked(settings))).toEqual({ tool_choice: { type: 'function', function: { name: 'add' } } });
    expect(responsesToolFields(asked(settings))).toEqual({ tool_choice: { type: 'function', name: 'add' } });
    expect(anthropicToolFields(asked(settings))).toEqual({ tool_choice: { type: 'tool', name: 'add' } });
  });

  it('forces any, or forbids all', () => {
    expect(chatToolFields(asked({ toolChoice: 'required' }))).toEqual({ tool_choice: 'required' });
    expect(anthropicToolFields(asked({ toolChoice: 'required' }))).toEqual({ tool_choice: { type: 'any' } });
    expect(responsesToolFields(asked({ toolChoice: 'none' }))).toEqual({ tool_choice: 'none' });
    expect(anthropicToolFields(asked({ toolChoice: 'none', oneCall: true }))).toEqual({ tool_choice: { type: 'none' } });
    expect(chatToolFields(asked({}, { mayCall: false }))).toEqual({ tool_choice: 'none' });
  });

  it('allows one call at a time', () => {
    expect(chatToolFields(asked({ oneCall: true }))).toEqual({ parallel_tool_calls: false });
    expect(anthropicToolFields(asked({ oneCall: true }))).toEqual({ tool_choice: { type: 'auto', disable_parallel_tool_use: true } });
  });

  it('forces no call in answer to results, nor one of a tool that is not offered', () => {
    const question = newMessage('user', null, { text: 'Hi' });
    const call = newMessage('assistant', question.id, { toolCalls: [{ id: 'x', name: 'add', arguments: '{}', result: '3' }] });
    expect(toolChoiceOf(asked({ toolChoice: 'required' }, { path: [question, call] }))).toEqual({ kind: 'auto' });
    expect(toolChoiceOf(asked({ toolChoice: { name: 'gone' } }))).toEqual({ kind: 'auto' });
  });
});
