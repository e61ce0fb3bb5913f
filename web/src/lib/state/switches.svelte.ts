// The variables of the models' chat templates, asked about once for each model.
import { catalog, type TemplateSwitch } from '$lib/api/catalog';
import { server } from './server.svelte';

class Switches {
  #known = $state.raw<ReadonlyMap<string, TemplateSwitch[]>>(new Map());
  #asked = new Set<string>();

  /** Those of a model; none as long as they are not known. */
  of(model: string): TemplateSwitch[] {
    return this.#known.get(model) ?? [];
  }

  async read(model: string): Promise<void> {
    if (model === '' || this.#asked.has(model) || !server.has('GET /api/v1/models/{id...}')) return;
    this.#asked.add(model);
    try {
      const { template_switches = [] } = await catalog.show(model);
      this.#known = new Map(this.#known).set(model, template_switches);
    } catch {
      // A profile or another name is no model of the catalog; its variables can be written as JSON.
    }
  }
}

export const switches = new Switches();
