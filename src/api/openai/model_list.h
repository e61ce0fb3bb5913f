// GET /v1/models and /v1/models/{id}. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace mlxd::api::openai {

struct ModelEntry {
  std::string id;
  std::string parent = {};          // of MODEL+ADAPTER the model; empty: it is one itself
  std::int64_t created = 0;         // seconds since 1970
  std::int64_t context_tokens = 0;  // 0: not known before loading
  std::int64_t num_parameters = 0;  // 0: not known before loading
  bool loaded = false;
  bool chat = false;  // has a chat template
  // Of the model's folder; "" and 0: not known.
  std::string architecture = {};
  std::string quantization = {};
  std::int64_t size_bytes = 0;
  bool tools = false;      // the template takes tools
  bool reasoning = false;  // the template knows thinking
};

std::string encode_model(const ModelEntry& model);
std::string encode_model_list(std::span<const ModelEntry> models);

}  // namespace mlxd::api::openai
