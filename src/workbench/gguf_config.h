// config.json and generation_config.json of a GGUF, from its metadata.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/gguf.h"
#include "workbench/gguf_architecture.h"

namespace mlxd {

/// What the metadata says about the model.
struct GgufModel {
  const GgufArchitecture* architecture = nullptr;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t vocab_size = 0;
  bool tied_embeddings = false;
  bool qkv_bias = false;
  bool output_bias = false;  // of the attention
  bool mlp_bias = false;
  /// Tensors whose content is part of `config`.
  std::vector<std::string> rope_tensors;
  /// config.json without its `quantization` section.
  boost::json::object config;
};

/// Errors: kUnsupported for architectures and features that are not imported (experts, caps on logits, …),
/// kCorruptData for missing or absurd metadata.
Result<GgufModel> read_gguf_model(const GgufFile& file);

/// Special token ids; absent where the metadata names none.
struct GgufSpecialTokens {
  std::optional<std::int64_t> bos, eos, unknown, padding;
  /// Every token that ends a generation: eos first, then end-of-turn tokens.
  std::vector<std::int64_t> ends;
};
Result<GgufSpecialTokens> read_special_tokens(const GgufFile& file);

boost::json::object make_generation_config(const GgufSpecialTokens& tokens);

}  // namespace mlxd
