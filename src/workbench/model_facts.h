// A strict look at a model folder, which opens everything but the weights; the quick and tolerant one for
// lists is catalog's. Functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "catalog/model_facts.h"

namespace mlxd {

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
