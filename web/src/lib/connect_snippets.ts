// How popular clients are pointed at this server: what they need is an address, a key and a model.

export interface Target {
  origin: string;
  key: string;
  model: string;
}

export interface ClientSnippet {
  id: string;
  name: string;
  language: string;
  /** A route that the server must have. */
  needs: string;
  text: (target: Target) => string;
}

const OPENAI = 'POST /v1/chat/completions';
const ANTHROPIC = 'POST /v1/messages';
const RESPONSES = 'POST /v1/responses';
const OLLAMA = 'POST /api/chat';

export const CLIENTS: readonly ClientSnippet[] = [
  {
    id: 'curl', name: 'curl', language: 'bash', needs: OPENAI,
    text: ({ origin, key, model }) => `curl ${origin}/v1/chat/completions \\
  -H 'Content-Type: application/json' \\
  -H 'Authorization: Bearer ${key}' \\
  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'`,
  },
  {
    id: 'python', name: 'Python', language: 'python', needs: OPENAI,
    text: ({ origin, key, model }) => `from openai import OpenAI

client = OpenAI(base_url="${origin}/v1", api_key="${key}")
stream = client.chat.completions.create(
    model="${model}",
    messages=[{"role": "user", "content": "Hello"}],
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)`,
  },
  {
    id: 'javascript', name: 'JavaScript', language: 'javascript', needs: OPENAI,
    text: ({ origin, key, model }) => `import OpenAI from 'openai';

const client = new OpenAI({ baseURL: '${origin}/v1', apiKey: '${key}' });
const completion = await client.chat.completions.create({
  model: '${model}',
  messages: [{ role: 'user', content: 'Hello' }],
});
console.log(completion.choices[0].message.content);`,
  },
  {
    id: 'continue', name: 'Continue', language: 'yaml', needs: OPENAI,
    text: ({ origin, key, model }) => `# ~/.continue/config.yaml
models:
  - name: ${model}
    provider: openai
    model: ${model}
    apiBase: ${origin}/v1
    apiKey: ${key}`,
  },
  {
    id: 'opencode', name: 'OpenCode', language: 'json', needs: OPENAI,
    text: ({ origin, key, model }) =>
      JSON.stringify(
        { $schema: 'https://opencode.ai/config.json', provider: { mlxd: { npm: '@ai-sdk/openai-compatible', name: 'mlxd', options: { baseURL: `${origin}/v1`, apiKey: key }, models: { [model]: {} } } } },
        null,
        2,
      ),
  },
  {
    id: 'claude', name: 'Claude Code', language: 'bash', needs: ANTHROPIC,
    text: ({ origin, key, model }) => `export ANTHROPIC_BASE_URL=${origin}
export ANTHROPIC_AUTH_TOKEN=${key}
export ANTHROPIC_MODEL=${model}
claude`,
  },
  {
    id: 'codex', name: 'Codex', language: 'toml', needs: RESPONSES,
    text: ({ origin, model }) => `# ~/.codex/config.toml
model = "${model}"
model_provider = "mlxd"

[model_providers.mlxd]
name = "mlxd"
base_url = "${origin}/v1"
env_key = "MLXD_API_KEY"
wire_api = "responses"`,
  },
  {
    id: 'ollama', name: 'Ollama', language: 'bash', needs: OLLAMA,
    text: ({ origin, model }) => `export OLLAMA_HOST=${origin}
ollama run ${model}`,
  },
];
