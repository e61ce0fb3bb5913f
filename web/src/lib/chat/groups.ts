import type { ChatHead } from './types';

export type GroupId = 'pinned' | 'today' | 'yesterday' | 'week' | 'older';

/** By age of the last change in whole days of this place; pinned ones first. Empty groups are left out. */
export function groupChats(heads: readonly ChatHead[], now: number): { id: GroupId; heads: ChatHead[] }[] {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  const day = 86_400_000;
  const groups: Record<GroupId, ChatHead[]> = { pinned: [], today: [], yesterday: [], week: [], older: [] };
  for (const head of heads) {
    const id = head.pinned ? 'pinned' : head.changed >= midnight ? 'today' : head.changed >= midnight - day ? 'yesterday' : head.changed >= midnight - 7 * day ? 'week' : 'older';
    groups[id].push(head);
  }
  return (Object.keys(groups) as GroupId[]).map((id) => ({ id, heads: groups[id] })).filter((group) => group.heads.length > 0);
}
