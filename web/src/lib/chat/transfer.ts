// Conversations as files: JSON, which comes back as it was, and Markdown for people.
import { newId, newMessage, pathTo } from './tree';
import type { ChatSettings, Conversation, Message, Protocol, Role } from './types';

const FORMAT = 'mlxd-conversation';
const VERSION = 1;

export function toJson(conversation: Conversation): string {
  return JSON.stringify({ format: FORMAT, version: VERSION, conversation }, null, 2);
}

export function toMarkdown(conversation: Conversation): string {
  const parts = [`# ${conversation.title || 'Conversation'}`];
  if (conversation.settings.system.trim() !== '') parts.push(`> **System:** ${conversation.settings.system.replaceAll('\n', '\n> ')}`);
  for (const message of pathTo(conversation.messages, conversation.current)) {
    const who = message.role === 'assistant' ? message.model || 'Assistant' : message.role === 'user' ? 'You' : message.role;
    parts.push(`## ${who}`);
    for (const file of message.attachments) parts.push(`**${file.name}**\n\n~~~~\n${file.text}\n~~~~`);
    parts.push(message.text);
  }
  return parts.join('\n\n') + '\n';
}

const ROLES: readonly Role[] = ['system', 'user', 'assistant', 'tool'];
const PROTOCOL_NAMES: readonly Protocol[] = ['chat', 'responses', 'anthropic'];

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

const text = (value: unknown) => (typeof value === 'string' ? value : '');

function settingsOf(given: Record<string, unknown>): ChatSettings {
  const settings: ChatSettings = { system: text(given.system), parameters: isRecord(given.parameters) ? given.parameters : {} };
  const protocol = PROTOCOL_NAMES.find((name) => name === given.protocol);
  if (protocol !== undefined) settings.protocol = protocol;
  if (Array.isArray(given.tools)) settings.tools = given.tools.filter((name): name is string => typeof name === 'string');
  const choice = given.toolChoice;
  if (choice === 'none' || choice === 'required') settings.toolChoice = choice;
  else if (isRecord(choice) && typeof choice.name === 'string') settings.toolChoice = { name: choice.name };
  if (given.oneCall === true) settings.oneCall = true;
  return settings;
}

/** Reads what `toJson` wrote, from anyone: what is not a message is refused, ids are made anew. */
export function fromJson(source: string): Conversation {
  let parsed: unknown;
  try {
    parsed = JSON.parse(source);
  } catch {
    throw new Error('this file is not JSON');
  }
  if (!isRecord(parsed) || parsed.format !== FORMAT || !isRecord(parsed.conversation)) throw new Error('this file is not a conversation of mlxd');
  if (parsed.version !== VERSION) throw new Error(`this file has version ${String(parsed.version)}, this page reads ${VERSION}`);
  const given = parsed.conversation;
  const ids = new Map<string, string>();
  const messages: Message[] = [];
  for (const each of Array.isArray(given.messages) ? given.messages : []) {
    if (!isRecord(each) || typeof each.id !== 'string' || !ROLES.includes(each.role as Role)) throw new Error('a message in this file has no id or no role');
    const parent = typeof each.parent === 'string' ? ids.get(each.parent) : null;
    if (parent === undefined) throw new Error('a message in this file comes before the one that it answers');
    const message = newMessage(each.role as Role, parent, {
      text: text(each.text),
      created: typeof each.created === 'number' ? each.created : Date.now(),
      reasoning: text(each.reasoning),
      reasoningMs: typeof each.reasoningMs === 'number' ? each.reasoningMs : null,
      model: text(each.model),
      finish: each.role === 'assistant' ? ((text(each.finish) || 'stopped') as Message['finish']) : null,
      error: typeof each.error === 'string' ? each.error : null,
      attachments: (Array.isArray(each.attachments) ? each.attachments : [])
        .filter(isRecord)
        .map((file) => ({ name: text(file.name), type: text(file.type), text: text(file.text), bytes: Number(file.bytes) || 0 })),
      toolCalls: (Array.isArray(each.toolCalls) ? each.toolCalls : [])
        .filter(isRecord)
        .map((call) => ({ id: text(call.id), name: text(call.name), arguments: text(call.arguments), result: typeof call.result === 'string' ? call.result : undefined, failed: call.failed === true || undefined })),
    });
    ids.set(each.id, message.id);
    messages.push(message);
  }
  const settings = isRecord(given.settings) ? given.settings : {};
  const now = Date.now();
  return {
    id: newId(),
    title: text(given.title),
    folder: null,
    pinned: false,
    model: text(given.model),
    created: typeof given.created === 'number' ? given.created : now,
    changed: now,
    current: (typeof given.current === 'string' && ids.get(given.current)) || (messages.at(-1)?.id ?? null),
    settings: settingsOf(settings),
    messages,
  };
}
