// A llama of random weights with a long context and the demo model's tokenizer: what it says means nothing, but
// prompts of any agent fit, and are computed in seconds. It ends its answer after some twenty tokens.
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

const HIDDEN = 64;
const HEAD = 32;
const MLP = 128;
const CONTEXT = 131_072;

/** Writes the model into `folder`, which is made. `tokenizerFolder`: whose tokenizer and chat template it has. */
export async function makeRandomModel(folder, tokenizerFolder) {
  await mkdir(folder, { recursive: true });
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json']) {
    await copyFile(path.join(tokenizerFolder, name), path.join(folder, name));
  }
  const { vocab_size, eos_token_id, bos_token_id } = JSON.parse(await readFile(path.join(tokenizerFolder, 'config.json'), 'utf8'));
  await writeFile(path.join(folder, 'config.json'), JSON.stringify({
    model_type: 'llama', architectures: ['LlamaForCausalLM'], vocab_size, eos_token_id, bos_token_id, hidden_size: HIDDEN,
    intermediate_size: MLP, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, head_dim: HEAD, rms_norm_eps: 1e-5,
    rope_theta: 1_000_000, max_position_embeddings: CONTEXT, tie_word_embeddings: false, torch_dtype: 'bfloat16',
  }));
  const eos = [eos_token_id].flat()[0];
  const random = generator(1);
  const small = () => random() * 0.2 - 0.1;
  // The first feature is the same for all tokens, and only the end token's row reads it.
  const tensors = {
    'model.embed_tokens.weight': [[vocab_size, HIDDEN], (row, column) => (column === 0 ? 1 : small())],
    'lm_head.weight': [[vocab_size, HIDDEN], (row, column) => (column > 0 ? small() : row === eos ? 1 : 0)],
    'model.norm.weight': [[HIDDEN], () => 1],
  };
  const layer = 'model.layers.0.';
  for (const name of ['input_layernorm', 'post_attention_layernorm']) {
    tensors[`${layer}${name}.weight`] = [[HIDDEN], () => 1];
  }
  for (const [name, shape] of [
    ['self_attn.q_proj', [2 * HEAD, HIDDEN]], ['self_attn.k_proj', [HEAD, HIDDEN]], ['self_attn.v_proj', [HEAD, HIDDEN]],
    ['self_attn.o_proj', [HIDDEN, 2 * HEAD]], ['mlp.gate_proj', [MLP, HIDDEN]], ['mlp.up_proj', [MLP, HIDDEN]],
    ['mlp.down_proj', [HIDDEN, MLP]],
  ]) {
    tensors[`${layer}${name}.weight`] = [shape, small];
  }
  await writeFile(path.join(folder, 'model.safetensors'), safetensors(tensors));
}

/** The format's three parts: the header's size, the header, bf16 values. */
function safetensors(tensors) {
  const header = {};
  const parts = [];
  let offset = 0;
  for (const [name, [shape, value]] of Object.entries(tensors)) {
    const columns = shape.at(-1);
    const count = shape.reduce((product, size) => product * size, 1);
    const data = Buffer.alloc(count * 2);
    const float = new Float32Array(1);
    const bits = new Uint32Array(float.buffer);
    for (let i = 0; i < count; i += 1) {
      float[0] = value(Math.floor(i / columns), i % columns);
      data.writeUInt16LE(bits[0] >>> 16, i * 2);
    }
    header[name] = { dtype: 'BF16', shape, data_offsets: [offset, offset + data.length] };
    offset += data.length;
    parts.push(data);
  }
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([size, text, ...parts]);
}

/** The same numbers in every run (a linear congruential generator, Numerical Recipes' constants). */
function generator(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
