// Claude Code (npm: @anthropic-ai/claude-code), over /v1/messages.
import path from 'node:path';

export const claudeCode = (bin) => ({
  name: 'claude_code',
  command: path.join(bin, 'claude'),
  api: '/v1/messages',
  dialects: ['hermes', 'qwen3_coder', 'gpt_oss', 'mistral_v11'],
  prepare: async ({ url, home }) => ({
    PATH: process.env.PATH, HOME: home, ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'none', CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
  }),
  words: (prompt, { model, again }) => [
    '--print', '--model', model, '--output-format', 'text', '--allowedTools', 'Read,Edit,Bash', ...(again ? ['--continue'] : []), '--', prompt,
  ],
  calls: (project) => ({
    read: { name: 'Read', input: { file_path: path.join(project, 'notes.txt') } },
    shell: { name: 'Bash', input: { command: 'echo shell says $((40 + 2)) | tee shell.txt', description: 'Tells a number' } },
    edit: { name: 'Edit', input: { file_path: path.join(project, 'notes.txt'), old_string: 'one purple elephant', new_string: 'one green elephant' } },
  }),
});
