// Formulas as MathML, which browsers draw themselves: no fonts to fetch, no inline styles.

let katex: Promise<typeof import('katex')> | undefined;

const APPLIED = '\u2061'; // between a function's name and what it is of
const SCRIPTS = /^(msub|msup|msubsup|munder|mover|munderover)$/i;
const isOperator = (node: Element | null) => node === null || /^mo$/i.test(node.localName);

// TeX's thin space around names as "log", which KaTeX's MathML leaves to the browser and browsers leave out.
export function spaceFunctions(root: Element): void {
  const space = () => {
    const element = document.createElementNS('http://www.w3.org/1998/Math/MathML', 'mspace');
    element.setAttribute('width', '0.1667em');
    return element;
  };
  for (const applied of [...root.querySelectorAll('mo')].filter((each) => each.textContent === APPLIED)) {
    const row = applied.parentElement;
    const wrapper = row?.parentElement;
    // With limits the name and its mark are the first part of another element.
    const scripted = row !== null && wrapper !== null && wrapper !== undefined && SCRIPTS.test(wrapper.localName) && wrapper.firstElementChild === row;
    const begin = scripted ? wrapper : applied.previousElementSibling;
    const end = scripted ? wrapper : applied;
    if (begin === null) continue;
    if (!isOperator(begin.previousElementSibling)) begin.before(space());
    if (!isOperator(end.nextElementSibling)) end.after(space());
  }
}

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
      spaceFunctions(spot);
      spot.title = tex;
    } catch {
      spot.textContent = tex;
    }
  }
}
