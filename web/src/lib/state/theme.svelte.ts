import { storage } from './storage';

export type Theme = 'system' | 'light' | 'dark';

class ThemeState {
  choice = $state<Theme>('system');
  dark = $state(false);

  start(): void {
    const stored = storage.get('theme');
    this.choice = stored === 'light' || stored === 'dark' ? stored : 'system';
    const system = matchMedia('(prefers-color-scheme: dark)');
    system.addEventListener('change', () => this.#apply());
    this.#apply();
  }

  use(theme: Theme): void {
    this.choice = theme;
    storage.set('theme', theme === 'system' ? null : theme);
    this.#apply();
  }

  #apply(): void {
    this.dark = this.choice === 'dark' || (this.choice === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
    document.documentElement.classList.toggle('dark', this.dark);
  }
}

export const theme = new ThemeState();
