// Answers under way: streams them into messages, one frame of the screen at a time, and ends them.
import { ApiError } from '$lib/api/http';
import type { ChatChunk } from '$lib/api/openai';
import { streamAnswer } from '$lib/api/answer';
import { applyChunk, endAnswer, joinStats } from '$lib/chat/answer';
import { protocolOf, protocolToGoOn, type Asked, type ProtocolEntry, type WireRequest } from '$lib/chat/protocol';
import { latestLeaf, newMessage, pathTo, siblingsOf, titleOf, without } from '$lib/chat/tree';
import type { Attachment, ChatSettings, Conversation, Message, ToolCall } from '$lib/chat/types';
import { MOST_ROUNDS, roundsOf, runCalls } from '$lib/tools/calls';
import { chats } from './chats.svelte';
import { models } from './models.svelte';
import { server } from './server.svelte';
import { callKey, tools } from './tools.svelte';

interface Running {
  controller: AbortController;
  messages: Message[];
}

// Text that comes faster is read no faster, and each change costs layout.
const FLUSH_MS = 40;

// At the next frame that is far enough from the last change. A page that is not on the screen has no frames: there a
// timer takes their place.
function nextFrame(run: () => void, sinceLastMs: number): void {
  if (document.hidden) setTimeout(run, 100);
  else if (sinceLastMs >= FLUSH_MS) requestAnimationFrame(run);
  else setTimeout(() => requestAnimationFrame(run), FLUSH_MS - sinceLastMs);
}

class Generation {
  #running = $state.raw<ReadonlyMap<string, Running[]>>(new Map());

  isRunning(conversationId: string): boolean {
    return this.#running.has(conversationId);
  }

  get anyRunning(): boolean {
    return this.#running.size > 0;
  }

  /** Asks: a message of the user at the end of the branch on screen, and the answer of each model. */
  ask(conversation: Conversation, text: string, attachments: Attachment[], askedModels: readonly string[]): void {
    const message = newMessage('user', conversation.current, { text, attachments });
    conversation.messages.push(message);
    conversation.current = message.id;
    if (conversation.title === '') conversation.title = titleOf(text) || (attachments[0]?.name ?? '');
    this.#answer(conversation, message.id, askedModels);
  }

  /** A sibling of a user's message with other words, and its answer. */
  edit(conversation: Conversation, message: Message, text: string, askedModels: readonly string[]): void {
    const sibling = newMessage('user', message.parent, { text, attachments: $state.snapshot(message.attachments) });
    conversation.messages.push(sibling);
    conversation.current = sibling.id;
    this.#answer(conversation, sibling.id, askedModels);
  }

  /** A sibling of an answer. */
  regenerate(conversation: Conversation, message: Message, askedModels: readonly string[]): void {
    if (message.parent !== null) this.#answer(conversation, message.parent, askedModels);
  }

