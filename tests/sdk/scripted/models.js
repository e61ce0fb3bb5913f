// Folders of models without weights, one for a dialect: the demo model's tokenizer with the dialect's tokens
// added, and the family's template. `mlxd_scripted` serves them.
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MODEL_FOLDER, REPOSITORY } from '../mlxd.js';
import { DIALECTS } from './dialects.js';

const TEMPLATES = path.join(REPOSITORY, 'tests/parity/templates');

/** Makes FOLDER/NAME for the dialect and returns its path. */
export async function makeScriptedModel(folder, dialect, name = `scripted-${dialect}`) {
  const { template, modelType, end, bos = '', special, plain } = DIALECTS[dialect];
  const target = path.join(folder, name);
  await mkdir(target, { recursive: true });
  const tokenizer = JSON.parse(await readFile(path.join(MODEL_FOLDER, 'tokenizer.json'), 'utf8'));
  const ids = new Map(tokenizer.added_tokens.map(({ content, id }) => [content, id]));
  let next = 1 + Math.max(...Object.values(tokenizer.model.vocab), ...ids.values());
  for (const [tokens, isSpecial] of [[special, true], [plain, false]]) {
    for (const content of tokens) {
      if (ids.has(content)) continue;
      ids.set(content, next);
      tokenizer.added_tokens.push({
        id: next, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: isSpecial,
      });
      next += 1;
    }
  }
  await writeFile(path.join(target, 'tokenizer.json'), JSON.stringify(tokenizer));
  await writeFile(path.join(target, 'tokenizer_config.json'), JSON.stringify({ bos_token: bos, eos_token: end }));
  await writeFile(path.join(target, 'config.json'), JSON.stringify({ model_type: modelType, eos_token_id: ids.get(end), vocab_size: next }));
  await copyFile(path.join(TEMPLATES, `${template}.jinja`), path.join(target, 'chat_template.jinja'));
  return target;
}
