import { describe, expect, it } from 'vitest';
import { latestLeaf, newMessage, pathTo, siblingGroups, siblingsOf, titleOf, without } from './tree';
import type { Message } from './types';

function tree(...rows: [string, string | null, Message['role']?][]): Message[] {
  return rows.map(([id, parent, role]) => newMessage(role ?? 'user', parent, { id }));
}

describe('a tree of messages', () => {
  const messages = tree(['a', null], ['b', 'a', 'assistant'], ['c', 'b'], ['b2', 'a', 'assistant'], ['c2', 'b2'], ['d2', 'c2', 'assistant']);

  it('gives the path from the root to a leaf', () => {
    expect(pathTo(messages, 'd2').map((each) => each.id)).toEqual(['a', 'b2', 'c2', 'd2']);
    expect(pathTo(messages, 'c').map((each) => each.id)).toEqual(['a', 'b', 'c']);
    expect(pathTo(messages, null)).toEqual([]);
    expect(pathTo(messages, 'unknown')).toEqual([]);
  });

  it('ends even where a file made messages their own ancestors', () => {
    expect(pathTo(tree(['a', 'b'], ['b', 'a']), 'a').length).toBe(2);
  });

  it('knows siblings of one role', () => {
    const b = messages[1] as Message;
    expect(siblingsOf(messages, b).map((each) => each.id)).toEqual(['b', 'b2']);
    expect(siblingsOf(messages, messages[0] as Message)).toHaveLength(1);
  });

  it('groups siblings as it finds each one’s', () => {
    const groups = siblingGroups(messages);
    for (const message of messages) expect(groups.get(message.id)).toEqual(siblingsOf(messages, message));
  });

  it('follows the branch that was written last', () => {
    expect(latestLeaf(messages, 'a')).toBe('d2');
    expect(latestLeaf(messages, 'b')).toBe('c');
    expect(latestLeaf(messages, 'd2')).toBe('d2');
  });

  it('removes a message with all beneath it and nothing else', () => {
    expect(without(messages, 'b2').map((each) => each.id)).toEqual(['a', 'b', 'c']);
    expect(without(messages, 'a')).toEqual([]);
  });
});

describe('titles', () => {
  it.each([
    ['Hello there', 'Hello there'],
    ['\n\n# A heading\nmore', 'A heading'],
    ['```js\ncode\n```\nWhat does this do?', 'What does this do?'],
    ['   ', ''],
    ['word '.repeat(40), 'word word word word word word word word word word word word…'],
    ['x'.repeat(100), 'x'.repeat(60) + '…'],
  ])('of %j', (text, title) => expect(titleOf(text)).toBe(title));
});
