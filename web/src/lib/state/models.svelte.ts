// The models that can be asked.
import { listModels, type ModelEntry } from '$lib/api/openai';
import { ApiError } from '$lib/api/http';

class Models {
  list = $state.raw<ModelEntry[]>([]);
  loaded = $state(false);
  error = $state<string | null>(null);
  #running: Promise<void> | undefined;

  get chat(): ModelEntry[] {
    return this.list.filter((model) => model.capabilities?.includes('chat') ?? true);
  }

  find(id: string): ModelEntry | undefined {
    return this.list.find((model) => model.id === id);
  }

  /** Reads the list anew; a second call joins the first. */
  refresh(): Promise<void> {
    return (this.#running ??= this.#read().finally(() => (this.#running = undefined)));
  }

  async #read(): Promise<void> {
    try {
      this.list = (await listModels()).sort((a, b) => Number(b.loaded ?? false) - Number(a.loaded ?? false) || a.id.localeCompare(b.id));
      this.error = null;
      this.loaded = true;
    } catch (error) {
      this.error = error instanceof ApiError ? error.message : String(error);
    }
  }
}

export const models = new Models();
