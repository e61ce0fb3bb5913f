// From a built site to what the program embeds: each file with its type, hash, caching and smaller forms.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { firstPageBytes, FIRST_PAGE_BUDGET } from './budget.mjs';

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};
const COMPRESSED = new Set(['.css', '.html', '.js', '.json', '.svg']);

export function* filesUnder(folder, prefix = '') {
  for (const name of fs.readdirSync(folder).sort()) {
    const file = path.join(folder, name);
    if (fs.statSync(file).isDirectory()) yield* filesUnder(file, `${prefix}${name}/`);
    else yield `${prefix}${name}`;
  }
}

/** The router's patterns of all pages: "(app)/chat/[[id]]" gives "/chat" and "/chat/{id}". */
export function pagePatterns(routes) {
  const patterns = new Set();
  for (const file of filesUnder(routes)) {
    if (path.basename(file) !== '+page.svelte') continue;
    let found = [''];
    for (const segment of path.dirname(file).split('/')) {
      if (segment === '.' || /^\(.*\)$/.test(segment)) continue;
      const optional = /^\[\[(?:\.\.\.)?(\w+)\]\]$/.exec(segment);
      const rest = /^\[\.\.\.(\w+)\]$/.exec(segment);
      const one = /^\[(\w+)\]$/.exec(segment);
      if (optional) found = found.flatMap((each) => [each, `${each}/{${optional[1]}}`]);
      else if (rest) found = found.flatMap((each) => [each, `${each}/{${rest[1]}...}`]);
      else found = found.map((each) => `${each}/${one ? `{${one[1]}}` : segment}`);
    }
    for (const each of found) patterns.add(each === '' ? '/' : each);
  }
  return [...patterns].sort();
}

/** The hashes of all inline scripts, as a Content-Security-Policy names them. */
export function inlineScriptHashes(html) {
  return [...html.matchAll(/<script(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g)].map(
    ([, code]) => `'sha256-${createHash('sha256').update(code).digest('base64')}'`,
  );
}

// The style attributes that libraries' markup has, by their hashes: SvelteKit's announcer of pages to screen readers, and
// bits-ui's groups.
const STYLES = [
  'position: absolute; left: 0; top: 0; clip: rect(0 0 0 0); clip-path: inset(50%); overflow: hidden; white-space: nowrap; width: 1px; height: 1px',
  'display: contents;',
];

function pagePolicy(html) {
  const styles = STYLES.map((style) => `'sha256-${createHash('sha256').update(style).digest('base64')}'`);
  return [
    "default-src 'none'",
    `script-src 'self' ${inlineScriptHashes(html).join(' ')}`.trim(),
    "style-src 'self'",
    `style-src-attr 'unsafe-hashes' ${styles.join(' ')}`,
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "connect-src 'self'",
    "frame-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ');
}

// The frame of diagrams: foreign text is drawn there, so it may reach nothing and has no origin. Its library comes
// from the page, as a blob.
function framePolicy(html) {
  return [
    "default-src 'none'",
    `script-src blob: ${inlineScriptHashes(html).join(' ')}`,
    "style-src 'unsafe-inline'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'self'",
    'sandbox allow-scripts',
  ].join('; ');
}

function literal(text) {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

export function pack({ site, routes, modules, out }) {
  // Mermaid as one classic script, which a frame can run without fetching parts of it.
  fs.mkdirSync(path.join(site, 'web'), { recursive: true });
  fs.copyFileSync(path.join(modules, 'mermaid/dist/mermaid.min.js'), path.join(site, 'web/mermaid.js'));

  const index = fs.readFileSync(path.join(site, 'index.html'), 'utf8');
  const javascript = firstPageBytes(site, index);
  if (javascript > FIRST_PAGE_BUDGET)
    throw new Error(`the first page loads ${javascript} bytes of JavaScript (gzip), more than ${FIRST_PAGE_BUDGET}`);
  console.error(`web: the first page loads ${javascript} bytes of JavaScript (gzip) of ${FIRST_PAGE_BUDGET}`);

  const blob = [];
  let offset = 0;
  const add = (bytes) => {
    blob.push(bytes);
    offset += bytes.length;
    return `{${offset - bytes.length}, ${bytes.length}}`;
  };
  const rows = [];
  for (const name of filesUnder(site)) {
    const extension = path.extname(name);
    const type = TYPES[extension];
    if (type === undefined) throw new Error(`the site has ${name}, whose type pack.mjs does not know`);
    const bytes = fs.readFileSync(path.join(site, name));
    const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 20);
    const smaller = (compressed) => (compressed.length < bytes.length * 0.95 ? compressed : Buffer.alloc(0));
    const compress = COMPRESSED.has(extension) && bytes.length > 400;
    const gzip = compress ? smaller(zlib.gzipSync(bytes, { level: 9 })) : Buffer.alloc(0);
    const brotli = compress
      ? smaller(zlib.brotliCompressSync(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: bytes.length > 1_000_000 ? 9 : 11, [zlib.constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }))
      : Buffer.alloc(0);
    const policy = name === 'index.html' ? pagePolicy(index) : name === 'web/diagram.html' ? framePolicy(bytes.toString('utf8')) : '';
    const immutable = name.startsWith('_app/immutable/');
    rows.push(`{${literal(`/${name}`)}, ${literal(type)}, ${literal(hash)}, ${immutable}, ${literal(policy)}, ${add(bytes)}, ${add(gzip)}, ${add(brotli)}},`);
  }
  fs.writeFileSync(path.join(out, 'web_files.bin'), Buffer.concat(blob));
  fs.writeFileSync(path.join(out, 'web_files.inc'), rows.join('\n') + '\n');
  fs.writeFileSync(path.join(out, 'web_pages.inc'), pagePatterns(routes).map((each) => `${literal(each)},\n`).join(''));
}
