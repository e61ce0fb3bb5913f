import { describe, expect, it } from 'vitest';
import { drawMath } from './math';

// The formula as a row of its parts, "_" for a thin space.
async function drawn(tex: string): Promise<string> {
  const root = document.createElement('div');
  const spot = root.appendChild(document.createElement('span'));
  spot.className = 'math';
  spot.textContent = tex;
  await drawMath(root);
  const parts = [...root.querySelectorAll('mi, mo, mn, mspace')].map((each) => (each.localName === 'mspace' ? '_' : each.textContent));
  return parts.filter((part) => part !== '\u2061').join('');
}

describe('formulas', () => {
  it('have thin spaces around names of functions, as TeX has', async () => {
    expect(await drawn('n \\log n')).toBe('n_log_n');
    expect(await drawn('O(n \\log n)')).toBe('O(n_log_n)');
    expect(await drawn('2\\cos(x) + \\sin x')).toBe('2_cos(x)+sin_x');
    expect(await drawn('a \\max_{x} f')).toBe('a_maxx_f');
  });

  it('that are wrong stay as they were written', async () => {
    const root = document.createElement('div');
    root.innerHTML = '<span class="math">\\frac{1</span>';
    await drawMath(root);
    expect(root.textContent).toBe('\\frac{1');
  });
});
