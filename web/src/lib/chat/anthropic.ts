// Anthropic's messages: the request of a conversation, and its stream.
import { errorOf } from '$lib/api/http';
import type { ChatChunk, ChunkChoice } from '$lib/api/openai';
import type { ServerEvent } from '$lib/api/sse';
import { requestParameters } from './parameters';
import type { AnswerReader, Asked, WireRequest } from './protocol';
import { anthropicToolFields } from './tool_choice';
import { argumentsOf, turnsOf } from './turns';

type Block = Record<string, unknown> & { type: string };
interface WireMessage {
  role: 'user' | 'assistant';
  content: string | Block[];
}

/** The limit where none is set and the model's context is not known: the protocol demands one. */
const MOST_TOKENS = 4096;

const blocksOf = (content: WireMessage['content']): Block[] => (typeof content === 'string' ? [{ type: 'text', text: content }] : content);

function messagesOf(asked: Asked): WireMessage[] {
  const messages: WireMessage[] = [];
  for (const turn of turnsOf(asked.path)) {
    if (turn.role === 'assistant') {
      const said: Block[] = turn.text === '' ? [] : [{ type: 'text', text: turn.text }];
      const calls = turn.calls.map((call): Block => ({ type: 'tool_use', id: call.id, name: call.name, input: argumentsOf(call) }));
      messages.push({ role: 'assistant', content: calls.length === 0 ? turn.text : [...said, ...calls] });
      const results = turn.calls.map((call): Block => {
        const block: Block = { type: 'tool_result', tool_use_id: call.id, content: call.result };
        return call.failed ? { ...block, is_error: true } : block;
      });
      if (results.length > 0) messages.push({ role: 'user', content: results });
    } else {
      const last = messages.at(-1);
      // Results go with the words that follow them: turns change between the two roles.
      if (last?.role === 'user') last.content = [...blocksOf(last.content), { type: 'text', text: turn.text }];
      else messages.push({ role: 'user', content: turn.text });
    }
  }
  return messages;
}

function schemaOf(format: unknown): unknown {
  const { type, json_schema } = format as { type: string; json_schema?: { schema: unknown } };
  // Any JSON object has no name of its own here.
  return type === 'json_schema' ? json_schema?.schema : type === 'json_object' ? { type: 'object' } : undefined;
}

export function anthropicRequest(asked: Asked): WireRequest {
  const { model, settings, tools = [], contextTokens, goesOn = false } = asked;
  const given = requestParameters(settings.parameters);
  const { max_tokens, stop, response_format, reasoning_effort, n: _n, logprobs: _l, top_logprobs: _t, chat_template_kwargs, ...parameters } = given;
  const request: WireRequest = { model, max_tokens: max_tokens ?? contextTokens ?? MOST_TOKENS };
  if (settings.system.trim() !== '') request.system = settings.system;
  Object.assign(request, { messages: messagesOf(asked) }, parameters);
  if (typeof parameters.temperature === 'number') request.temperature = Math.min(parameters.temperature, 1);
  if (stop !== undefined) request.stop_sequences = stop;
  if (chat_template_kwargs !== undefined) request.chat_template_kwargs = chat_template_kwargs;
  const output: Record<string, unknown> = {};
  const schema = schemaOf(response_format ?? { type: 'text' });
  if (schema !== undefined) output.format = { type: 'json_schema', schema };
  if (reasoning_effort !== undefined && reasoning_effort !== 'none') output.effort = reasoning_effort;
  if (Object.keys(output).length > 0) request.output_config = output;
  // Unasked, a model that can leave its thoughts out does so here; everywhere else they come. An answer that goes on
  // is past them.
  const silent = goesOn || reasoning_effort === 'none' || (chat_template_kwargs as { enable_thinking?: unknown } | undefined)?.enable_thinking === false;
  if (!silent) request.thinking = { type: 'adaptive' };
  if (tools.length > 0) {
    request.tools = tools.map(({ name, description, parameters: input_schema }) => ({ name, description, input_schema }));
    Object.assign(request, anthropicToolFields(asked));
  }
  return { ...request, stream: true };
}

const FINISH: Record<string, string> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  tool_use: 'tool_calls',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  refusal: 'content_filter',
};

interface WireUsage {
  input_tokens?: number;
  output_tokens?: number;
  cache_read_input_tokens?: number | null;
  cache_creation_input_tokens?: number | null;
  output_tokens_details?: { thinking_tokens?: number };
}

interface Event {
  type: string;
  index?: number;
  message?: { usage?: WireUsage };
  content_block?: { type: string; id?: string; name?: string; text?: string; thinking?: string; input?: object };
  delta?: { type?: string; text?: string; thinking?: string; partial_json?: string; stop_reason?: string | null };
  usage?: WireUsage;
}

export class AnthropicReader implements AnswerReader {
  ended = false;
  #usage: WireUsage = {};
  /** Places of calls in the message, by those of their blocks. */
  #calls = new Map<number, number>();

  take({ data }: ServerEvent): ChatChunk[] {
    const event = JSON.parse(data) as Event;
    const at = event.index ?? 0;
    switch (event.type) {
      case 'message_start':
        this.#usage = { ...event.message?.usage };
        return [];
      case 'content_block_start': {
        const block = event.content_block;
        if (block?.type !== 'tool_use') return deltaOf({ content: block?.text || undefined, reasoning_content: block?.thinking || undefined });
        const index = this.#calls.size;
        this.#calls.set(at, index);
        // Arguments come as deltas; those of a whole block stand in it.
        const whole = Object.keys(block.input ?? {}).length > 0 ? JSON.stringify(block.input) : '';
        return deltaOf({ tool_calls: [{ index, id: block.id, function: { name: block.name, arguments: whole } }] });
      }
      case 'content_block_delta': {
        const { type, text, thinking, partial_json } = event.delta ?? {};
        if (type === 'text_delta') return deltaOf({ content: text });
        if (type === 'thinking_delta') return deltaOf({ reasoning_content: thinking });
        const index = this.#calls.get(at);
        if (type === 'input_json_delta' && index !== undefined) return deltaOf({ tool_calls: [{ index, function: { arguments: partial_json } }] });
        return [];
      }
      case 'message_delta': {
        Object.assign(this.#usage, event.usage);
        const reason = event.delta?.stop_reason;
        return [{ choices: [{ index: 0, delta: {}, finish_reason: reason ? (FINISH[reason] ?? 'stop') : null }], usage: this.#counted() }];
      }
      case 'message_stop':
        this.ended = true;
        return [];
      case 'error':
        throw errorOf(500, data);
      default:
        return [];
    }
  }

  #counted() {
    const { input_tokens = 0, output_tokens = 0, cache_read_input_tokens, cache_creation_input_tokens, output_tokens_details } = this.#usage;
    const cached = cache_read_input_tokens ?? 0;
    return {
      // Anthropic counts what was read from the cache apart.
      prompt_tokens: input_tokens + cached + (cache_creation_input_tokens ?? 0),
      completion_tokens: output_tokens,
      prompt_tokens_details: { cached_tokens: cached },
      completion_tokens_details: output_tokens_details && { reasoning_tokens: output_tokens_details.thinking_tokens },
    };
  }
}

function deltaOf(delta: ChunkChoice['delta']): ChatChunk[] {
  const empty = !delta.content && !delta.reasoning_content && !delta.tool_calls;
  return empty ? [] : [{ choices: [{ index: 0, delta }] }];
}
