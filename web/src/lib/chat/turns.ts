// A conversation's branch as turns that every protocol can be given: what failed before its first word and calls that
// never got a result are no part of it.
import type { Attachment, Message, ToolCall } from './types';

export type Turn = { role: 'user' | 'system'; text: string } | { role: 'assistant'; text: string; calls: FinishedCall[] };
export type FinishedCall = ToolCall & { result: string };

function withAttachments(text: string, attachments: readonly Attachment[]): string {
  const files = attachments.map((file) => `<file name=${JSON.stringify(file.name)}>\n${file.text}\n</file>`);
  return [...files, text].filter((part) => part !== '').join('\n\n');
}

export function turnsOf(path: readonly Message[]): Turn[] {
  const turns: Turn[] = [];
  for (const message of path) {
    if (message.role === 'assistant') {
      const calls = message.toolCalls.filter((call): call is FinishedCall => call.result !== undefined);
      if (message.text !== '' || calls.length > 0) turns.push({ role: 'assistant', text: message.text, calls });
    } else {
      turns.push({ role: message.role === 'system' ? 'system' : 'user', text: withAttachments(message.text, message.attachments) });
    }
  }
  return turns;
}

/** A call's arguments as the object that they should be. */
export function argumentsOf(call: ToolCall): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(call.arguments);
    if (parsed !== null && typeof parsed === 'object' && !Array.isArray(parsed)) return parsed as Record<string, unknown>;
  } catch {
    // The model wrote something else: there is nothing in it that has a name.
  }
  return {};
}
