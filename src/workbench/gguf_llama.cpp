#include "workbench/gguf_llama.h"

#include <set>
#include <string_view>
#include <utility>

namespace mlxd {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

// Finds tensors one by one and remembers which were asked for.
class TensorFinder {
 public:
  explicit TensorFinder(const GgufFile& file) : file_(file) {}

  Result<void> add(const std::string& gguf_name, std::string name, const std::vector<std::int64_t>& shape,
                   bool is_rotary = false) {
    const GgufTensor* source = file_.find_tensor(gguf_name);
    const std::string what = file_.path().string() + ": tensor " + gguf_name;
    if (source == nullptr)
      return corrupt_data(what + " is missing; the file is incomplete, download it again");
    if (source->shape != shape) {
      return corrupt_data(what + ": is " + shape_text(source->shape) + ", but the metadata says " +
                          shape_text(shape));
    }
    found_.push_back({source, std::move(name), is_rotary});
    names_.insert(gguf_name);
    return {};
  }

  // NAME.weight, and NAME.bias if `has_bias`.
  Result<void> add_linear(const std::string& gguf_name, const std::string& name, std::int64_t rows,
                          std::int64_t columns, bool has_bias, bool is_rotary = false) {
    TRY(add(gguf_name + ".weight", name, {rows, columns}, is_rotary));
    if (has_bias) TRY(add(gguf_name + ".bias", name + ".bias", {rows}, is_rotary));
    return {};
  }

  Result<std::vector<LlamaTensor>> finish() {
    for (const auto& [name, tensor] : file_.tensors()) {
      // rope_freqs.weight becomes rope_scaling in config.json.
      if (names_.contains(name) || name == "rope_freqs.weight") continue;
      return unsupported(
          file_.path().string() + ": tensor " + name +
          " is not part of a llama model as the metadata describes it; import does not support it");
    }
    return std::move(found_);
  }

 private:
  const GgufFile& file_;
  std::vector<LlamaTensor> found_;
  std::set<std::string> names_;
};

}  // namespace

Result<std::vector<LlamaTensor>> llama_tensors(const GgufFile& file, const GgufModel& model) {
  const std::int64_t hidden = model.hidden_size;
  const std::int64_t q_size = model.num_heads * model.head_dim;
  const std::int64_t kv_size = model.num_kv_heads * model.head_dim;
  const bool bias = model.attention_bias;
  TensorFinder finder(file);
  TRY(finder.add("token_embd.weight", "model.embed_tokens", {model.vocab_size, hidden}));
  for (std::int64_t i = 0; i < model.num_layers; ++i) {
    const std::string from = "blk." + std::to_string(i) + ".";
    const std::string to = "model.layers." + std::to_string(i) + ".";
    TRY(finder.add(from + "attn_norm.weight", to + "input_layernorm.weight", {hidden}));
    TRY(finder.add_linear(from + "attn_q", to + "self_attn.q_proj", q_size, hidden, bias, true));
    TRY(finder.add_linear(from + "attn_k", to + "self_attn.k_proj", kv_size, hidden, bias, true));
    TRY(finder.add_linear(from + "attn_v", to + "self_attn.v_proj", kv_size, hidden, bias));
    TRY(finder.add_linear(from + "attn_output", to + "self_attn.o_proj", hidden, q_size, bias));
    TRY(finder.add(from + "ffn_norm.weight", to + "post_attention_layernorm.weight", {hidden}));
    TRY(finder.add_linear(from + "ffn_gate", to + "mlp.gate_proj", model.intermediate_size, hidden,
                          model.mlp_bias));
    TRY(finder.add_linear(from + "ffn_up", to + "mlp.up_proj", model.intermediate_size, hidden,
                          model.mlp_bias));
    TRY(finder.add_linear(from + "ffn_down", to + "mlp.down_proj", hidden, model.intermediate_size,
                          model.mlp_bias));
  }
  TRY(finder.add("output_norm.weight", "model.norm.weight", {hidden}));
  if (!model.tied_embeddings) TRY(finder.add("output.weight", "lm_head", {model.vocab_size, hidden}));
  return finder.finish();
}

}  // namespace mlxd
