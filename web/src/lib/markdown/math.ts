// Formulas as MathML, which browsers draw themselves: no fonts to fetch, no inline styles.

let katex: Promise<typeof import('katex')> | undefined;

/** Draws every formula within `root`; a wrong one stays as it was written. */
export async function drawMath(root: HTMLElement): Promise<void> {
  const spots = [...root.querySelectorAll<HTMLElement>('.math:not([data-drawn])')];
  if (spots.length === 0) return;
  const { default: library } = await (katex ??= import('katex'));
  for (const spot of spots) {
    const tex = spot.textContent ?? '';
    spot.dataset.drawn = '';
    try {
      library.render(tex, spot, { output: 'mathml', displayMode: spot.classList.contains('math-block'), trust: false, maxExpand: 200, maxSize: 20, strict: false });
      spot.title = tex;
    } catch {
      spot.textContent = tex;
    }
  }
}
