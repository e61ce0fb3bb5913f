// What a model folder says about itself without reading its weights: a quick look for lists, tolerant of what
// is missing, and a strict one that opens everything but the weights. Functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mlxd {

struct ModelFacts {
  std::string architecture;         // config.json's model_type; "" if absent
  std::string quantization;         // "4-bit, group 32", "bfloat16", …; "" if unknown
  std::int64_t context_tokens = 0;  // 0: unknown
  std::uint64_t size_bytes = 0;     // all files of the folder, links followed
  std::uint64_t weight_bytes = 0;   // of the .safetensors files alone
  std::int64_t modified = 0;        // newest weights file, seconds since 1970
  bool has_chat_template = false;
};
/// Errors: config.json missing or corrupt.
Result<ModelFacts> read_model_facts(const std::filesystem::path& folder);

struct ModelDetails {
  ModelFacts facts;
  std::string architecture;
  std::int64_t num_parameters = 0;
  std::int32_t num_layers = 0;
  std::int32_t hidden_size = 0;
  std::int32_t vocab_size = 0;
  std::int32_t context_tokens = 0;
  struct EndToken {
    std::int32_t id = 0;
    std::string name;  // as it stands in the vocabulary
  };
  std::vector<EndToken> end_tokens;
  std::int64_t kv_bytes_per_token = 0;  // 16-bit K/V over all layers
};
/// Opens configuration, tensor headers, tokenizer and chat template (which may be absent). Errors: theirs.
Result<ModelDetails> read_model_details(const std::filesystem::path& folder);

/// Sampling that the model's makers recommend in generation_config.json, in the order of the names below;
/// empty if they say nothing. Names: temperature, top_p, top_k, min_p, repetition_penalty.
std::vector<std::pair<std::string, std::string>> read_recommended_sampling(
    const std::filesystem::path& folder);

}  // namespace mlxd
