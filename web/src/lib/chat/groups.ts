// The list of conversations in parts: folders, and the others by age.
import type { ChatHead, Folder } from './types';

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

/** Folders by name, each with its conversations; and those that are in none. A pinned one stands with the pinned. */
export function byFolder(heads: readonly ChatHead[], folders: readonly Folder[]): { folders: { folder: Folder; heads: ChatHead[] }[]; others: ChatHead[] } {
  const places = new Map(folders.map((folder) => [folder.id, [] as ChatHead[]]));
  const others: ChatHead[] = [];
  for (const head of heads) {
    const place = head.pinned || head.folder === null ? undefined : places.get(head.folder);
    (place ?? others).push(head);
  }
  const sorted = [...folders].sort((a, b) => a.name.localeCompare(b.name));
  return { folders: sorted.map((folder) => ({ folder, heads: places.get(folder.id) ?? [] })), others };
}
