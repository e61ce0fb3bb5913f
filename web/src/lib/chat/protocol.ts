// The protocols that an answer can be asked in: what each can be told, the request it makes of a conversation, and how its
// events become the one kind of chunk that fills a message.
import type { ChatChunk } from '$lib/api/openai';
import type { ServerEvent } from '$lib/api/sse';
import type { ToolDefinition } from '$lib/tools/types';
import { anthropicRequest, AnthropicReader } from './anthropic';
import { chatRequest, ChatReader } from './completions';
import { responsesRequest, ResponsesReader } from './responses';
import type { ChatSettings, Message, Protocol } from './types';

/** What a request needs to know beyond the conversation itself. */
export interface Asked {
  model: string;
  path: readonly Message[];
  settings: ChatSettings;
  /** What the model may call; `mayCall` false: it sees earlier calls but makes no more. */
  tools?: readonly ToolDefinition[];
  mayCall?: boolean;
  /** The model's context: the most that an answer can have, where a protocol demands a limit. */
  contextTokens?: number;
  /** The last message is the beginning of the answer. */
  goesOn?: boolean;
}

export type WireRequest = { model: string } & Record<string, unknown>;

/** Takes the events of one stream in their order. Throws ApiError for an error that comes in one. */
export interface AnswerReader {
  take(event: ServerEvent): ChatChunk[];
  /** The stream has come to its proper end. */
  readonly ended: boolean;
}

export interface ProtocolEntry {
  id: Protocol;
  /** The route, which the server must have. */
  path: string;
  build(asked: Asked): WireRequest;
  reader(): AnswerReader;
  /** Sampling parameters that it has no place for. */
  without: readonly string[];
}

export const PROTOCOLS: readonly ProtocolEntry[] = [
  { id: 'chat', path: '/v1/chat/completions', build: chatRequest, reader: () => new ChatReader(), without: [] },
  { id: 'responses', path: '/v1/responses', build: responsesRequest, reader: () => new ResponsesReader(), without: ['n'] },
  { id: 'anthropic', path: '/v1/messages', build: anthropicRequest, reader: () => new AnthropicReader(), without: ['n', 'top_logprobs'] },
];

/** The protocol of that name, if the server speaks it; else the one that every server has. */
export function protocolOf(id: Protocol | undefined, has: (route: string) => boolean): ProtocolEntry {
  return PROTOCOLS.find((each) => each.id === id && has(`POST ${each.path}`)) ?? PROTOCOLS[0]!;
}

/** The protocol that goes on with an answer that has begun; null where the server has none. */
export function protocolToGoOn(has: (route: string) => boolean): ProtocolEntry | null {
  // Anthropic's alone says that the last message is the answer's beginning.
  const entry = protocolOf('anthropic', has);
  return entry.id === 'anthropic' ? entry : null;
}
