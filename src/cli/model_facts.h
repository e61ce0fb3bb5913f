// What a model folder says about itself without opening its weights: enough for a list, tolerant of what is
// missing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mlxd::cli {

struct ModelFacts {
  std::string architecture;         // config.json's model_type; "" if absent
  std::string quantization;         // "4-bit, group 32", "bfloat16", … "" if unknown
  std::int64_t context_tokens = 0;  // 0: unknown
  std::uint64_t size_bytes = 0;     // all files of the folder, links followed
  std::int64_t modified = 0;        // newest weights file, seconds since 1970
  bool has_chat_template = false;
};

/// Errors: config.json missing or corrupt.
Result<ModelFacts> read_model_facts(const std::filesystem::path& folder);

/// Sampling that the model's makers recommend in generation_config.json; absent values are absent there.
struct RecommendedSampling {
  std::vector<std::pair<std::string, std::string>> settings;  // name as in chat settings, value as text
};
RecommendedSampling read_recommended_sampling(const std::filesystem::path& folder);

}  // namespace mlxd::cli
