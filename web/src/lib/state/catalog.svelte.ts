// The models on this machine with their facts, where the server has a catalog; else those of /v1/models.
import { catalog, type LocalModel } from '$lib/api/catalog';
import { models } from './models.svelte';
import { server } from './server.svelte';

/** One row of the list, from either source. */
export interface ModelRow {
  id: string;
  loaded: boolean;
  chat: boolean;
  parent: string | null;
  parameters: number;
  contextTokens: number;
  created: number;
  local: LocalModel | null;
}

class Catalog {
  local = $state.raw<LocalModel[]>([]);
  ready = $state(false);
  error = $state<string | null>(null);
  context = $state(8192);

  get full(): boolean {
    return server.has('GET /api/v1/models');
  }

  get rows(): ModelRow[] {
    if (this.full)
      return this.local.map((local) => ({
        id: local.id,
        loaded: local.loaded,
        chat: local.facts.chat_template,
        parent: null,
        parameters: local.facts.parameters,
        contextTokens: local.facts.context_tokens,
        created: local.modified * 1000,
        local,
      }));
    return models.list.map((model) => ({
      id: model.id,
      loaded: model.loaded ?? false,
      chat: model.capabilities?.includes('chat') ?? false,
      parent: model.parent ?? null,
      parameters: model.parameters ?? 0,
      contextTokens: model.context_length ?? 0,
      created: model.created * 1000,
      local: null,
    }));
  }

  async refresh(): Promise<void> {
    try {
      if (this.full) this.local = await catalog.list(this.context);
      else await models.refresh();
      this.error = this.full ? null : models.error;
      this.ready = this.full || models.loaded;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
  }

  async scan(): Promise<void> {
    this.local = await catalog.scan();
    await models.refresh();
  }
}

export const localCatalog = new Catalog();
