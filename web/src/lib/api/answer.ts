// The stream of an answer, in any of the protocols.
import type { ProtocolEntry, WireRequest } from '$lib/chat/protocol';
import { ApiError, send } from './http';
import type { ChatChunk } from './openai';
import { eventsOf } from './sse';

/** Throws ApiError, also for an error that comes in mid-stream or an end that is missing. */
export async function* streamAnswer(protocol: ProtocolEntry, body: WireRequest, signal: AbortSignal): AsyncGenerator<ChatChunk> {
  const response = await send(protocol.path, { method: 'POST', body, signal, accept: 'text/event-stream' });
  const reader = protocol.reader();
  try {
    for await (const event of eventsOf(response)) {
      yield* reader.take(event);
      if (reader.ended) return;
    }
  } catch (error) {
    if (error instanceof ApiError || (error instanceof DOMException && error.name === 'AbortError')) throw error;
    throw new ApiError('the connection broke while the answer came', 0);
  }
  throw new ApiError('the answer ended before it was complete', 0);
}
