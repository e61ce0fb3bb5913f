// What the server pushes: downloads, loads of models, and that a list has changed. Comes again by itself when the connection breaks.
import { news as stream, type Download, type LoadStep } from '$lib/api/catalog';
import { jobList } from './jobs.svelte';
import { models } from './models.svelte';

const AGAIN_MS = 2000;

/** Lists that pages show, of which the server says only that they are others now. */
export type Collection = 'users' | 'profiles' | 'settings';

class News {
  downloads = $state<Download[]>([]);
  /** Grows with each change of the models on this machine. */
  modelsVersion = $state(0);
  /** Loads under way, by model: the latest step of each. */
  loads = $state.raw<ReadonlyMap<string, LoadStep>>(new Map());
  /** The stream of events is there, so that nobody needs to ask again and again. */
  connected = $state(false);
  /** Called with each download that has come to its end. */
  onArrival: (download: Download) => void = () => {};
  #running = false;
  #readers = new Map<Collection | 'server', Set<() => void>>();

  get active(): Download[] {
    return this.downloads.filter((download) => download.state !== 'done' && download.state !== 'cancelled');
  }

  /** Calls `read` when a list has changed, and when it may have changed unseen; returns what ends that. */
  on(what: Collection | 'server', read: () => void): () => void {
    const readers = this.#readers.get(what) ?? new Set();
    this.#readers.set(what, readers.add(read));
    return () => readers.delete(read);
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    void this.#listen();
  }

  /** One state of a download; an older one that crossed it on its way is dropped. */
  take(download: Download): void {
    const before = this.downloads.find((each) => each.id === download.id);
    const wasDone = before?.state === 'done';
    if (before === undefined) this.downloads = [download, ...this.downloads];
    else if (download.version >= before.version) Object.assign(before, download);
    if (download.state !== 'done' || wasDone) return;
    this.onArrival(download);
    this.#changed();
  }

  forget(id: string): void {
    this.downloads = this.downloads.filter((each) => each.id !== id);
  }

  /** A step of a load; the last one ends it. */
  takeLoad(load: LoadStep): void {
    const loads = new Map(this.loads);
    const before = loads.get(load.model);
    const over = load.step === 'ready' || load.step === 'failed' || load.step === 'unloaded';
    if (over) loads.delete(load.model);
    else loads.set(load.model, load);
    this.loads = loads;
    // Between its steps only the share that is read changes, which the event itself tells.
    if (before?.step !== load.step) this.#tell('server');
    if (over) this.#changed();
  }

  #tell(what: Collection | 'server'): void {
    for (const read of this.#readers.get(what) ?? []) read();
  }

  #changed(): void {
    this.modelsVersion += 1;
    void models.refresh();
  }

  #connect(): void {
    this.connected = true;
    for (const what of this.#readers.keys()) this.#tell(what);
  }

  async #listen(): Promise<void> {
    const controller = new AbortController();
    addEventListener('pagehide', () => controller.abort());
    while (!controller.signal.aborted) {
      try {
        for await (const event of stream(controller.signal)) {
          // The first one of each connection. What came while there was none is not told again.
          if (!this.connected) this.#connect();
          if (event.kind === 'downloads') this.downloads = event.downloads;
          else if (event.kind === 'download') this.take(event.download);
          else if (event.kind === 'server') this.takeLoad(event.load);
          else if (event.kind === 'work') jobList.take(event.job);
          else if (event.kind === 'models') this.#changed();
          else this.#tell(event.kind);
        }
      } catch {
        // The frame tells of a server that is gone.
      }
      this.connected = false;
      this.loads = new Map();
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

export const news = new News();
export { News };
