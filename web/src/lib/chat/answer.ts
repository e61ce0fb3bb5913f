// From the chunks of a stream to messages: one message for each choice. No clock of its own, no I/O.
import type { ChatChunk, Usage } from '$lib/api/openai';
import type { ChatSettings, Finish, Message, Stats } from './types';

export function emptyStats(): Stats {
  return {
    firstTokenMs: null,
    totalMs: 0,
    promptTokens: null,
    completionTokens: null,
    cachedTokens: null,
    reasoningTokens: null,
    acceptedTokens: null,
    rejectedTokens: null,
  };
}

function setUsage(stats: Stats, usage: Usage, alone: boolean): void {
  stats.promptTokens = usage.prompt_tokens;
  // The count is of all choices together, so it is told only of a single one.
  stats.completionTokens = alone ? usage.completion_tokens : null;
  stats.cachedTokens = usage.prompt_tokens_details?.cached_tokens ?? null;
  const details = usage.completion_tokens_details;
  stats.reasoningTokens = details?.reasoning_tokens ?? null;
  stats.acceptedTokens = details?.accepted_prediction_tokens ?? null;
  stats.rejectedTokens = details?.rejected_prediction_tokens ?? null;
}

/** Puts a chunk into the messages; `elapsedMs` since the request was sent. Messages are by index of choice. */
export function applyChunk(messages: Message[], chunk: ChatChunk, elapsedMs: number): void {
  for (const choice of chunk.choices) {
    const message = messages[choice.index];
    if (message === undefined) continue;
    const stats = (message.stats ??= emptyStats());
    const { delta } = choice;
    const reasoning = delta.reasoning_content ?? delta.reasoning ?? '';
    const text = delta.content ?? '';
    if (stats.firstTokenMs === null && (reasoning !== '' || text !== '' || delta.tool_calls)) stats.firstTokenMs = elapsedMs;
    if (reasoning !== '') message.reasoning += reasoning;
    if ((text !== '' || delta.tool_calls) && message.reasoning !== '' && message.reasoningMs === null)
      message.reasoningMs = elapsedMs - (stats.firstTokenMs ?? elapsedMs);
    if (text !== '') message.text += text;
    for (const piece of delta.tool_calls ?? []) {
      if (piece.dropped) {
        message.toolCalls.splice(piece.index, 1);
        continue;
      }
      const call = (message.toolCalls[piece.index] ??= { id: '', name: '', arguments: '' });
      if (piece.id) call.id = piece.id;
      if (piece.function?.name) call.name += piece.function.name;
      if (piece.function?.arguments) call.arguments += piece.function.arguments;
    }
    if (choice.logprobs?.content) message.logprobs.push(...choice.logprobs.content);
    if (choice.finish_reason) endAnswer(message, choice.finish_reason as Finish, elapsedMs);
  }
  if (chunk.usage) {
    for (const message of messages) setUsage((message.stats ??= emptyStats()), chunk.usage, messages.length === 1);
  }
}

/** The end of one message, whatever brought it. The first end stays. */
export function endAnswer(message: Message, finish: Finish, elapsedMs: number, error: string | null = null): void {
  if (message.finish !== null) return;
  const stats = (message.stats ??= emptyStats());
  stats.totalMs = elapsedMs;
  if (message.reasoning !== '' && message.reasoningMs === null) message.reasoningMs = elapsedMs - (stats.firstTokenMs ?? elapsedMs);
  message.finish = finish;
  message.error = error;
}

/** Tokens a second after the first; null where that cannot be told. */
export function tokensPerSecond(stats: Stats): number | null {
  if (stats.completionTokens === null || stats.firstTokenMs === null) return null;
  const ms = stats.totalMs - stats.firstTokenMs;
  return stats.completionTokens > 1 && ms > 0 ? ((stats.completionTokens - 1) / ms) * 1000 : null;
}

/** Whether an answer was cut where it could be gone on with: in its text, with nothing before or after that has to come again. */
export function canGoOn(message: Message, settings: ChatSettings): boolean {
  const cut = message.finish === 'length' || message.finish === 'stopped';
  // A protocol that can go on begins with the text: thoughts come before it, and a schema holds from its first character.
  return cut && message.text !== '' && message.reasoning === '' && message.toolCalls.length === 0 && settings.parameters.response_format === undefined;
}

/** Of an answer that was gone on with: what both parts took, and the speed of both. */
export function joinStats(before: Stats, after: Stats): Stats {
  const sum = (a: number | null, b: number | null) => (a === null || b === null ? null : a + b);
  return {
    ...after,
    firstTokenMs: before.firstTokenMs,
    totalMs: before.totalMs + after.totalMs - (after.firstTokenMs ?? after.totalMs),
    promptTokens: before.promptTokens,
    cachedTokens: before.cachedTokens,
    completionTokens: sum(before.completionTokens, after.completionTokens),
    reasoningTokens: sum(before.reasoningTokens, after.reasoningTokens),
  };
}
