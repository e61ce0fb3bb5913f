// The pool of loaded models, read while its page is open: when the server tells of a load or its end, and now and then
// for what changes by itself (memory, rates); often while something loads only where events do not come.
import { pool, type Pool, type PooledModel } from '$lib/api/pool';
import { news } from './news.svelte';
import { server } from './server.svelte';
import { toasts } from './toasts.svelte';

const BUSY_MS = 500;
const IDLE_MS = 2500;

class PoolState {
  now = $state.raw<Pool | null>(null);
  error = $state<string | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watching = false;

  /** Those that have something to show. */
  get shown(): PooledModel[] {
    return (this.now?.servers ?? []).filter((model) => model.state !== 'unloaded');
  }

  watch(): () => void {
    this.#watching = true;
    const end = news.on('server', () => void this.refresh());
    void this.refresh();
    return () => {
      end();
      this.#watching = false;
      clearTimeout(this.#timer);
    };
  }

  /** Loads a model that is about to be asked. */
  async warm(model: string): Promise<void> {
    if (!server.has('POST /api/v1/servers')) return;
    try {
      await pool.load({ model });
    } catch (error) {
      toasts.error(error);
    }
  }

  async refresh(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      this.now = await pool.show();
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
    const busy = !news.connected && this.shown.some((model) => model.state !== 'ready' && model.state !== 'failed');
    clearTimeout(this.#timer);
    if (this.#watching) this.#timer = setTimeout(() => void this.refresh(), busy ? BUSY_MS : IDLE_MS);
  }
}

export const poolState = new PoolState();
