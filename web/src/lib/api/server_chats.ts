// Conversations on the server, /api/v1/chats: a tree of messages that are written once. What this page knows beyond
// role and text stands in `details`; settings of the conversation stand in those of the message they were changed before.
import type { ChatHead, ChatSettings, Conversation, Folder, Message, Role } from '$lib/chat/types';
import { newMessage } from '$lib/chat/tree';
import type { ChatStore, FolderStore } from './chat_store';
import { ApiError, json, pathOf } from './http';

interface WireChat {
  id: string;
  title: string;
  model: string;
  folder_id: string | null;
  pinned: boolean;
  current_message: string | null;
  created_at: number;
  changed_at: number;
}

type Details = Partial<Omit<Message, 'id' | 'parent' | 'role' | 'text'>> & { settings?: ChatSettings };

interface WireMessage {
  id: string;
  parent_id: string | null;
  role: Role;
  text: string;
  details: Details;
  created_at: number;
}

const PAGE = 500;

function headOfWire(chat: WireChat): ChatHead {
  return {
    id: chat.id,
    title: chat.title,
    folder: chat.folder_id,
    pinned: chat.pinned,
    model: chat.model,
    created: chat.created_at * 1000,
    changed: chat.changed_at * 1000,
  };
}

/** What the server has of a conversation: ids of its messages there by ids here, and its head as last written. */
interface Known {
  messages: Map<string, string>;
  /** What was written of messages that may still change: an answer gets results of its calls, or goes on. */
  answers: Map<string, string>;
  head: string;
  settings: string;
}

const contentOf = ({ text, finish, toolCalls }: Message) => JSON.stringify([text, finish, toolCalls]);

const chatPath = (id: string) => `/api/v1/chats/${pathOf(id)}`;

const FOLDERS = '/api/v1/chat-folders';

const folders: FolderStore = {
  create: (name) => json<Folder>(FOLDERS, { method: 'POST', body: { name } }),
  rename: (id, name) => json<void>(`${FOLDERS}/${pathOf(id)}`, { method: 'PATCH', body: { name } }),
  remove: (id) => json<void>(`${FOLDERS}/${pathOf(id)}`, { method: 'DELETE' }),
};

export class ServerChats implements ChatStore {
  readonly kind = 'server';
  readonly folders = folders;
  #known = new Map<string, Known>();
  #saving = new Map<string, Promise<void>>();

  async list() {
    const [{ chats }, there] = await Promise.all([
      json<{ chats: WireChat[] }>(`/api/v1/chats?limit=${PAGE}`),
      json<{ folders: Folder[] }>(FOLDERS),
    ]);
    return { chats: chats.map(headOfWire), folders: there.folders };
  }

  async search(text: string) {
    return (await json<{ chats: WireChat[] }>(`/api/v1/chats?limit=${PAGE}&q=${encodeURIComponent(text)}`)).chats.map((chat) => chat.id);
  }

  async load(id: string): Promise<Conversation | null> {
    let chat: WireChat & { messages: WireMessage[] };
    try {
      chat = await json(chatPath(id));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
    let settings: ChatSettings = { system: '', parameters: {} };
    const messages = chat.messages.map((wire) => {
      const { settings: changed, ...details } = wire.details;
      if (changed) settings = changed;
      return newMessage(wire.role, wire.parent_id, { created: wire.created_at * 1000, ...details, id: wire.id, text: wire.text });
    });
    const conversation: Conversation = { ...headOfWire(chat), current: chat.current_message ?? messages.at(-1)?.id ?? null, settings, messages };
    this.#known.set(id, {
      messages: new Map(messages.map((message) => [message.id, message.id])),
      answers: new Map(messages.map((message) => [message.id, contentOf(message)])),
      head: JSON.stringify(this.#head(conversation, conversation.current)),
      settings: JSON.stringify(settings),
    });
    return conversation;
  }

  async create(conversation: Conversation): Promise<string> {
    const { title, model } = conversation;
    const chat = await json<WireChat>('/api/v1/chats', { method: 'POST', body: { title, model } });
    this.#known.set(chat.id, { messages: new Map(), answers: new Map(), head: '', settings: JSON.stringify({ system: '', parameters: {} }) });
    return chat.id;
  }

  /** One after the other for each conversation, as messages name their parents. */
  save(conversation: Conversation): Promise<void> {
    const before = this.#saving.get(conversation.id) ?? Promise.resolve();
    const now = before.catch(() => {}).then(() => this.#save(conversation));
    this.#saving.set(conversation.id, now);
    return now;
  }

  async #save(conversation: Conversation): Promise<void> {
    const path = chatPath(conversation.id);
    const known = this.#known.get(conversation.id);
    if (known === undefined) {
      // One that comes from elsewhere: an import, or a deletion taken back.
      const id = await this.create(conversation);
      conversation.id = id;
      return this.#save(conversation);
    }
    const there = new Set(conversation.messages.map((message) => message.id));
    for (const [here, id] of known.messages) if (!there.has(here)) await this.#erase(path, known, here, id);
    for (const message of conversation.messages) {
      // An answer is written when it is complete.
      if (message.role === 'assistant' && message.finish === null) continue;
      const before = known.messages.get(message.id);
      if (before !== undefined) {
        if (message.role !== 'assistant' || known.answers.get(message.id) === contentOf(message)) continue;
        // Messages there are written once. One that others build on stays as it is.
        if (conversation.messages.some((each) => each.parent === message.id && known.messages.has(each.id))) continue;
        await this.#erase(path, known, message.id, before);
      }
      const parent = message.parent === null ? null : known.messages.get(message.parent);
      if (parent === undefined) continue;
      const { id, parent: _parent, role, text, ...details } = message;
      const settings = JSON.stringify(conversation.settings);
      const body = { parent_id: parent ?? undefined, role, text, details: settings === known.settings ? details : { ...details, settings: conversation.settings } };
      const wire = await json<WireMessage>(`${path}/messages`, { method: 'POST', body });
      known.messages.set(id, wire.id);
      known.answers.set(id, contentOf(message));
      known.settings = settings;
    }
    let current = conversation.current;
    while (current !== null && !known.messages.has(current)) current = conversation.messages.find((message) => message.id === current)?.parent ?? null;
    const head = this.#head(conversation, current === null ? null : (known.messages.get(current) ?? null));
    const text = JSON.stringify(head);
    if (text === known.head) return;
    await json<WireChat>(path, { method: 'PATCH', body: head });
    known.head = text;
  }

  async #erase(path: string, known: Known, here: string, id: string): Promise<void> {
    known.messages.delete(here);
    // It may be the one that had the settings: the next has them again.
    known.settings = '';
    await json<void>(`${path}/messages/${pathOf(id)}`, { method: 'DELETE' }).catch((error) => {
      // Gone already, with one above it.
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    });
  }

  #head(conversation: ChatHead, current: string | null) {
    const { title, model, pinned, folder } = conversation;
    return { title, model, pinned, folder_id: folder ?? '', current_message: current ?? undefined };
  }

  async remove(id: string) {
    await json<void>(chatPath(id), { method: 'DELETE' });
    this.#known.delete(id);
  }
}
