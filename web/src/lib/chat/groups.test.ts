import { expect, it } from 'vitest';
import { groupChats } from './groups';

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
