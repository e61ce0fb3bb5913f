// Markdown as a list of blocks, so that a stream makes anew only the last one. What a model writes is foreign: HTML is
// shown as text but for a few harmless tags, addresses other than http(s) and mailto are no links, images are not
// fetched, and all of it passes DOMPurify.
import DOMPurify from 'dompurify';
import { Marked, type Token, type Tokens } from 'marked';

export type Block =
  | { kind: 'html'; key: number; raw: string; html: string; math: boolean }
  | { kind: 'code'; key: number; raw: string; language: string; code: string; closed: boolean };

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

const HARMLESS = /^<\/?(?:br|b|i|u|s|em|strong|sub|sup|kbd|mark|small|details|summary)\s*\/?>$/i;

/** The address if a page may lead there, else null. Control characters, as browsers drop them, hide nothing. */
export function safeAddress(address: string): string | null {
  // eslint-disable-next-line no-control-regex
  const plain = address.replace(/[\u0000-\u0020\u007f-\u009f]/g, '');
  if (/^(?:https?:\/\/|mailto:)/i.test(plain)) return address.trim();
  if (plain.startsWith('#')) return plain;
  return null;
}

interface MathToken extends Tokens.Generic {
  tex: string;
  display: boolean;
}

const marked = new Marked({
  gfm: true,
  breaks: false,
  extensions: [
    {
      name: 'mathBlock',
      level: 'block',
      start: (source: string) => /(?:^|\n) {0,3}(?:\$\$|\\\[)/.exec(source)?.index,
      tokenizer(source: string) {
        const match = /^ {0,3}(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])[ \t]*(?:\n|$)/.exec(source);
        if (!match) return undefined;
        return { type: 'mathBlock', raw: match[0], tex: (match[1] ?? match[2] ?? '').trim(), display: true };
      },
      renderer: (token) => mathHtml(token as MathToken),
    },
    {
      name: 'mathInline',
      level: 'inline',
      start: (source: string) => /\$|\\\(|\\\[/.exec(source)?.index,
      tokenizer(source: string) {
        // As pandoc: no space inside the dollars, no digit behind, so that "$5 and $6" stays money.
        const match =
          /^\$\$([^\n$]+?)\$\$/.exec(source) ?? /^\\\[([\s\S]+?)\\\]/.exec(source) ??
          /^\$((?!\s)(?:\\.|[^\\\n$])+?(?<!\s))\$(?!\d)/.exec(source) ?? /^\\\(([\s\S]+?)\\\)/.exec(source);
        if (!match) return undefined;
        const display = match[0].startsWith('$$') || match[0].startsWith('\\[');
        return { type: 'mathInline', raw: match[0], tex: (match[1] ?? '').trim(), display };
      },
      renderer: (token) => mathHtml(token as MathToken),
    },
  ],
  renderer: {
    html({ text }: Tokens.HTML | Tokens.Tag) {
      return text.replace(/<[^>]*>?|[^<]+/g, (piece) => (HARMLESS.test(piece.trim()) ? piece : escapeHtml(piece)));
    },
    link({ href, title, tokens }: Tokens.Link) {
      const label = this.parser.parseInline(tokens);
      const address = safeAddress(href);
      if (address === null) return label;
      const hint = title ? ` title="${escapeHtml(title)}"` : '';
      return `<a href="${escapeHtml(address)}"${hint} target="_blank" rel="noopener noreferrer nofollow">${label}</a>`;
    },
    image({ href, text }: Tokens.Image) {
      // Fetching it would tell its host what was asked here.
      const address = safeAddress(href);
      const label = escapeHtml(text || href);
      return address === null ? label : `<a href="${escapeHtml(address)}" target="_blank" rel="noopener noreferrer nofollow">${label}</a>`;
    },
    listitem(item: Tokens.ListItem) {
      const body = this.parser.parse(item.tokens);
      if (!item.task) return `<li>${body}</li>\n`;
      return `<li class="task">${body}</li>\n`;
    },
    checkbox({ checked }: Tokens.Checkbox) {
      return checked ? '☑ ' : '☐ ';
    },
    table(token: Tokens.Table) {
      const cell = (tag: string, each: Tokens.TableCell) =>
        `<${tag}${each.align === 'center' || each.align === 'right' ? ` class="${each.align}"` : ''}>${this.parser.parseInline(each.tokens)}</${tag}>`;
      const head = token.header.map((each) => cell('th', each)).join('');
      const rows = token.rows.map((row) => `<tr>${row.map((each) => cell('td', each)).join('')}</tr>`).join('');
      return `<div class="table-scroll" tabindex="0"><table><thead><tr>${head}</tr></thead><tbody>${rows}</tbody></table></div>`;
    },
    code({ text }: Tokens.Code) {
      return `<pre><code>${escapeHtml(text)}</code></pre>`;
    },
  },
});

function mathHtml(token: MathToken): string {
  const tag = token.type === 'mathBlock' ? 'div' : 'span';
  const kind = token.display ? 'math math-block' : 'math';
  return `<${tag} class="${kind}">${escapeHtml(token.tex)}</${tag}>`;
}

const TAGS = [
  'a', 'b', 'blockquote', 'br', 'code', 'del', 'details', 'div', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'i', 'kbd',
  'li', 'mark', 'ol', 'p', 'pre', 's', 'small', 'span', 'strong', 'sub', 'summary', 'sup', 'table', 'tbody', 'td', 'th',
  'thead', 'tr', 'u', 'ul',
];

/** What may reach the page, whatever came before. */
export function sanitize(html: string): string {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ['href', 'title', 'class', 'target', 'rel', 'start', 'tabindex'],
    // Else these too would have to look like addresses.
    ADD_URI_SAFE_ATTR: ['target', 'rel', 'start', 'tabindex'],
    ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:|#)/i,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
  });
}

