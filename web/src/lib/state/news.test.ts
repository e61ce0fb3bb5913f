import { describe, expect, it, vi } from 'vitest';
import type { Download } from '$lib/api/catalog';
import { News } from './news.svelte';
import { models } from './models.svelte';

describe('loads of models', () => {
  it('are known while they last, and told at each step', () => {
    const refresh = vi.spyOn(models, 'refresh').mockResolvedValue();
    const news = new News();
    let told = 0;
    const end = news.on('server', () => (told += 1));
    news.takeLoad({ model: 'm', step: 'reading', fraction: 0.1 });
    news.takeLoad({ model: 'm', step: 'reading', fraction: 0.9 });
    expect(news.loads.get('m')?.fraction).toBe(0.9);
    expect(told).toBe(1);
    news.takeLoad({ model: 'm', step: 'preparing' });
    expect(told).toBe(2);
    expect(refresh).not.toHaveBeenCalled();
    news.takeLoad({ model: 'm', step: 'ready' });
    expect(news.loads.size).toBe(0);
    expect(told).toBe(3);
    expect(refresh).toHaveBeenCalledOnce();
    end();
    news.takeLoad({ model: 'm', step: 'unloaded' });
    expect(told).toBe(3);
    refresh.mockRestore();
  });
});

describe('downloads', () => {
  const download = (state: Download['state'], version: number) => ({ id: 'd', model: 'm', state, version }) as Download;

  it('are told of once when they have come to their end', () => {
    const refresh = vi.spyOn(models, 'refresh').mockResolvedValue();
    const news = new News();
    const arrived: string[] = [];
    news.onArrival = ({ model }) => arrived.push(model);
    news.take(download('running', 1));
    expect(news.active).toHaveLength(1);
    news.take(download('done', 2));
    news.take(download('done', 3));
    expect(arrived).toEqual(['m']);
    expect(news.active).toHaveLength(0);
    expect(refresh).toHaveBeenCalledOnce();
    refresh.mockRestore();
  });

  it('keep the newer of two reports', () => {
    const news = new News();
    news.take(download('paused', 5));
    news.take(download('running', 4));
    expect(news.downloads[0]?.state).toBe('paused');
  });
});
