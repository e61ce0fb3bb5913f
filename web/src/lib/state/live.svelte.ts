// What the server does now, from its metrics: rates are differences between two readings. Read every two seconds while
// someone looks, less often while nothing happens, not at all in the background.
import { parseMetrics, type Sample } from '$lib/api/metrics';
import { metricsText } from '$lib/api/server';

const KEPT = 60;
const BUSY_MS = 1000;
const IDLE_MS = 3000;

export class ModelLive {
  name: string;
  weights = $state(0);
  pages = $state(0);
  scratch = $state(0);
  adapters = $state(0);
  tables = $state(0);
  loadSeconds = $state(0);
  running = $state(0);
  waiting = $state(0);
  pagesTotal = $state(0);
  pagesUsed = $state(0);
  pagesCached = $state(0);
  promptTokens = $state(0);
  cachedTokens = $state(0);
  drafted = $state(0);
  accepted = $state(0);
  generated = 0;
  finished = $state(0);
  failed = $state(0);
  expectedWait = $state(0);
  tokensPerSecond = $state(0);
  promptPerSecond = $state(0);
  speeds = $state.raw<number[]>([]);
  queue = $state.raw<number[]>([]);

  constructor(name: string) {
    this.name = name;
  }

  get memory(): number {
    return this.weights + this.pages + this.scratch + this.adapters + this.tables;
  }
}

/** The values of one reading: `of(name, model)`, sums over further labels. */
function reader(samples: Sample[]) {
  const sums = new Map<string, number>();
  const models = new Set<string>();
  for (const { name, labels, value } of samples) {
    const model = labels.model ?? '';
    if (model !== '') models.add(model);
    const key = `${name}\n${model}`;
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return { models, of: (name: string, model = '') => sums.get(`${name}\n${model}`) ?? 0 };
}

class Live {
  models = $state.raw<ModelLive[]>([]);
  resident = $state(0);
  uptimeSeconds = $state(0);
  connections = $state(0);
  known = $state(false);
  speeds = $state.raw<number[]>([]);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastTime = 0;
  #watchers = 0;

  get tokensPerSecond(): number {
    return this.models.reduce((sum, model) => sum + model.tokensPerSecond, 0);
  }
  get running(): number {
    return this.models.reduce((sum, model) => sum + model.running, 0);
  }
  get waiting(): number {
    return this.models.reduce((sum, model) => sum + model.waiting, 0);
  }

  /** Starts reading; returns what ends it. */
  watch(): () => void {
    this.#watchers += 1;
    const wake = () => {
      if (!document.hidden) this.#schedule(0);
    };
    if (this.#watchers === 1) {
      document.addEventListener('visibilitychange', wake);
      this.#schedule(0);
    }
    return () => {
      this.#watchers -= 1;
      if (this.#watchers > 0) return;
      document.removeEventListener('visibilitychange', wake);
      clearTimeout(this.#timer);
    };
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#watchers === 0 || document.hidden) return;
    this.#timer = setTimeout(() => void this.#read(), delayMs);
  }

  async #read(): Promise<void> {
    try {
      this.take(parseMetrics(await metricsText()), performance.now());
    } catch {
      this.known = false;
    }
    this.#schedule(this.running + this.waiting > 0 ? BUSY_MS : IDLE_MS);
  }

  /** One reading, at `now` ms of any clock that does not jump. */
  take(samples: Sample[], now: number): void {
    const read = reader(samples);
    const seconds = this.known ? (now - this.#lastTime) / 1000 : 0;
    this.#lastTime = now;
    this.resident = read.of('mlxd_resident_memory_bytes');
    this.uptimeSeconds = read.of('mlxd_uptime_seconds');
    this.connections = read.of('mlxd_http_connections_open');
    const before = new Map(this.models.map((model) => [model.name, model]));
    const models = [...read.models].sort().map((name) => {
      const model = before.get(name) ?? new ModelLive(name);
      const known = before.has(name) && seconds > 0;
      const of = (metric: string) => read.of(metric, name);
      const rate = (value: number, last: number) => (known && value >= last ? (value - last) / seconds : 0);
      model.tokensPerSecond = rate(of('mlxd_generated_tokens_total'), model.generated);
      model.promptPerSecond = rate(of('mlxd_prompt_tokens_total'), model.promptTokens);
      model.generated = of('mlxd_generated_tokens_total');
      model.promptTokens = of('mlxd_prompt_tokens_total');
      model.cachedTokens = of('mlxd_cached_prompt_tokens_total');
      model.drafted = of('mlxd_drafted_tokens_total');
      model.accepted = of('mlxd_accepted_draft_tokens_total');
      model.weights = of('mlxd_weight_bytes');
      model.pages = of('mlxd_kv_bytes');
      model.scratch = of('mlxd_scratch_bytes');
      model.adapters = of('mlxd_adapter_bytes');
      model.tables = of('mlxd_tokenizer_bytes');
      model.loadSeconds = of('mlxd_model_load_seconds');
      model.running = of('mlxd_sequences_running');
      model.waiting = of('mlxd_sequences_waiting');
      model.pagesTotal = of('mlxd_kv_pages_total');
      model.pagesUsed = of('mlxd_kv_pages_used');
      model.pagesCached = of('mlxd_kv_pages_cached');
      model.finished = of('mlxd_sequences_finished_total');
      model.failed = of('mlxd_sequences_failed_total');
      model.expectedWait = of('mlxd_expected_wait_seconds');
      model.speeds = [...model.speeds, model.tokensPerSecond].slice(-KEPT);
      model.queue = [...model.queue, model.running + model.waiting].slice(-KEPT);
      return model;
    });
    // Only those that have weights are loaded; other metrics may name a model that is gone.
    this.models = models.filter((model) => model.weights > 0);
    this.speeds = [...this.speeds, this.tokensPerSecond].slice(-KEPT);
    this.known = true;
  }
}

export const live = new Live();
export { Live };
