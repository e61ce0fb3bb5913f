// Code in colours. Grammars come on demand, one chunk each; colours are classes, as the page allows no inline style.
import type { HighlighterCore, LanguageInput } from 'shiki/core';

type Grammar = () => Promise<{ default: LanguageInput }>;

const GRAMMARS: Record<string, Grammar> = {
  bash: () => import('@shikijs/langs/bash') as never,
  c: () => import('@shikijs/langs/c') as never,
  cmake: () => import('@shikijs/langs/cmake') as never,
  cpp: () => import('@shikijs/langs/cpp') as never,
  csharp: () => import('@shikijs/langs/csharp') as never,
  css: () => import('@shikijs/langs/css') as never,
  diff: () => import('@shikijs/langs/diff') as never,
  dockerfile: () => import('@shikijs/langs/dockerfile') as never,
  go: () => import('@shikijs/langs/go') as never,
  haskell: () => import('@shikijs/langs/haskell') as never,
  html: () => import('@shikijs/langs/html') as never,
  java: () => import('@shikijs/langs/java') as never,
  javascript: () => import('@shikijs/langs/javascript') as never,
  json: () => import('@shikijs/langs/json') as never,
  kotlin: () => import('@shikijs/langs/kotlin') as never,
  latex: () => import('@shikijs/langs/latex') as never,
  lua: () => import('@shikijs/langs/lua') as never,
  make: () => import('@shikijs/langs/make') as never,
  markdown: () => import('@shikijs/langs/markdown') as never,
  php: () => import('@shikijs/langs/php') as never,
  powershell: () => import('@shikijs/langs/powershell') as never,
  python: () => import('@shikijs/langs/python') as never,
  r: () => import('@shikijs/langs/r') as never,
  ruby: () => import('@shikijs/langs/ruby') as never,
  rust: () => import('@shikijs/langs/rust') as never,
  sql: () => import('@shikijs/langs/sql') as never,
  swift: () => import('@shikijs/langs/swift') as never,
  toml: () => import('@shikijs/langs/toml') as never,
  tsx: () => import('@shikijs/langs/tsx') as never,
  typescript: () => import('@shikijs/langs/typescript') as never,
  xml: () => import('@shikijs/langs/xml') as never,
  yaml: () => import('@shikijs/langs/yaml') as never,
  zig: () => import('@shikijs/langs/zig') as never,
};

const ALIASES: Record<string, string> = {
  sh: 'bash', shell: 'bash', zsh: 'bash', console: 'bash', h: 'c', 'c++': 'cpp', cc: 'cpp', hpp: 'cpp', cs: 'csharp', 'c#': 'csharp',
  docker: 'dockerfile', golang: 'go', hs: 'haskell', htm: 'html', svelte: 'html', vue: 'html', js: 'javascript', mjs: 'javascript',
  jsx: 'tsx', json5: 'json', jsonc: 'json', kt: 'kotlin', tex: 'latex', makefile: 'make', md: 'markdown', ps1: 'powershell',
  py: 'python', python3: 'python', rb: 'ruby', rs: 'rust', ts: 'typescript', svg: 'xml', yml: 'yaml',
};

let highlighter: Promise<HighlighterCore> | undefined;

async function start(): Promise<HighlighterCore> {
  const [{ createHighlighterCore, createCssVariablesTheme }, { createJavaScriptRegexEngine }] = await Promise.all([
    import('shiki/core'),
    import('shiki/engine/javascript'),
  ]);
  return createHighlighterCore({
    themes: [createCssVariablesTheme({ name: 'classes', variablePrefix: '--', fontStyle: false })],
    langs: [],
    engine: createJavaScriptRegexEngine({ forgiving: true }),
  });
}

export interface Piece {
  text: string;
  kind: string; // "keyword", "string"; empty: plain
}

// Beyond this a page stays quicker without colours.
const MOST_CHARACTERS = 60_000;

/** Lines of pieces; null if the language is unknown or the code too long. */
export async function highlight(code: string, language: string): Promise<Piece[][] | null> {
  const name = ALIASES[language] ?? language;
  const grammar = Object.hasOwn(GRAMMARS, name) ? GRAMMARS[name] : undefined;
  if (grammar === undefined || code.length > MOST_CHARACTERS) return null;
  const shiki = await (highlighter ??= start());
  if (!shiki.getLoadedLanguages().includes(name)) await shiki.loadLanguage((await grammar()).default);
  const { tokens } = shiki.codeToTokens(code, { lang: name, theme: 'classes' });
  return tokens.map((line) =>
    line.map((token) => ({ text: token.content, kind: /token-([a-z-]+)/.exec(token.color ?? '')?.[1] ?? '' })),
  );
}
