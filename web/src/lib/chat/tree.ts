// Paths through a tree of messages. Pure functions; the list is in order of arrival, parents before children.
import type { Conversation, Message, Role } from './types';

let counter = 0;

export function newId(): string {
  const random = crypto.getRandomValues(new Uint8Array(8));
  counter += 1;
  return Date.now().toString(36) + counter.toString(36) + [...random].map((byte) => byte.toString(36)).join('');
}

export function newConversation(model: string, now = Date.now()): Conversation {
  return {
    id: newId(),
    title: '',
    folder: null,
    pinned: false,
    model,
    created: now,
    changed: now,
    current: null,
    settings: { system: '', parameters: {} },
    messages: [],
  };
}

export function newMessage(role: Role, parent: string | null, fields: Partial<Message> = {}): Message {
  return {
    id: newId(),
    parent,
    role,
    text: '',
    created: Date.now(),
    reasoning: '',
    reasoningMs: null,
    toolCalls: [],
    attachments: [],
    model: '',
    finish: null,
    error: null,
    stats: null,
    logprobs: [],
    ...fields,
  };
}

/** From the root to `leaf`; empty if there is no such message. */
export function pathTo(messages: readonly Message[], leaf: string | null): Message[] {
  const byId = new Map(messages.map((message) => [message.id, message]));
  const path: Message[] = [];
  const seen = new Set<string>();
  for (let id = leaf; id !== null && !seen.has(id); ) {
    const message = byId.get(id);
    if (message === undefined) break;
    seen.add(id);
    path.push(message);
    id = message.parent;
  }
  return path.reverse();
}

export function siblingsOf(messages: readonly Message[], message: Message): Message[] {
  return messages.filter((each) => each.parent === message.parent && each.role === message.role);
}

/** The siblings of every message, itself among them, by its id. */
export function siblingGroups(messages: readonly Message[]): Map<string, readonly Message[]> {
  const families = new Map<string, Message[]>();
  const byId = new Map<string, Message[]>();
  for (const message of messages) {
    const key = `${message.role} ${message.parent ?? ''}`;
    let family = families.get(key);
    if (family === undefined) families.set(key, (family = []));
    family.push(message);
    byId.set(message.id, family);
  }
  return byId;
}

/** The leaf under `id` on the branch that was written last. */
export function latestLeaf(messages: readonly Message[], id: string): string {
  let leaf = id;
  for (;;) {
    let child: Message | undefined;
    for (const each of messages) if (each.parent === leaf) child = each;
    if (child === undefined) return leaf;
    leaf = child.id;
  }
}

/** The tree without `id` and all beneath it. */
export function without(messages: readonly Message[], id: string): Message[] {
  const gone = new Set([id]);
  // Parents come first, so one pass finds every descendant.
  for (const message of messages) if (message.parent !== null && gone.has(message.parent)) gone.add(message.id);
  return messages.filter((message) => !gone.has(message.id));
}

/** A title from what was asked: the first line of words, cut at a word's end. */
export function titleOf(text: string, most = 60): string {
  const line = text
    .replace(/```[\s\S]*?(```|$)/g, ' ')
    .replace(/[#*_`>]+/g, ' ')
    .split('\n')
    .map((each) => each.trim())
    .find((each) => each !== '');
  if (line === undefined) return '';
  const plain = line.replace(/\s+/g, ' ');
  if (plain.length <= most) return plain;
  const cut = plain.slice(0, most);
  const space = cut.lastIndexOf(' ');
  return (space > most / 2 ? cut.slice(0, space) : cut) + '…';
}
