import { expect, it } from 'vitest';
import { Live } from '$lib/state/live.svelte';
import { parseMetrics } from './metrics';

it('reads metrics with labels and escapes', () => {
  const text = '# HELP x y\nmlxd_a 3\nmlxd_b{model="a\\"b\\\\c",le="+Inf"} 4.5e3 1700\nmlxd_c{} +Inf\nbroken line here\n';
  expect(parseMetrics(text).slice(0, 3)).toEqual([
    { name: 'mlxd_a', labels: {}, value: 3 },
    { name: 'mlxd_b', labels: { model: 'a"b\\c', le: '+Inf' }, value: 4500 },
    { name: 'mlxd_c', labels: {}, value: Infinity },
  ]);
});

it('makes rates of two readings, and none of one or after a restart', () => {
  const live = new Live();
  const reading = (tokens: number) => parseMetrics(`mlxd_weight_bytes{model="m"} 10\nmlxd_generated_tokens_total{model="m"} ${tokens}\nmlxd_resident_memory_bytes 99\n`);
  live.take(reading(100), 0);
  expect(live.tokensPerSecond).toBe(0);
  live.take(reading(150), 2000);
  expect(live.tokensPerSecond).toBe(25);
  expect(live.resident).toBe(99);
  live.take(reading(5), 3000);
  expect(live.tokensPerSecond).toBe(0);
  live.take(parseMetrics('mlxd_resident_memory_bytes 9\n'), 4000);
  expect(live.models).toEqual([]);
});
