// OpenAI's Responses: the request of a conversation, and its stream.
import { errorOf } from '$lib/api/http';
import type { ChatChunk, ChunkChoice, TokenLogprob } from '$lib/api/openai';
import type { ServerEvent } from '$lib/api/sse';
import { requestParameters } from './parameters';
import type { AnswerReader, Asked, WireRequest } from './protocol';
import { responsesToolFields } from './tool_choice';
import { turnsOf } from './turns';

function itemsOf(asked: Asked): object[] {
  return turnsOf(asked.path).flatMap((turn): object[] => {
    if (turn.role !== 'assistant') return [{ role: turn.role, content: turn.text }];
    const said = turn.text === '' ? [] : [{ role: 'assistant', content: turn.text }];
    const calls = turn.calls.map(({ id, name, arguments: given }) => ({ type: 'function_call', call_id: id, name, arguments: given }));
    const results = turn.calls.map(({ id, result }) => ({ type: 'function_call_output', call_id: id, output: result }));
    return [...said, ...calls, ...results];
  });
}

interface ChatFormat {
  type: string;
  json_schema?: Record<string, unknown>;
}

export function responsesRequest(asked: Asked): WireRequest {
  const { model, settings, tools = [] } = asked;
  const { max_tokens, n: _n, logprobs: _logprobs, response_format, reasoning_effort, ...parameters } = requestParameters(settings.parameters);
  const request: WireRequest = { model };
  if (settings.system.trim() !== '') request.instructions = settings.system;
  Object.assign(request, { input: itemsOf(asked) }, parameters);
  if (max_tokens !== undefined) request.max_output_tokens = max_tokens;
  if (parameters.top_logprobs !== undefined) request.include = ['message.output_text.logprobs'];
  if (reasoning_effort !== undefined) request.reasoning = { effort: reasoning_effort };
  if (response_format !== undefined) {
    const { type, json_schema } = response_format as ChatFormat;
    request.text = { format: { type, ...json_schema } };
  }
  if (tools.length > 0) {
    request.tools = tools.map(({ name, description, parameters: schema }) => ({ type: 'function', name, description, parameters: schema, strict: false }));
    Object.assign(request, responsesToolFields(asked));
  }
  // The conversation is kept where all are; the server need not keep it a second time.
  return { ...request, store: false, stream: true };
}

interface Item {
  type: string;
  id?: string;
  call_id?: string;
  name?: string;
  arguments?: string;
  status?: string;
}

interface Response {
  status?: string;
  incomplete_details?: { reason?: string } | null;
  error?: { message?: string } | null;
  usage?: {
    input_tokens: number;
    output_tokens: number;
    input_tokens_details?: { cached_tokens?: number };
    output_tokens_details?: { reasoning_tokens?: number };
  } | null;
}

interface Event {
  type: string;
  delta?: string;
  item?: Item;
  output_index?: number;
  logprobs?: TokenLogprob[];
  response?: Response;
}

export class ResponsesReader implements AnswerReader {
  ended = false;
  /** Places of calls in the message, by those in the response. */
  #calls = new Map<number, number>();

  take({ data }: ServerEvent): ChatChunk[] {
    const event = JSON.parse(data) as Event;
    const at = event.output_index ?? 0;
    switch (event.type) {
      case 'response.output_text.delta':
        return [chunkOf({ content: event.delta }, event.logprobs)];
      // A refusal is what the model says.
      case 'response.refusal.delta':
        return [chunkOf({ content: event.delta })];
      case 'response.reasoning_text.delta':
      case 'response.reasoning_summary_text.delta':
        return [chunkOf({ reasoning_content: event.delta })];
      case 'response.output_item.added': {
        if (event.item?.type !== 'function_call') return [];
        const index = this.#calls.size;
        this.#calls.set(at, index);
        return [chunkOf({ tool_calls: [{ index, id: event.item.call_id, function: { name: event.item.name, arguments: event.item.arguments } }] })];
      }
      case 'response.function_call_arguments.delta': {
        const index = this.#calls.get(at);
        return index === undefined ? [] : [chunkOf({ tool_calls: [{ index, function: { arguments: event.delta } }] })];
      }
      case 'response.output_item.done': {
        const index = this.#calls.get(at);
        if (index === undefined || event.item?.status !== 'incomplete') return [];
        // It looked like a call and was none: what the model wrote follows as text.
        this.#calls.delete(at);
        return [chunkOf({ tool_calls: [{ index, dropped: true }] })];
      }
      case 'response.completed':
      case 'response.incomplete':
        this.ended = true;
        return [this.#end(event.response ?? {})];
      case 'response.failed':
        throw errorOf(500, JSON.stringify({ error: event.response?.error ?? { message: 'the answer failed' } }));
      case 'error':
        throw errorOf(500, data);
      default:
        return [];
    }
  }

  #end({ status, incomplete_details, usage }: Response): ChatChunk {
    const cut = incomplete_details?.reason === 'content_filter' ? 'content_filter' : 'length';
    const finish = status === 'incomplete' ? cut : this.#calls.size > 0 ? 'tool_calls' : 'stop';
    const chunk = chunkOf({});
    chunk.choices[0]!.finish_reason = finish;
    if (usage)
      chunk.usage = {
        prompt_tokens: usage.input_tokens,
        completion_tokens: usage.output_tokens,
        prompt_tokens_details: usage.input_tokens_details,
        completion_tokens_details: usage.output_tokens_details,
      };
    return chunk;
  }
}

function chunkOf(delta: ChunkChoice['delta'], logprobs?: TokenLogprob[]): ChatChunk {
  return { choices: [{ index: 0, delta, logprobs: logprobs && logprobs.length > 0 ? { content: logprobs } : null }] };
}