  /** Goes on with an answer that was cut, in its place. */
  goOn(conversation: Conversation, message: Message): void {
    const before = message.stats === null ? null : $state.snapshot(message.stats);
    Object.assign(message, { finish: null, error: null, stats: null, logprobs: [] });
    this.#start(conversation, [message], new AbortController(), () => {
      if (before !== null && message.stats !== null) message.stats = joinStats(before, message.stats);
    });
  }

  stop(conversationId: string): void {
    for (const running of this.#running.get(conversationId) ?? []) running.controller.abort();
  }

  /** Shows the sibling that lies `step` further, with what was written under it last. */
  turn(conversation: Conversation, message: Message, step: number): void {
    const siblings = siblingsOf(conversation.messages, message);
    const next = siblings[siblings.findIndex((each) => each.id === message.id) + step];
    if (next !== undefined) this.choose(conversation, next);
  }

  choose(conversation: Conversation, message: Message): void {
    conversation.current = latestLeaf(conversation.messages, message.id);
    chats.changed(conversation);
  }

  /** Removes a message with all beneath it; what is left of the branch stays on screen. */
  removeFrom(conversation: Conversation, message: Message): void {
    this.stop(conversation.id);
    const siblings = siblingsOf(conversation.messages, message).filter((each) => each.id !== message.id);
    conversation.messages = without(conversation.messages, message.id);
    const next = siblings.at(-1);
    conversation.current = next !== undefined ? latestLeaf(conversation.messages, next.id) : message.parent;
    chats.changed(conversation);
  }

  #answer(conversation: Conversation, parent: string, askedModels: readonly string[]): void {
    conversation.model = askedModels[0] ?? conversation.model;
    for (const model of askedModels) {
      const { protocol } = this.#asked(conversation, model, parent);
      const count = protocol.without.includes('n') ? 1 : Number(conversation.settings.parameters.n ?? 1);
      const answers = this.#begin(conversation, parent, model, count);
      conversation.current = answers[0]?.id ?? conversation.current;
      this.#start(conversation, answers, new AbortController());
    }
    chats.changed(conversation, true);
  }

  /** The request for an answer to `parent`, and what goes with it. */
  #asked(conversation: Conversation, model: string, parent: string) {
    const settings = $state.snapshot(conversation.settings) as ChatSettings;
    const path = $state.snapshot(pathTo(conversation.messages, parent)) as Message[];
    const protocol = protocolOf(settings.protocol, (route) => server.has(route));
    const offered = tools.named(settings.tools);
    const asked: Asked = { model, path, settings, tools: offered, contextTokens: models.find(model)?.context_length };
    return { protocol, offered, asked };
  }

  /** Empty answers, as the conversation gives them out, so that the page sees their changes. */
  #begin(conversation: Conversation, parent: string, model: string, count: number): Message[] {
    const first = conversation.messages.length;
    for (let i = 0; i < count; i++) conversation.messages.push(newMessage('assistant', parent, { model }));
    return conversation.messages.slice(first);
  }

  /** `joined` is given for an answer that has begun, and called when it has ended. */
  #start(conversation: Conversation, messages: Message[], controller: AbortController, joined?: () => void): void {
    const running = { controller, messages };
    this.#note(conversation, running, true);
    void this.#run(conversation, running, joined).finally(() => {
      this.#note(conversation, running, false);
      chats.changed(conversation, true);
      if (!models.find(messages[0]?.model ?? '')?.loaded) void models.refresh();
    });
  }

  /** Answers, runs what the answer calls, and answers on with the results, until one calls nothing. */
  async #run(conversation: Conversation, { messages, controller }: Running, joined?: () => void): Promise<void> {
    const { id, model = '', parent } = messages[0] ?? {};
    const goesOn = joined !== undefined;
    const last = goesOn ? id : parent;
    if (last === undefined || last === null) return;
    const { protocol: chosen, offered, asked } = this.#asked(conversation, model, last);
    const protocol = (goesOn ? protocolToGoOn((route) => server.has(route)) : null) ?? chosen;
    // The last round has to do with what is there.
    const mayCall = roundsOf(asked.path) < MOST_ROUNDS;
    await this.#stream(messages, controller, protocol, protocol.build({ ...asked, mayCall, goesOn }));
    joined?.();
    for (const message of messages) {
      // A call that was forced may end as any other answer does.
      const complete = message.finish === 'tool_calls' || message.finish === 'stop';
      if (!complete || message.toolCalls.length === 0 || offered.length === 0) continue;
      chats.changed(conversation, true);
      const consent = (call: ToolCall, index: number) => tools.ask(conversation.id, call.name, callKey(message.id, index), controller.signal);
      await runCalls(message.toolCalls, offered, consent, controller.signal);
      if (controller.signal.aborted) continue;
      const next = this.#begin(conversation, message.id, model, 1);
      // Only where this one is on screen: a reader who has turned to another stays there.
      if (conversation.current === message.id) conversation.current = next[0]?.id ?? null;
      this.#start(conversation, next, controller);
    }
  }

  async #stream(messages: Message[], controller: AbortController, protocol: ProtocolEntry, request: WireRequest): Promise<void> {
    const start = performance.now();
    let waiting: { chunk: ChatChunk; elapsed: number }[] = [];
    let scheduled = false;
    let lastFlush = 0;
    const flush = () => {
      scheduled = false;
      lastFlush = performance.now();
      for (const { chunk, elapsed } of waiting) applyChunk(messages, chunk, elapsed);
      waiting = [];
    };
    const elapsed = () => performance.now() - start;
    const end = (finish: 'stopped' | 'failed', error: string | null) => {
      for (const message of messages) endAnswer(message, finish, elapsed(), error);
    };
    try {
      for await (const chunk of streamAnswer(protocol, request, controller.signal)) {
        waiting.push({ chunk, elapsed: elapsed() });
        if (!scheduled) {
          scheduled = true;
          nextFrame(flush, performance.now() - lastFlush);
        }
      }
      flush();
      end('failed', 'the answer ended without its reason');
    } catch (error) {
      flush();
      if (controller.signal.aborted) end('stopped', null);
      else end('failed', error instanceof ApiError ? error.message : String(error));
    }
  }

  #note(conversation: Conversation, running: Running, on: boolean): void {
    const next = new Map(this.#running);
    const others = (next.get(conversation.id) ?? []).filter((each) => each !== running);
    const list = on ? [...others, running] : others;
    if (list.length > 0) {
      next.set(conversation.id, list);
      chats.open.set(conversation.id, conversation);
    } else {
      next.delete(conversation.id);
      chats.open.delete(conversation.id);
    }
    this.#running = next;
  }
}

export const generation = new Generation();
