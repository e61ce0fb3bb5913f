// The calls of an answer, one after the other: asked about, run, and their results noted.
import type { Message, ToolCall } from '$lib/chat/types';
import { ToolError, type Tool } from './types';

/** Rounds of calls before an answer must come without more of them. */
export const MOST_ROUNDS = 8;

/** What a result may have of text, so that no tool fills the context by itself. */
const MOST_CHARACTERS = 20_000;

export type Consent = 'once' | 'always' | 'refuse';

/** Texts that the model reads. */
export const REFUSED = 'The user refused this call. Answer without it.';
export const STOPPED = 'The user stopped before this call was run.';

/** Rounds of calls since the user's last message, at the end of a path. */
export function roundsOf(path: readonly Message[]): number {
  let rounds = 0;
  for (let i = path.length - 1; i >= 0 && path[i]!.role === 'assistant'; i--) if (path[i]!.toolCalls.length > 0) rounds += 1;
  return rounds;
}

function argumentsOf(call: ToolCall): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(call.arguments === '' ? '{}' : call.arguments);
  } catch {
    throw new ToolError('the arguments are not JSON');
  }
  if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) throw new ToolError('the arguments must be an object');
  return parsed as Record<string, unknown>;
}

function note(call: ToolCall, result: string, failed: boolean): void {
  call.result = result.length > MOST_CHARACTERS ? `${result.slice(0, MOST_CHARACTERS)}\n[cut: ${result.length} characters]` : result;
  if (failed) call.failed = true;
}

async function runCall(call: ToolCall, tools: readonly Tool[], consent: () => Promise<Consent>, signal: AbortSignal): Promise<void> {
  const tool = tools.find((each) => each.name === call.name);
  if (tool === undefined) return note(call, `There is no tool ${JSON.stringify(call.name)}.`, true);
  try {
    const args = argumentsOf(call);
    if ((await consent()) === 'refuse') return note(call, signal.aborted ? STOPPED : REFUSED, true);
    note(call, await tool.run(args, signal), false);
  } catch (error) {
    note(call, signal.aborted ? STOPPED : `Error: ${error instanceof Error ? error.message : String(error)}`, true);
  }
}

/** Runs the calls that have no result yet; after it each has one. `consent` is asked for each that can be run. */
export async function runCalls(
  calls: readonly ToolCall[],
  tools: readonly Tool[],
  consent: (call: ToolCall, index: number) => Promise<Consent>,
  signal: AbortSignal,
): Promise<void> {
  for (const [index, call] of calls.entries()) {
    if (call.result !== undefined) continue;
    if (signal.aborted) note(call, STOPPED, true);
    else await runCall(call, tools, () => consent(call, index), signal);
  }
}
