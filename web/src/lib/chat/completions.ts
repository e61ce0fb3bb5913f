// OpenAI's chat completions: the request of a conversation, and its stream.
import { ApiError, errorOf } from '$lib/api/http';
import type { ChatChunk, ChatMessage } from '$lib/api/openai';
import type { ServerEvent } from '$lib/api/sse';
import { requestParameters } from './parameters';
import type { AnswerReader, Asked, WireRequest } from './protocol';
import { chatToolFields } from './tool_choice';
import { turnsOf } from './turns';

function messagesOf({ path, settings }: Asked): ChatMessage[] {
  const messages: ChatMessage[] = [];
  if (settings.system.trim() !== '') messages.push({ role: 'system', content: settings.system });
  for (const turn of turnsOf(path)) {
    if (turn.role !== 'assistant') {
      messages.push({ role: turn.role, content: turn.text });
      continue;
    }
    const message: ChatMessage = { role: 'assistant', content: turn.text };
    if (turn.calls.length > 0)
      message.tool_calls = turn.calls.map((call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } }));
    messages.push(message);
    for (const call of turn.calls) messages.push({ role: 'tool', tool_call_id: call.id, content: call.result });
  }
  return messages;
}

export function chatRequest(asked: Asked): WireRequest {
  const { model, settings, tools = [] } = asked;
  const request: WireRequest = { model, messages: messagesOf(asked), ...requestParameters(settings.parameters) };
  if (tools.length > 0) {
    request.tools = tools.map(({ name, description, parameters }) => ({ type: 'function', function: { name, description, parameters } }));
    Object.assign(request, chatToolFields(asked));
  }
  return { ...request, stream: true, stream_options: { include_usage: true } };
}

export class ChatReader implements AnswerReader {
  ended = false;

  take({ data }: ServerEvent): ChatChunk[] {
    if (data === '[DONE]') {
      this.ended = true;
      return [];
    }
    const chunk = JSON.parse(data) as ChatChunk & { error?: unknown };
    if (chunk.error !== undefined) throw errorOf(500, data);
    if (!Array.isArray(chunk.choices)) throw new ApiError('the server sent a chunk that is none', 0);
    return [chunk];
  }
}
