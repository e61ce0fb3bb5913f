// Named sets of a conversation's settings, kept in this browser.
import type { ChatSettings } from '$lib/chat/types';
import { storage } from './storage';

export interface Preset extends ChatSettings {
  name: string;
}

class Presets {
  list = $state.raw<Preset[]>(storage.json<Preset[]>('presets', []));

  find(name: string): Preset | undefined {
    return this.list.find((preset) => preset.name === name);
  }
  save(name: string, settings: ChatSettings): void {
    this.#set([...this.list.filter((preset) => preset.name !== name), { name, ...settings }].sort((a, b) => a.name.localeCompare(b.name)));
  }
  remove(name: string): void {
    this.#set(this.list.filter((preset) => preset.name !== name));
  }
  #set(list: Preset[]): void {
    this.list = list;
    storage.set('presets', JSON.stringify(list));
  }
}

export const presets = new Presets();
