// The examples of docs/api, as they stand there, each page against a server of its own. What is not literal is
// replaced in one way: http://127.0.0.1:10242 and localhost:10242 by the server's address; a shell's $SETUP_TOKEN is
// what the server says at its start, and $TOKEN that of the user who started it. Examples of one page run in order and on one state.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { REPOSITORY, startServer } from './mlxd.js';

const PAGES = path.join(REPOSITORY, 'docs/api');
const PYTHON = process.env.MLXD_PYTHON ?? path.join(REPOSITORY, '.venv/bin/python');
const WITHIN_MS = 180_000;

// curl of the examples: an error status is a failure, and says what the answer was.
const CURL = 'curl() { command curl --silent --show-error --fail-with-body --max-time 150 "$@"; }\nset -euo pipefail\n';

/** A page's fenced blocks: `{ kind, text, line, follows }`; `follows`: only empty lines lie between it and the one before. */
function blocksOf(page) {
  const blocks = [];
  let between = '';
  let open = null;
  for (const [index, line] of page.split('\n').entries()) {
    const fence = /^```(\w*)$/.exec(line);
    if (fence && open) {
      blocks.push({ ...open, text: open.text.join('\n') });
      open = null;
      between = '';
    } else if (fence) {
      open = { kind: fence[1], line: index + 1, text: [], follows: blocks.length > 0 && between.trim() === '' };
    } else if (open) {
      open.text.push(line);
    } else {
      between += line;
    }
  }
  assert.equal(open, null, 'a block without an end');
  return blocks;
}

/** Fails unless `value` has all members of `form`, with values of the same kinds. */
function assertForm(value, form, where = 'the answer') {
  const kind = (of) => (of === null ? 'null' : Array.isArray(of) ? 'array' : typeof of);
  assert.equal(kind(value), kind(form), `${where} is ${JSON.stringify(value)}`);
  if (Array.isArray(form)) {
    assert.ok(form.length === 0 || value.length > 0, `${where} is empty`);
    form.forEach((each, index) => { if (index < value.length) assertForm(value[index], each, `${where}[${index}]`); });
  } else if (form !== null && typeof form === 'object') {
    for (const [key, each] of Object.entries(form)) {
      assert.ok(key in value, `${where} has no ${key}`);
      assertForm(value[key], each, `${where}.${key}`);
    }
  }
}

const pages = (await readdir(PAGES)).filter((name) => name.endsWith('.md')).sort();

for (const page of pages) {
  const blocks = blocksOf(await readFile(path.join(PAGES, page), 'utf8'));
  const examples = blocks.filter(({ kind }) => ['sh', 'js', 'python'].includes(kind));
  if (examples.length === 0) continue;

  describe(`docs/api/${page}`, () => {
    let server;
    let folder;
    let environment;
    before(async () => {
      // In the folder of models, so that the pages about what lies there find it.
      server = await startServer({ preload: false });
      folder = await mkdtemp(path.join(tmpdir(), 'mlxd-docs-'));
      // Modules are found beside the program that imports them.
      await symlink(path.join(import.meta.dirname, 'node_modules'), path.join(folder, 'node_modules'));
      environment = {
        ...process.env,
        SETUP_TOKEN: (await server.logged(/#setup=(\S+)/))[1],
        TOKEN: JSON.parse(await readFile(path.join(server.stateFolder, 'server.json'), 'utf8')).token,
      };
    });
    after(async () => {
      await server?.stop();
      if (folder) await rm(folder, { recursive: true, force: true });
    });

    async function run(program, words) {
      try {
        return (await promisify(execFile)(program, words, { cwd: folder, env: environment, timeout: WITHIN_MS, maxBuffer: 1 << 26 })).stdout;
      } catch (error) {
        throw new Error(`${error.message}\n${error.stdout}\n${error.stderr}`);
      }
    }

    const runners = {
      sh: (text) => run('bash', ['-c', CURL + text]),
      js: async (text) => {
        const file = path.join(folder, 'example.mjs');
        await writeFile(file, text);
        return run(process.execPath, [file]);
      },
      python: (text) => run(PYTHON, ['-c', text]),
    };

    for (const { kind, text, line } of examples) {
      it(`line ${line}: ${kind}`, async () => {
        const here = text.replaceAll(/http:\/\/127\.0\.0\.1:10242|(?<!\/)localhost:10242/g, server.url);
        assert.ok(!/:10242/.test(here), 'an address that is not replaced');
        if (kind !== 'sh') assert.notEqual(here, text, 'the example has no address');
        const output = await runners[kind](here);
        assert.notEqual(output.trim(), '', 'the example said nothing');
        const reply = blocks[blocks.findIndex((block) => block.line === line) + 1];
        if (reply?.kind === 'json' && reply.follows) assertForm(JSON.parse(output), JSON.parse(reply.text));
      });
    }
  });
}

describe('docs/api', () => {
  it('has examples for every API', () => {
    for (const page of ['openai.md', 'responses.md', 'anthropic.md', 'ollama.md', 'tokens.md', 'manage.md']) assert.ok(pages.includes(page), page);
  });
});
