// What of the frame is open, and what this browser remembers of it.
import { storage } from './storage';

class Frame {
  /** Wide enough for a sidebar; for a second one at the right. */
  roomy = $state(true);
  wide = $state(true);
  sidebarOpen = $state(storage.get('sidebar') !== 'closed');
  drawerOpen = $state(false);
  paletteOpen = $state(false);
  shortcutsOpen = $state(false);
  #letterKeys = $state(storage.get('letter-keys') !== 'off');
  #parametersOpen = $state(storage.get('parameters') === 'open' && matchMedia('(min-width: 1100px)').matches);
  #lastModel = $state(storage.get('model') ?? '');

  start(): void {
    const follow = (query: string, set: (matches: boolean) => void) => {
      const media = matchMedia(query);
      set(media.matches);
      media.addEventListener('change', () => set(media.matches));
    };
    follow('(min-width: 768px)', (matches) => {
      this.roomy = matches;
      this.drawerOpen = false;
    });
    follow('(min-width: 1100px)', (matches) => (this.wide = matches));
  }

  toggleSidebar(): void {
    if (!this.roomy) {
      this.drawerOpen = !this.drawerOpen;
      return;
    }
    this.sidebarOpen = !this.sidebarOpen;
    storage.set('sidebar', this.sidebarOpen ? null : 'closed');
  }

  get parametersOpen(): boolean {
    return this.#parametersOpen;
  }
  set parametersOpen(open: boolean) {
    this.#parametersOpen = open;
    storage.set('parameters', open ? 'open' : null);
  }

  /** Keys of one letter do something where nobody writes. */
  get letterKeys(): boolean {
    return this.#letterKeys;
  }
  set letterKeys(on: boolean) {
    this.#letterKeys = on;
    storage.set('letter-keys', on ? null : 'off');
  }

  get lastModel(): string {
    return this.#lastModel;
  }
  set lastModel(model: string) {
    this.#lastModel = model;
    storage.set('model', model);
  }
}

export const frame = new Frame();