function languageOf(token: Tokens.Code): string {
  return (token.lang ?? '').trim().split(/[\s{]/)[0]?.toLowerCase() ?? '';
}

/** Whether a fenced block has its closing fence; an indented one always has. */
function isClosed(token: Tokens.Code): boolean {
  const fence = /^ {0,3}(`{3,}|~{3,})/.exec(token.raw)?.[1];
  if (fence === undefined) return true;
  const last = token.raw.trimEnd().split('\n').at(-1)?.trim() ?? '';
  return token.raw.includes('\n') && last.startsWith(fence) && /^[`~]+$/.test(last);
}

function blockOf(token: Token, key: number): Block {
  if (token.type === 'code') {
    const code = token as Tokens.Code;
    return { kind: 'code', key, raw: token.raw, language: languageOf(code), code: code.text, closed: isClosed(code) };
  }
  const html = sanitize(marked.parser([token]));
  return { kind: 'html', key, raw: token.raw, html, math: html.includes('class="math') };
}

/** Blocks of a text that grows at its end. Each `update` lexes only what may still change. */
export class BlockReader {
  #closedText = ''; // what #closed was made of
  #closed: Block[] = [];
  #last: Block[] = [];
  #text = '';

  /** All blocks of `text`. Where it is the text of before with more behind, closed blocks are the same objects. */
  update(text: string, complete = true): Block[] {
    if (text === this.#text && !complete && this.#last.length > 0) return [...this.#closed, ...this.#last];
    if (!text.startsWith(this.#closedText)) {
      this.#closedText = '';
      this.#closed = [];
    }
    this.#text = text;
    const tokens = marked.lexer(text.slice(this.#closedText.length)).filter((token) => token.raw !== '');
    let lastIndex = tokens.length - 1;
    while (lastIndex > 0 && tokens[lastIndex]?.type === 'space') lastIndex -= 1;
    // The last block may still grow, and a list or table before it cannot any more.
    for (let i = 0; i < lastIndex; i++) {
      const token = tokens[i] as Token;
      this.#closedText += token.raw;
      if (token.type !== 'space') this.#closed.push(blockOf(token, this.#closed.length));
    }
    const before = this.#last[0];
    this.#last = tokens
      .slice(Math.max(lastIndex, 0))
      .filter((token) => token.type !== 'space')
      .map((token, index) => {
        const key = this.#closed.length + index;
        const same = before !== undefined && before.raw === token.raw && before.key === key;
        return same ? before : blockOf(token, key);
      });
    const last = this.#last.at(-1);
    // A new object, as that is how a page sees the change.
    if (complete && last?.kind === 'code' && !last.closed) this.#last[this.#last.length - 1] = { ...last, closed: true };
    return [...this.#closed, ...this.#last];
  }
}
