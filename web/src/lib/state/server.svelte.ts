// The server as this page knows it: whether it answers, and what it can do.
import { connection } from '$lib/api/http';
import { serverFacts } from '$lib/api/server';

class ServerState {
  version = $state('');
  routes = $state.raw<ReadonlySet<string>>(new Set());
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
