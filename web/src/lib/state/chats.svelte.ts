// The conversations: their list, the one on screen, and its being kept.
import type { ChatStore } from '$lib/api/chat_store';
import { headOf } from '$lib/api/chat_store';
import { newConversation } from '$lib/chat/tree';
import type { ChatHead, Conversation, Folder } from '$lib/chat/types';
import { toasts } from './toasts.svelte';

const SAVE_AFTER_MS = 400;

class Chats {
  heads = $state<ChatHead[]>([]);
  folders = $state<Folder[]>([]);
  kind = $state<ChatStore['kind']>('memory');
  hasFolders = $state(false);
  listed = $state(false);
  error = $state<string | null>(null);
  current = $state<Conversation | null>(null);
  /** Conversations with an answer under way, also while another is on screen. */
  open = new Map<string, Conversation>();
  #store: ChatStore | undefined;
  #begin: () => void = () => {};
  #started = new Promise<void>((resolve) => (this.#begin = resolve));
  #timers = new Map<string, ReturnType<typeof setTimeout>>();

  async start(store: ChatStore): Promise<void> {
    this.#store = store;
    this.kind = store.kind;
    this.hasFolders = store.folders !== undefined;
    this.#begin();
    await this.refresh();
  }

  async refresh(): Promise<void> {
    try {
      const { chats, folders } = (await this.#store?.list()) ?? { chats: [], folders: [] };
      this.heads = chats.sort((a, b) => b.changed - a.changed);
      this.folders = folders;
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
    this.listed = true;
  }

  /** A conversation that is kept once it has a message. */
  begin(model: string): Conversation {
    this.current = newConversation(model);
    return this.current;
  }

  /** Gives a new conversation the id that it has where it is kept. */
  async prepare(conversation: Conversation): Promise<void> {
    if (conversation.messages.length > 0 || !this.#store) return;
    conversation.id = await this.#store.create($state.snapshot(conversation) as Conversation);
  }

  /** Puts a conversation on the screen; false if there is none of that id. */
  async show(id: string): Promise<boolean> {
    await this.#started;
    if (this.current?.id === id) return true;
    const running = this.open.get(id);
    const conversation = running ?? (await this.#store?.load(id)) ?? null;
    this.current = conversation;
    return conversation !== null;
  }

  async search(text: string): Promise<Set<string>> {
    return new Set((await this.#store?.search(text)) ?? []);
  }

  load(id: string): Promise<Conversation | null> {
    return this.#store?.load(id) ?? Promise.resolve(null);
  }

  /** Notes that it has changed and keeps it soon; `now` at once. */
  changed(conversation: Conversation, now = false): void {
    conversation.changed = Date.now();
    this.#note(conversation);
    clearTimeout(this.#timers.get(conversation.id));
    if (now) void this.#save(conversation);
    else this.#timers.set(conversation.id, setTimeout(() => void this.#save(conversation), SAVE_AFTER_MS));
  }

  /** Adds one that came from elsewhere. */
  async add(conversation: Conversation): Promise<void> {
    await this.#save(conversation);
    await this.refresh();
  }

  async update(id: string, fields: Partial<Pick<ChatHead, 'title' | 'pinned' | 'folder'>>): Promise<void> {
    const conversation = this.current?.id === id ? this.current : (this.open.get(id) ?? (await this.load(id)));
    if (conversation === null) return;
    Object.assign(conversation, fields);
    this.#note(conversation);
    await this.#save(conversation);
  }

  async remove(id: string): Promise<Conversation | null> {
    const conversation = this.current?.id === id ? this.current : await this.load(id);
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    try {
      await this.#store?.remove(id);
    } catch (error) {
      toasts.error(error);
      return null;
    }
    this.heads = this.heads.filter((head) => head.id !== id);
    if (this.current?.id === id) this.current = null;
    return conversation === null ? null : $state.snapshot(conversation);
  }

  async createFolder(name: string): Promise<Folder | null> {
    const folder = (await this.#store?.folders?.create(name)) ?? null;
    if (folder !== null) this.folders = [...this.folders, folder];
    return folder;
  }

  async renameFolder(id: string, name: string): Promise<void> {
    await this.#store?.folders?.rename(id, name);
    this.folders = this.folders.map((each) => (each.id === id ? { ...each, name } : each));
  }

  /** Its conversations stay. */
  async removeFolder(id: string): Promise<void> {
    await this.#store?.folders?.remove(id);
    this.folders = this.folders.filter((each) => each.id !== id);
    this.heads = this.heads.map((head) => (head.folder === id ? { ...head, folder: null } : head));
    for (const conversation of [this.current, ...this.open.values()]) if (conversation?.folder === id) conversation.folder = null;
  }

  #note(conversation: Conversation): void {
    if (conversation.messages.length === 0) return;
    const rest = this.heads.filter((head) => head.id !== conversation.id);
    this.heads = [headOf(conversation), ...rest].sort((a, b) => b.changed - a.changed);
  }

  async #save(conversation: Conversation): Promise<void> {
    this.#timers.delete(conversation.id);
    if (conversation.messages.length === 0) return;
    try {
      await this.#store?.save($state.snapshot(conversation) as Conversation);
    } catch (error) {
      toasts.error(error);
    }
  }
}

export const chats = new Chats();
