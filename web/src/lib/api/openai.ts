// /v1: models and chat completions.
import { ApiError, errorOf, json, send } from './http';
import { eventsOf } from './sse';

export interface ModelEntry {
  id: string;
  parent?: string;
  created: number;
  owned_by?: string;
  loaded?: boolean;
  context_length?: number;
  parameters?: number;
  capabilities?: string[];
}

export async function listModels(signal?: AbortSignal): Promise<ModelEntry[]> {
  return (await json<{ data: ModelEntry[] }>('/v1/models', { signal })).data;
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
  name?: string;
  tool_call_id?: string;
  tool_calls?: { id: string; type: 'function'; function: { name: string; arguments: string } }[];
  reasoning_content?: string;
}

export interface ChatRequest {
  model: string;
  messages: ChatMessage[];
  stream: true;
  stream_options: { include_usage: true };
  [parameter: string]: unknown;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number };
  completion_tokens_details?: {
    reasoning_tokens?: number;
    accepted_prediction_tokens?: number;
    rejected_prediction_tokens?: number;
  };
}

export interface TokenLogprob {
  token: string;
  logprob: number;
  top_logprobs?: { token: string; logprob: number }[];
}

export interface ChunkChoice {
  index: number;
  delta: {
    role?: string;
    content?: string | null;
    reasoning_content?: string | null;
    reasoning?: string | null;
    tool_calls?: {
      index: number;
      id?: string;
      function?: { name?: string; arguments?: string };
    }[];
  };
  logprobs?: { content?: TokenLogprob[] | null } | null;
  finish_reason?: string | null;
}

export interface ChatChunk {
  id?: string;
  model?: string;
  choices: ChunkChoice[];
  usage?: Usage | null;
}

/** The stream of an answer. Throws ApiError, also for an error that comes in mid-stream or an end that is missing. */
export async function* streamChat(body: ChatRequest, signal: AbortSignal): AsyncGenerator<ChatChunk> {
  const response = await send('/v1/chat/completions', { method: 'POST', body, signal, accept: 'text/event-stream' });
  try {
    for await (const { data } of eventsOf(response)) {
      if (data === '[DONE]') return;
      const chunk = JSON.parse(data) as ChatChunk & { error?: unknown };
      if (chunk.error !== undefined) throw errorOf(500, data);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof ApiError || (error instanceof DOMException && error.name === 'AbortError')) throw error;
    throw new ApiError('the connection broke while the answer came', 0);
  }
  throw new ApiError('the answer ended before it was complete', 0);
}
