// Codex (npm: @openai/codex), over /v1/responses. It edits by a command, apply_patch.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

const PATCH = `apply_patch <<'EOF'
*** Begin Patch
*** Update File: notes.txt
@@
-The zoo has one purple elephant.
+The zoo has one green elephant.
*** End Patch
EOF`;

export const codex = (bin) => ({
  name: 'codex',
  command: path.join(bin, 'codex'),
  api: '/v1/responses',
  dialects: ['gpt_oss', 'hermes', 'deepseek_v3_1', 'qwen3_coder'],
  prepare: async ({ url, home, model }) => {
    await writeFile(
      path.join(home, 'config.toml'),
      `model = "${model}"\nmodel_provider = "mlxd"\nmodel_context_window = 131072\n` +
        `[model_providers.mlxd]\nname = "mlxd"\nbase_url = "${url}/v1"\nwire_api = "responses"\n` +
        'request_max_retries = 0\nstream_max_retries = 0\n',
    );
    return { PATH: process.env.PATH, HOME: home, CODEX_HOME: home };
  },
  // The project is a throw-away folder, and a sandbox may not be had where tests run.
  words: (prompt, { again }) => [
    'exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', ...(again ? ['resume', '--last'] : []), prompt,
  ],
  calls: () => ({
    read: { name: 'exec_command', input: { cmd: 'cat notes.txt', login: false } },
    shell: { name: 'exec_command', input: { cmd: 'echo shell says $((40 + 2)) | tee shell.txt', yield_time_ms: 1000 } },
    edit: { name: 'exec_command', input: { cmd: PATCH } },
  }),
});
