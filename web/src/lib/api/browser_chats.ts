// Conversations in this browser's IndexedDB, or, where it has none (private windows), in memory.
import type { Conversation } from '$lib/chat/types';
import { hasWords, headOf, type ChatStore } from './chat_store';

const DATABASE = 'mlxd';
const STORE = 'chats';

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('the browser’s storage failed'));
  });
}

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'id' });
  return done(request);
}

class BrowserChats implements ChatStore {
  readonly kind = 'browser';
  constructor(private readonly database: IDBDatabase) {}

  #store(mode: IDBTransactionMode): IDBObjectStore {
    return this.database.transaction(STORE, mode).objectStore(STORE);
  }
  #all(): Promise<Conversation[]> {
    return done(this.#store('readonly').getAll() as IDBRequest<Conversation[]>);
  }
  async list() {
    return { chats: (await this.#all()).map(headOf), folders: [] };
  }
  async search(text: string) {
    return (await this.#all()).filter((chat) => hasWords(chat, text)).map((chat) => chat.id);
  }
  async load(id: string) {
    return ((await done(this.#store('readonly').get(id))) as Conversation | undefined) ?? null;
  }
  async create(conversation: Conversation) {
    return conversation.id;
  }
  async save(conversation: Conversation) {
    await done(this.#store('readwrite').put(conversation));
  }
  async remove(id: string) {
    await done(this.#store('readwrite').delete(id));
  }
}

class MemoryChats implements ChatStore {
  readonly kind = 'memory';
  #chats = new Map<string, Conversation>();

  async list() {
    return { chats: [...this.#chats.values()].map(headOf), folders: [] };
  }
  async search(text: string) {
    return [...this.#chats.values()].filter((chat) => hasWords(chat, text)).map((chat) => chat.id);
  }
  async load(id: string) {
    const chat = this.#chats.get(id);
    return chat === undefined ? null : structuredClone(chat);
  }
  async create(conversation: Conversation) {
    return conversation.id;
  }
  async save(conversation: Conversation) {
    this.#chats.set(conversation.id, structuredClone(conversation));
  }
  async remove(id: string) {
    this.#chats.delete(id);
  }
}

export async function openBrowserChats(): Promise<ChatStore> {
  try {
    return new BrowserChats(await open());
  } catch {
    return new MemoryChats();
  }
}
