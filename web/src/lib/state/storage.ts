// This browser's own small memory, under one prefix. A browser without storage forgets, nothing else.

const PREFIX = 'mlxd.';

export const storage = {
  get(name: string): string | null {
    try {
      return localStorage.getItem(PREFIX + name);
    } catch {
      return null;
    }
  },
  set(name: string, value: string | null): void {
    try {
      if (value === null) localStorage.removeItem(PREFIX + name);
      else localStorage.setItem(PREFIX + name, value);
    } catch {
      // Full or forbidden.
    }
  },
  json<T>(name: string, otherwise: T): T {
    try {
      const text = storage.get(name);
      return text === null ? otherwise : (JSON.parse(text) as T);
    } catch {
      return otherwise;
    }
  },
};
