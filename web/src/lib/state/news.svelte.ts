// What the server pushes: downloads and changes of its models. Comes again by itself when the connection breaks.
import { news as stream, type Download } from '$lib/api/catalog';
import { models } from './models.svelte';

const AGAIN_MS = 2000;

class News {
  downloads = $state<Download[]>([]);
  /** Grows with each change of the models on this machine. */
  modelsVersion = $state(0);
  #running = false;

  get active(): Download[] {
    return this.downloads.filter((download) => download.state !== 'done' && download.state !== 'cancelled');
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    void this.#listen();
  }

  /** One state of a download; an older one that crossed it on its way is dropped. */
  take(download: Download): void {
    const before = this.downloads.find((each) => each.id === download.id);
    if (before === undefined) this.downloads = [download, ...this.downloads];
    else if (download.version >= before.version) Object.assign(before, download);
    if (download.state === 'done' && before?.state !== 'done') this.#changed();
  }

  forget(id: string): void {
    this.downloads = this.downloads.filter((each) => each.id !== id);
  }

  #changed(): void {
    this.modelsVersion += 1;
    void models.refresh();
  }

  async #listen(): Promise<void> {
    const controller = new AbortController();
    addEventListener('pagehide', () => controller.abort());
    while (!controller.signal.aborted) {
      try {
        for await (const event of stream(controller.signal)) {
          if (event.kind === 'downloads') this.downloads = event.downloads;
          else if (event.kind === 'download') this.take(event.download);
          else this.#changed();
        }
      } catch {
        // The frame tells of a server that is gone.
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

export const news = new News();
