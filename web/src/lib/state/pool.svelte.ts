// The pool of loaded models, read while its page is open: often while something loads, seldom else.
import { pool, type Pool, type PooledModel } from '$lib/api/pool';

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
    void this.refresh();
    return () => {
      this.#watching = false;
      clearTimeout(this.#timer);
    };
  }

  async refresh(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      this.now = await pool.show();
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
    const busy = this.shown.some((model) => model.state !== 'ready' && model.state !== 'failed');
    clearTimeout(this.#timer);
    if (this.#watching) this.#timer = setTimeout(() => void this.refresh(), busy ? BUSY_MS : IDLE_MS);
  }
}

export const poolState = new PoolState();
