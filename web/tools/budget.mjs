// How much JavaScript a first visit loads, whichever page it is: what index.html names, the frame, the page itself, and
// all that these import at once.
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';

export const FIRST_PAGE_BUDGET = 250_000;

/** The files that `file` imports at once, not on demand. */
function staticImports(source) {
  return [...source.matchAll(/(?:^|[;}\s])(?:import|export)\s*(?:[\w*${},\s]+?\s*from\s*)?["'](\.[^"']+)["']/g)].map((match) => match[1]);
}

function closure(site, files) {
  const seen = new Set();
  const visit = (file) => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const imported of staticImports(fs.readFileSync(path.join(site, file), 'utf8'))) visit(path.posix.join(path.posix.dirname(file), imported));
  };
  files.forEach(visit);
  return seen;
}

export function firstPageBytes(site, index) {
  const named = [...index.matchAll(/["'](?:\.)?\/(_app\/immutable\/[^"']+\.js)["']/g)].map((match) => match[1]);
  const plain = [...index.matchAll(/<script[^>]*\ssrc="(?:\.)?\/([^"]+\.js)"/g)].map((match) => match[1]);
  const folder = '_app/immutable/nodes';
  const nodes = fs.readdirSync(path.join(site, folder)).map((name) => `${folder}/${name}`);
  // Node 0 is the root's layout, 2 the frame's; with them comes one page, and the heaviest must keep to the budget.
  const layouts = nodes.filter((node) => /\/[02]\.[^/]+\.js$/.test(node));
  const sizes = new Map();
  const size = (file) => {
    if (!sizes.has(file)) sizes.set(file, zlib.gzipSync(fs.readFileSync(path.join(site, file)), { level: 6 }).length);
    return sizes.get(file);
  };
  const total = (node) => [...closure(site, [...named, ...layouts, node]), ...plain].reduce((sum, file) => sum + size(file), 0);
  return Math.max(...nodes.map(total));
}
