import { describe, expect, it, vi } from 'vitest';
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
