// The tools that chats may offer, and the calls that wait for a person's word.
import { builtin } from '$lib/tools/builtin';
import type { Consent } from '$lib/tools/calls';
import type { Tool, ToolSource } from '$lib/tools/types';

/** Names a call on the page: ids that models give may come twice. */
export const callKey = (messageId: string, index: number): string => `${messageId}/${index}`;

class Tools {
  all = $state.raw<readonly Tool[]>([]);
  #waiting = $state.raw<ReadonlyMap<string, (consent: Consent) => void>>(new Map());
  /** Tools allowed once and for all, by conversation. Forgotten with the page: a right to run is not kept. */
  #allowed = new Map<string, Set<string>>();

  async add(source: ToolSource): Promise<void> {
    const tools = await source.list();
    this.all = [...this.all, ...tools.filter((tool) => !this.all.some((each) => each.name === tool.name))];
  }

  /** Those of these names that there are. */
  named(names: readonly string[] | undefined): Tool[] {
    return names === undefined ? [] : this.all.filter((tool) => names.includes(tool.name));
  }

  isWaiting(key: string): boolean {
    return this.#waiting.has(key);
  }

  /** Asks whether a call may run, unless that is known; a stop refuses. */
  ask(conversationId: string, tool: string, key: string, signal: AbortSignal): Promise<Consent> {
    if (this.#allowed.get(conversationId)?.has(tool)) return Promise.resolve('once');
    return new Promise((resolve) => {
      const answered = (consent: Consent) => {
        signal.removeEventListener('abort', stop);
        this.#waiting = new Map([...this.#waiting].filter(([each]) => each !== key));
        if (consent === 'always') {
          const allowed = this.#allowed.get(conversationId) ?? new Set();
          this.#allowed.set(conversationId, allowed.add(tool));
        }
        resolve(consent);
      };
      const stop = () => answered('refuse');
      signal.addEventListener('abort', stop);
      this.#waiting = new Map([...this.#waiting, [key, answered]]);
    });
  }

  answer(key: string, consent: Consent): void {
    this.#waiting.get(key)?.(consent);
  }
}

export const tools = new Tools();
void tools.add(builtin);
