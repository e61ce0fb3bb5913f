// A model of random weights with a context of 128k tokens: as large prompts as agents send, in moments. Its text
// is noise; its tokenizer and template are the demo model's.
import { copyFile, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const HIDDEN = 64;
const LAYERS = 2;
const HEADS = 4;
const FEED_FORWARD = 128;
const CONTEXT = 131072;

/** Writes the model's folder and returns its path; `demo` is the demo model's folder. */
export async function makeTinyModel(demo) {
  const folder = path.join(await mkdtemp(path.join(tmpdir(), 'mlxd-tiny-')), 'tiny');
  await mkdir(folder);
  for (const file of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json']) {
    await copyFile(path.join(demo, file), path.join(folder, file)).catch((error) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
  const original = JSON.parse(await readFile(path.join(demo, 'config.json'), 'utf8'));
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: original.vocab_size,
    bos_token_id: original.bos_token_id,
    eos_token_id: original.eos_token_id,
    hidden_size: HIDDEN,
    intermediate_size: FEED_FORWARD,
    num_hidden_layers: LAYERS,
    num_attention_heads: HEADS,
    num_key_value_heads: HEADS,
    max_position_embeddings: CONTEXT,
    rms_norm_eps: 1e-5,
    rope_theta: 1000000,
    hidden_act: 'silu',
    tie_word_embeddings: true,
    torch_dtype: 'float32',
  };
  await writeFile(path.join(folder, 'config.json'), JSON.stringify(config));
  await writeFile(path.join(folder, 'model.safetensors'), weights(config));
  return folder;
}

function weights({ vocab_size: vocabulary }) {
  const shapes = { 'model.embed_tokens.weight': [vocabulary, HIDDEN], 'model.norm.weight': [HIDDEN] };
  for (let layer = 0; layer < LAYERS; layer++) {
    const name = (rest) => `model.layers.${layer}.${rest}.weight`;
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) shapes[name(norm)] = [HIDDEN];
    for (const each of ['q', 'k', 'v', 'o']) shapes[name(`self_attn.${each}_proj`)] = [HIDDEN, HIDDEN];
    for (const each of ['gate', 'up']) shapes[name(`mlp.${each}_proj`)] = [FEED_FORWARD, HIDDEN];
    shapes[name('mlp.down_proj')] = [HIDDEN, FEED_FORWARD];
  }
  const header = {};
  let size = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const bytes = 4 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [size, size + bytes] };
    size += bytes;
  }
  const values = new Float32Array(size / 4);
  let state = 1; // xorshift32: the same model every time
  for (let i = 0; i < values.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[i] = (state / 2 ** 31) * 0.05;
  }
  let text = JSON.stringify(header);
  text += ' '.repeat((8 - (text.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, Buffer.from(text), Buffer.from(values.buffer)]);
}
