// /api/v1/servers: the loaded models and their memory.
import { json, pathOf } from './http';

export interface PooledModel {
  model: string;
  state: 'loading' | 'ready' | 'unloading' | 'waiting' | 'failed' | 'unloaded';
  in_use: number;
  waiting_requests: number;
  pinned: boolean;
  closing: boolean;
  keep_alive_left_s: number | null;
  memory: {
    reserved_bytes: number;
    weight_bytes: number;
    kv_bytes: number;
    scratch_bytes: number;
    adapter_bytes: number;
    tokenizer_bytes: number;
  };
  running?: number;
  queued?: number;
  kv_pages?: { total: number; used: number; cached: number };
  tokens_per_second?: number;
  loaded_at?: number;
  requests: number;
  load_seconds: number;
  progress: { step: string; elapsed_s: number; fraction?: number; message?: string } | null;
  last_error: { message: string; code: string; at: number } | null;
}

export type Eviction = 'lru' | 'lfu' | 'ttl';

export interface PoolChange {
  /** "8GB", "50%"; 0: chosen by the program. */
  memory?: string | number;
  eviction?: Eviction;
  /** "5m"; -1: until the memory is needed. */
  keep_alive?: string | number;
  swap_wait?: string | number;
}

export interface PoolLoad {
  model: string;
  keep_alive?: string;
  pin?: boolean;
}

export interface Pool {
  budget: { bytes: number | null; from: 'machine' | 'setting'; reserved_bytes: number; free_bytes: number | null };
  settings: { eviction: Eviction; keep_alive_s: number | null; swap_wait_s: number };
  waiting_requests: number;
  servers: PooledModel[];
}

export const pool = {
  show: (signal?: AbortSignal) => json<Pool>('/api/v1/servers', { signal }),
  change: (fields: PoolChange) => json<Pool>('/api/v1/servers', { method: 'PATCH', body: fields }),
  load: (fields: PoolLoad) => json<PooledModel>('/api/v1/servers', { method: 'POST', body: fields }),
  pin: (model: string, pinned: boolean) => json<PooledModel>(`/api/v1/servers/${pathOf(model)}/${pinned ? 'pin' : 'unpin'}`, { method: 'POST' }),
  unload: (model: string, mode: 'wait' | 'cancel') => json<PooledModel>(`/api/v1/servers/${pathOf(model)}?mode=${mode}`, { method: 'DELETE' }),
};
