// Where conversations are kept. One interface; the server, this browser, or nothing but this page stand behind it.
import type { ChatHead, Conversation, Folder } from '$lib/chat/types';

export interface ChatStore {
  readonly kind: 'server' | 'browser' | 'memory';
  list(): Promise<{ chats: ChatHead[]; folders: Folder[] }>;
  /** Ids of the conversations whose title or messages have the words. */
  search(text: string): Promise<string[]>;
  /** Null if there is none. */
  load(id: string): Promise<Conversation | null>;
  /** Makes a place for a new one; the id that it has there. */
  create(conversation: Conversation): Promise<string>;
  /** Keeps it as it is now. */
  save(conversation: Conversation): Promise<void>;
  remove(id: string): Promise<void>;
  /** Absent where there are no folders. */
  readonly folders?: FolderStore;
}

export interface FolderStore {
  create(name: string): Promise<Folder>;
  rename(id: string, name: string): Promise<void>;
  /** Its conversations stay, in no folder. */
  remove(id: string): Promise<void>;
}

export function headOf({ id, title, folder, pinned, model, created, changed }: ChatHead): ChatHead {
  return { id, title, folder, pinned, model, created, changed };
}

export function hasWords(conversation: Conversation, text: string): boolean {
  const wanted = text.toLowerCase().split(/\s+/).filter((word) => word !== '');
  const all = [conversation.title, ...conversation.messages.map((message) => message.text)].join('\n').toLowerCase();
  return wanted.every((word) => all.includes(word));
}
