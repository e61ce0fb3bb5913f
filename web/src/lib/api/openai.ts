// /v1: models and chat completions.
import { json } from './http';

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
      /** It was no call after all. Not on the wire; readers of other protocols say so. */
      dropped?: boolean;
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
