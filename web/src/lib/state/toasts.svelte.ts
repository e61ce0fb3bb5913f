import { ApiError } from '$lib/api/http';

export interface Toast {
  id: number;
  kind: 'info' | 'good' | 'bad';
  text: string;
  action?: { label: string; run: () => void };
}

class Toasts {
  list = $state<Toast[]>([]);
  #next = 1;

  show(kind: Toast['kind'], text: string, action?: Toast['action']): void {
    const id = this.#next++;
    this.list = [...this.list.slice(-3), { id, kind, text, action }];
    setTimeout(() => this.close(id), kind === 'bad' || action ? 9000 : 4000);
  }

  good = (text: string, action?: Toast['action']) => this.show('good', text, action);
  info = (text: string, action?: Toast['action']) => this.show('info', text, action);

  /** What went wrong, in the words of who said so. The frame tells of an unreachable server by itself. */
  error = (error: unknown) => {
    if (error instanceof DOMException && error.name === 'AbortError') return;
    if (error instanceof ApiError && error.unreachable) return;
    this.show('bad', error instanceof Error ? error.message : String(error));
  };

  close(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
