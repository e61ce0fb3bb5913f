#include "workbench/gguf_tensors.h"

#include <set>
#include <string>
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
  TensorFinder(const GgufFile& file, const GgufModel& model) : file_(file), model_(model) {}

  Result<void> add(const std::string& gguf_name, GgufSource source, const std::vector<std::int64_t>& shape) {
    source.tensor = file_.find_tensor(gguf_name);
    const std::string what = file_.path().string() + ": tensor " + gguf_name;
    if (source.tensor == nullptr)
      return corrupt_data(what + " is missing; the file is incomplete, download it again");
    if (source.tensor->shape != shape) {
      return corrupt_data(what + ": is " + shape_text(source.tensor->shape) + ", but the metadata says " +
                          shape_text(shape));
    }
    found_.push_back(std::move(source));
    names_.insert(gguf_name);
    return {};
  }

  Result<void> add_norm(const std::string& gguf_name, std::string name, std::int64_t size) {
    GgufSource source;
    source.name = std::move(name) + ".weight";
    source.holds_one_more = model_.architecture->norms_hold_one_more;
    return add(gguf_name + ".weight", std::move(source), {size});
  }

  // NAME.weight, and NAME.bias if `has_bias`.
  Result<void> add_linear(const std::string& gguf_name, const std::string& name, std::int64_t rows,
                          std::int64_t columns, bool has_bias = false, bool is_rotary = false) {
    GgufSource source;
    source.name = name;
    if (is_rotary && model_.architecture->interleaves_rotary) source.rotary_head_dim = model_.head_dim;
    GgufSource bias = source;
    bias.name += ".bias";
    TRY(add(gguf_name + ".weight", std::move(source), {rows, columns}));
    if (has_bias) TRY(add(gguf_name + ".bias", std::move(bias), {rows}));
    return {};
  }

  Result<std::vector<GgufSource>> finish() {
    names_.insert(model_.rope_tensors.begin(), model_.rope_tensors.end());
    for (const auto& [name, tensor] : file_.tensors()) {
      if (names_.contains(name)) continue;
      return unsupported(file_.path().string() + ": tensor " + name + " is not part of a " +
                         std::string(model_.architecture->name) +
                         " model as the metadata describes it; import does not support it");
    }
    return std::move(found_);
  }

 private:
  const GgufFile& file_;
  const GgufModel& model_;
  std::vector<GgufSource> found_;
  std::set<std::string, std::less<>> names_;
};

Result<void> add_attention(TensorFinder& finder, const GgufModel& model, const std::string& from,
                           const std::string& to) {
  const std::int64_t hidden = model.hidden_size;
  const std::int64_t q_size = model.num_heads * model.head_dim;
  const std::int64_t kv_size = model.num_kv_heads * model.head_dim;
  if (model.architecture->fuses) {
    TRY(finder.add_linear(from + "attn_qkv", to + "qkv_proj", q_size + 2 * kv_size, hidden));
  } else {
    TRY(finder.add_linear(from + "attn_q", to + "q_proj", q_size, hidden, model.qkv_bias, true));
    TRY(finder.add_linear(from + "attn_k", to + "k_proj", kv_size, hidden, model.qkv_bias, true));
    TRY(finder.add_linear(from + "attn_v", to + "v_proj", kv_size, hidden, model.qkv_bias));
  }
  if (model.architecture->has_head_norms) {
    TRY(finder.add_norm(from + "attn_q_norm", to + "q_norm", model.head_dim));
    TRY(finder.add_norm(from + "attn_k_norm", to + "k_norm", model.head_dim));
  }
  return finder.add_linear(from + "attn_output", to + "o_proj", hidden, q_size, model.output_bias);
}

Result<void> add_mlp(TensorFinder& finder, const GgufModel& model, const std::string& from,
                     const std::string& to) {
  const std::int64_t hidden = model.hidden_size;
  const std::int64_t width = model.intermediate_size;
  if (model.architecture->fuses) {
    TRY(finder.add_linear(from + "ffn_up", to + "gate_up_proj", 2 * width, hidden));
  } else {
    TRY(finder.add_linear(from + "ffn_gate", to + "gate_proj", width, hidden, model.mlp_bias));
    TRY(finder.add_linear(from + "ffn_up", to + "up_proj", width, hidden, model.mlp_bias));
  }
  return finder.add_linear(from + "ffn_down", to + "down_proj", hidden, width, model.mlp_bias);
}

}  // namespace

Result<std::vector<GgufSource>> find_gguf_tensors(const GgufFile& file, const GgufModel& model) {
  const std::int64_t hidden = model.hidden_size;
  const bool has_post_norms = model.architecture->has_post_norms;
  TensorFinder finder(file, model);
  TRY(finder.add_linear("token_embd", "model.embed_tokens", model.vocab_size, hidden));
  for (std::int64_t i = 0; i < model.num_layers; ++i) {
    const std::string from = "blk." + std::to_string(i) + ".";
    const std::string to = "model.layers." + std::to_string(i) + ".";
    TRY(finder.add_norm(from + "attn_norm", to + "input_layernorm", hidden));
    TRY(add_attention(finder, model, from, to + "self_attn."));
    if (has_post_norms) {
      TRY(finder.add_norm(from + "post_attention_norm", to + "post_attention_layernorm", hidden));
    }
    TRY(finder.add_norm(from + "ffn_norm",
                        to + (has_post_norms ? "pre_feedforward_layernorm" : "post_attention_layernorm"),
                        hidden));
    TRY(add_mlp(finder, model, from, to + "mlp."));
    if (has_post_norms) {
      TRY(finder.add_norm(from + "post_ffw_norm", to + "post_feedforward_layernorm", hidden));
    }
  }
  TRY(finder.add_norm("output_norm", "model.norm", hidden));
  if (!model.tied_embeddings) TRY(finder.add_linear("output", "lm_head", model.vocab_size, hidden));
  return finder.finish();
}

}  // namespace mlxd
