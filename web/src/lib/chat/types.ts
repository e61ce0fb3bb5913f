// A conversation as a tree of messages: an edited or regenerated message is a sibling of the one it replaces.
import type { TokenLogprob } from '$lib/api/openai';

export type Role = 'system' | 'user' | 'assistant' | 'tool';

export interface Attachment {
  name: string;
  type: string;
  bytes: number;
  text: string;
}

export interface ToolCall {
  id: string;
  name: string;
  arguments: string;
  result?: string;
  failed?: boolean;
}

export interface Stats {
  /** Measured here, from sending to the first piece of text, and to the end. */
  firstTokenMs: number | null;
  totalMs: number;
  /** Counted by the server; null where the answer was cut before it told. */
  promptTokens: number | null;
  completionTokens: number | null;
  cachedTokens: number | null;
  reasoningTokens: number | null;
  acceptedTokens: number | null;
  rejectedTokens: number | null;
}

export type Finish = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'stopped' | 'failed';

export interface Message {
  id: string;
  parent: string | null;
  role: Role;
  text: string;
  created: number; // ms since 1970
  reasoning: string;
  reasoningMs: number | null;
  toolCalls: ToolCall[];
  attachments: Attachment[];
  model: string;
  finish: Finish | null; // null while it comes, and for what a person wrote
  error: string | null;
  stats: Stats | null;
  logprobs: TokenLogprob[];
}

export type Parameters = Record<string, unknown>;

export type Protocol = 'chat' | 'responses' | 'anthropic';

export interface ChatSettings {
  system: string;
  parameters: Parameters;
  /** What the answers are asked in; absent: OpenAI's chat. */
  protocol?: Protocol;
  /** Names of the tools that the model may call. */
  tools?: string[];
  /** Whether it must call one, or which; absent: as it sees fit. */
  toolChoice?: 'none' | 'required' | { name: string };
  /** No more than one call in an answer. */
  oneCall?: boolean;
}

export interface Folder {
  id: string;
  name: string;
}

/** What a list shows of a conversation. */
export interface ChatHead {
  id: string;
  title: string;
  folder: string | null;
  pinned: boolean;
  model: string;
  created: number;
  changed: number;
}

export interface Conversation extends ChatHead {
  /** The leaf of the branch on screen. */
  current: string | null;
  settings: ChatSettings;
  messages: Message[];
}
