// Whether and what the model must call, in the words of each protocol.
import { roundsOf } from '$lib/tools/calls';
import type { Asked } from './protocol';

export type ToolChoice = { kind: 'auto' } | { kind: 'none' } | { kind: 'required' } | { kind: 'tool'; name: string };

/** What is asked for. Forced is only the answer to the question itself: one to results would call for ever. */
export function toolChoiceOf({ settings, path, tools = [], mayCall = true }: Asked): ToolChoice {
  const wanted = settings.toolChoice;
  if (!mayCall || wanted === 'none') return { kind: 'none' };
  if (wanted === undefined || roundsOf(path) > 0) return { kind: 'auto' };
  if (wanted === 'required') return { kind: 'required' };
  // A tool that is not offered any more cannot be named.
  return tools.some(({ name }) => name === wanted.name) ? { kind: 'tool', name: wanted.name } : { kind: 'auto' };
}

/** Fields of OpenAI's chat; nothing where its defaults are meant. */
export function chatToolFields(asked: Asked): Record<string, unknown> {
  const choice = toolChoiceOf(asked);
  const fields: Record<string, unknown> = {};
  if (choice.kind === 'tool') fields.tool_choice = { type: 'function', function: { name: choice.name } };
  else if (choice.kind !== 'auto') fields.tool_choice = choice.kind;
  if (asked.settings.oneCall) fields.parallel_tool_calls = false;
  return fields;
}

/** The same of the Responses API. */
export function responsesToolFields(asked: Asked): Record<string, unknown> {
  const fields = chatToolFields(asked);
  const choice = toolChoiceOf(asked);
  if (choice.kind === 'tool') fields.tool_choice = { type: 'function', name: choice.name };
  return fields;
}

/** The same of Anthropic's messages. */
export function anthropicToolFields(asked: Asked): Record<string, unknown> {
  const choice = toolChoiceOf(asked);
  const single = asked.settings.oneCall && choice.kind !== 'none' ? { disable_parallel_tool_use: true } : {};
  if (choice.kind === 'tool') return { tool_choice: { type: 'tool', name: choice.name, ...single } };
  if (choice.kind === 'required') return { tool_choice: { type: 'any', ...single } };
  if (choice.kind === 'none') return { tool_choice: { type: 'none' } };
  return asked.settings.oneCall ? { tool_choice: { type: 'auto', ...single } } : {};
}
