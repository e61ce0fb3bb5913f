import { describe, expect, it } from 'vitest';
import { fromJson, toJson, toMarkdown } from './transfer';
import { newConversation, newMessage, pathTo } from './tree';

function sample() {
  const conversation = newConversation('m');
  conversation.title = 'Colours';
  conversation.settings = { system: 'Be brief.', parameters: { temperature: 0 }, protocol: 'anthropic', tools: ['calculator'] };
  const question = newMessage('user', null, { text: 'Name one.', attachments: [{ name: 'a.txt', type: 'text/plain', bytes: 1, text: 'x' }] });
  const red = newMessage('assistant', question.id, { text: 'Red', model: 'm', finish: 'stop', reasoning: 'hm', reasoningMs: 5 });
  const blue = newMessage('assistant', question.id, { text: 'Blue', model: 'm', finish: 'stop' });
  conversation.messages = [question, red, blue];
  conversation.current = red.id;
  return conversation;
}

describe('conversations as files', () => {
  it('come back with all their branches', () => {
    const before = sample();
    const after = fromJson(toJson(before));
    expect(after.id).not.toBe(before.id);
    expect(after.title).toBe('Colours');
    expect(after.settings).toEqual(before.settings);
    expect(after.messages.map((each) => each.text)).toEqual(['Name one.', 'Red', 'Blue']);
    expect(pathTo(after.messages, after.current).map((each) => each.text)).toEqual(['Name one.', 'Red']);
    expect(after.messages[0]?.attachments).toEqual(before.messages[0]?.attachments);
    expect(after.messages[1]).toMatchObject({ reasoning: 'hm', reasoningMs: 5, finish: 'stop' });
  });

  it.each([
    ['not JSON', 'this file is not JSON'],
    ['[]', 'not a conversation'],
    ['{"format":"mlxd-conversation","version":2,"conversation":{}}', 'version 2'],
    ['{"format":"mlxd-conversation","version":1,"conversation":{"messages":[{"id":"a","role":"root"}]}}', 'no role'],
    ['{"format":"mlxd-conversation","version":1,"conversation":{"messages":[{"id":"a","role":"user","parent":"b"}]}}', 'before the one'],
  ])('that are none are refused: %s', (text, message) => expect(() => fromJson(text)).toThrow(message));

  it('keep no types that a stranger made up', () => {
    const odd = { format: 'mlxd-conversation', version: 1, conversation: { title: { a: 1 }, current: 5, settings: [], messages: [{ id: 'a', role: 'user', text: 7, attachments: ['x', { name: 1 }] }] } };
    const read = fromJson(JSON.stringify(odd));
    expect(read).toMatchObject({ title: '', settings: { system: '', parameters: {} } });
    expect(read.messages[0]).toMatchObject({ text: '', attachments: [{ name: '', text: '', bytes: 0 }] });
  });

  it('are read by people as Markdown of the branch on screen', () => {
    const text = toMarkdown(sample());
    expect(text).toContain('# Colours');
    expect(text).toContain('## m\n\nRed');
    expect(text).not.toContain('Blue');
  });
});
