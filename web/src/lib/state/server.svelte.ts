// The server as this page knows it: whether it answers, and what it can do.
import { connection } from '$lib/api/http';
import { serverFacts, systemFacts } from '$lib/api/server';

class ServerState {
  version = $state('');
  routes = $state.raw<ReadonlySet<string>>(new Set());
  /** Where the program keeps what it keeps; null where that is not this person's to know. */
  folder = $state<string | null>(null);
  reachable = $state(true);
  started = $state(false);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #delayMs = 1000;

  /** "GET /api/v1/chats": whether this server has such a route. */
  has(route: string): boolean {
    return this.routes.has(route);
  }

  async start(): Promise<void> {
    connection.onReach = (reached) => this.#reach(reached);
    await this.#read();
  }

  async readFolder(): Promise<void> {
    if (this.folder !== null || !this.has('GET /api/v1/system')) return;
    try {
      this.folder = (await systemFacts()).state_folder ?? null;
    } catch {
      // The page does without.
    }
  }

  async #read(): Promise<void> {
    try {
      const facts = await serverFacts();
      this.version = facts.version;
      this.routes = new Set(facts.routes);
      this.started = true;
    } catch {
      // onReach has noted it and asks again.
    }
  }

  #reach(reached: boolean): void {
    if (reached) {
      this.#delayMs = 1000;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    } else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        void this.#read();
      }, this.#delayMs);
      this.#delayMs = Math.min(this.#delayMs * 1.6, 10_000);
    }
    this.reachable = reached;
  }
}

export const server = new ServerState();
