// The models that a new server offers to begin with: what the hub's users download most, of what runs and fits here.
import { hub, type HubDetails } from '$lib/api/catalog';
import { pool } from '$lib/api/pool';
import { candidates, chooseOf, type Choice } from '$lib/api/starters';
import { server } from './server.svelte';

const ASKED = 60;

class Starters {
  choice = $state.raw<Choice | null>(null);
  error = $state<string | null>(null);
  #running = false;

  async read(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    this.error = null;
    try {
      const [found, memory] = await Promise.all([hub.search({ sort: 'downloads', tag: 'text-generation', limit: ASKED }), this.#memory()]);
      const asked = await Promise.allSettled(candidates(found.models, memory).map((model) => hub.show(model.id)));
      const details = asked.filter((each): each is PromiseFulfilledResult<HubDetails> => each.status === 'fulfilled').map((each) => each.value);
      const failed = asked.find((each) => each.status === 'rejected');
      if (details.length === 0 && failed !== undefined) throw failed.reason;
      this.choice = chooseOf(details);
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
    this.#running = false;
  }

  // What models may have in all, so that nothing is asked about those that never fit.
  async #memory(): Promise<number | null> {
    if (!server.has('GET /api/v1/servers')) return null;
    return (await pool.show()).budget.bytes;
  }
}

export const starters = new Starters();
