// Starts `mlxd_scripted`: the server with models that say what a script tells them.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { SCRIPTED_BINARY, startProcess } from '../mlxd.js';
import { DIALECTS } from './dialects.js';
import { makeScriptedModel } from './models.js';

/**
 * A server of one model for each of `dialects`, named scripted-DIALECT. `answers`: a list of
 * `{ when, unless, thought, text, calls }`: in a prompt whose latest of all these texts is `when`, and that has
 * no `unless`, the model says the rest in its dialect (or `say`, as it stands). `{ url, stateFolder, openai,
 * metrics(), unanswered(), stop() }`: `unanswered` are the ends of prompts that the script had no answer to.
 */
export async function startScripted(dialects, answers, { flags = [] } = {}) {
  const folder = await mkdtemp(path.join(tmpdir(), 'mlxd-scripted-'));
  try {
    const home = path.join(folder, 'home');
    await mkdir(home);
    const words = ['--home', home, ...flags];
    for (const dialect of dialects) {
      const script = answers.map(({ when, unless, say, ...parts }) => ({ when, unless, say: say ?? DIALECTS[dialect].write(parts) }));
      const file = path.join(folder, `${dialect}.json`);
      await writeFile(file, JSON.stringify({ answers: script }));
      words.push('--script', file, '--model', await makeScriptedModel(folder, dialect));
    }
    const server = await startProcess(SCRIPTED_BINARY, words, home);
    const stop = server.stop;
    return {
      ...server,
      unanswered: () => server.log().split('\n').filter((line) => line.startsWith('script: ')),
      stop: async () => {
        await stop();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}
