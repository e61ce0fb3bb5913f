#include "model/checkpoint_names.h"

#include <string>
#include <string_view>

#include "model/nested_text_model.h"

namespace mlxd {
namespace {

/// Puts `to` in the place of `from`, if the name begins or ends so.
bool replace_prefix(std::string& name, std::string_view from, std::string_view to) {
  if (!name.starts_with(from)) return false;
  name.replace(0, from.size(), to);
  return true;
}

bool replace_suffix(std::string& name, std::string_view from, std::string_view to) {
  if (!name.ends_with(from)) return false;
  name.replace(name.size() - from.size(), from.size(), to);
  return true;
}

void rename_text_model(std::string& name) {
  if (is_of_vision(name)) return;
  if (replace_prefix(name, "model.language_model.", "language_model.model.")) return;
  for (const std::string_view part : {"lm_head.", "model.layers.", "model.embed_tokens.", "model.norm."}) {
    if (name.starts_with(part)) {
      name.insert(0, "language_model.");
      return;
    }
  }
}

/// compressed-tensors' mxfp4: the bytes of MLX's, [out, in / 2] of which are [out, in / 8] words.
void rename_packed_bytes(std::string& name, TensorView& tensor) {
  if (tensor.dtype != DType::kU8 || tensor.shape.empty()) return;
  if (replace_suffix(name, ".weight_scale", ".scales") || tensor.shape.back() % 4 != 0) return;
  if (!replace_suffix(name, ".weight_packed", ".weight")) return;
  tensor.dtype = DType::kU32;
  tensor.shape.back() /= 4;
}

/// Blocks of 16 bytes, 32 e2m1 numbers each: [out, blocks, 16] U8 is [out, 4 · blocks] U32.
void view_blocks_as_words(TensorView& tensor) {
  std::vector<std::int64_t>& shape = tensor.shape;
  if (tensor.dtype != DType::kU8 || shape.size() < 3 || shape.back() % 4 != 0) return;
  const std::int64_t words = shape.back() / 4;
  shape.pop_back();
  shape.back() *= words;
  tensor.dtype = DType::kU32;
}

void rename_experts(std::string& name, TensorView& tensor) {
  for (const std::string_view matrix : {".experts.gate_up_proj", ".experts.down_proj"}) {
    const std::string stem(matrix);
    if (replace_suffix(name, stem, stem + ".weight")) return;
    if (replace_suffix(name, stem + "_bias", stem + ".bias")) return;
    if (replace_suffix(name, stem + "_scale_inv", stem + ".weight_scale_inv")) return;
    if (replace_suffix(name, stem + "_scales", stem + ".scales")) return;
    if (replace_suffix(name, stem + "_blocks", stem + ".weight")) {
      view_blocks_as_words(tensor);
      return;
    }
  }
}

void rename_for_type(std::string_view model_type, std::string& name) {
  if (name.starts_with("lm_head.")) return;
  if (model_type == "gpt2" && !name.starts_with("model.")) {
    replace_prefix(name, "transformer.", "");
    name.insert(0, "model.");
  } else if (model_type == "gpt_neox" && !name.starts_with("model.")) {
    if (replace_prefix(name, "gpt_neox.layers.", "model.h.")) return;
    replace_prefix(name, "gpt_neox.", "");
    name.insert(0, "model.");
  } else if (model_type == "exaone_moe") {
    replace_suffix(name, ".mlp.e_score_correction_bias", ".mlp.gate.e_score_correction_bias");
  } else if (model_type == "granitemoe" || model_type == "granitemoehybrid") {
    replace_suffix(name, ".block_sparse_moe.output_linear.weight",
                   ".block_sparse_moe.switch_mlp.down_proj.weight");
  }
}

}  // namespace

Result<void> use_mlx_names(const ConfigReader& config, WeightMap& weights) {
  const std::string model_type = TRY(config.string("model_type"));
  // Older configurations of Qwen's vision models are the text model's with more fields.
  const bool beside_vision =
      config.has("text_config") || model_type == "qwen2_vl" || model_type == "qwen2_5_vl";
  return weights.rename([&](TensorView& tensor) {
    std::string name = tensor.name;
    if (beside_vision) rename_text_model(name);
    rename_for_type(model_type, name);
    rename_experts(name, tensor);
    rename_packed_bytes(name, tensor);
    return name;
  });
}

}  // namespace mlxd
