// OpenCode (npm: opencode-ai), over /v1/chat/completions by way of @ai-sdk/openai-compatible.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

export const opencode = (bin) => ({
  name: 'opencode',
  command: path.join(bin, 'opencode'),
  api: '/v1/chat/completions',
  dialects: ['glm4_5', 'hermes', 'llama3', 'mistral_v3', 'kimi_k2'],
  prepare: async ({ url, home, project, model }) => {
    await writeFile(path.join(project, 'opencode.json'), JSON.stringify({
      provider: {
        mlxd: {
          npm: '@ai-sdk/openai-compatible', name: 'mlxd', options: { baseURL: `${url}/v1`, apiKey: 'none' },
          models: { [model]: { name: model, limit: { context: 131_072, output: 32_000 } } },
        },
      },
      model: `mlxd/${model}`, small_model: `mlxd/${model}`, autoupdate: false, share: 'disabled', permission: { edit: 'allow', bash: 'allow' },
    }));
    return { PATH: process.env.PATH, HOME: home, OPENCODE_DISABLE_AUTOUPDATE: '1' };
  },
  words: (prompt, { again }) => ['run', ...(again ? ['--continue'] : []), prompt],
  calls: (project) => ({
    read: { name: 'read', input: { filePath: path.join(project, 'notes.txt') } },
    shell: { name: 'bash', input: { command: 'echo shell says $((40 + 2)) | tee shell.txt', description: 'Tells a number' } },
    edit: { name: 'edit', input: { filePath: path.join(project, 'notes.txt'), oldString: 'one purple elephant', newString: 'one green elephant' } },
  }),
});
