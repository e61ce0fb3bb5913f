import { describe, expect, it } from 'vitest';
import { byFolder, groupChats } from './groups';

it('groups chats by whole days, pinned ones first', () => {
  const now = new Date(2026, 5, 15, 0, 30).getTime();
  const head = (id: string, changed: number, pinned = false) => ({ id, title: id, folder: null, pinned, model: '', created: 0, changed });
  const groups = groupChats(
    [
      head('today', now - 60_000),
      head('yesterday', now - 60 * 60_000),
      head('week', now - 3 * 86_400_000),
      head('older', now - 30 * 86_400_000),
      head('pin', now - 90 * 86_400_000, true),
    ],
    now,
  );
  expect(groups.map((group) => [group.id, group.heads.map((each) => each.id)])).toEqual([
    ['pinned', ['pin']],
    ['today', ['today']],
    ['yesterday', ['yesterday']],
    ['week', ['week']],
    ['older', ['older']],
  ]);
  expect(groupChats([], now)).toEqual([]);
});

describe('conversations in folders', () => {
  const head = (id: string, folder: string | null, pinned = false) => ({ id, title: id, folder, pinned, model: '', created: 0, changed: 0 });

  it('stand there by its name, but for pinned ones and those whose folder is gone', () => {
    const folders = [
      { id: 'w', name: 'Work' },
      { id: 'h', name: 'Home' },
      { id: 'e', name: 'Empty' },
    ];
    const parts = byFolder([head('a', 'w'), head('b', null), head('c', 'h'), head('d', 'w', true), head('f', 'gone'), head('g', 'w')], folders);
    expect(parts.folders.map(({ folder, heads }) => [folder.name, heads.map(({ id }) => id)])).toEqual([
      ['Empty', []],
      ['Home', ['c']],
      ['Work', ['a', 'g']],
    ]);
    expect(parts.others.map(({ id }) => id)).toEqual(['b', 'd', 'f']);
  });
});
