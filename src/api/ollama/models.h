// Models as Ollama's clients read them: lists, what is loaded, and all about one. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <span>
#include <string>

#include "api/ollama/timestamp.h"
#include "catalog/model_facts.h"

namespace mlxd::api::ollama {

struct ModelEntry {
  std::string name;
  std::string parent = {};  // the model that an alias or a profile stands for
  ModelFacts facts = {};    // as far as they are known
  std::string digest = {};  // hexadecimal SHA-256; empty: unknown
};

/// "134.5M" of a number of parameters; empty for 0.
std::string parameter_size(std::int64_t num_parameters);
/// "4bit", "BF16", "mxfp4" of the facts' "4-bit, group 32", "bfloat16", "mxfp4".
std::string quantization_level(const std::string& quantization);

std::string encode_tags(std::span<const ModelEntry> models);

struct LoadedModel {
  ModelEntry entry;
  std::uint64_t size_bytes = 0;    // memory that it has
  std::uint64_t device_bytes = 0;  // of it, that of a GPU
  std::int64_t expires_at = 0;     // seconds since 1970
  std::int64_t context_tokens = 0;
};
std::string encode_loaded(std::span<const LoadedModel> models);

struct ModelCard {
  ModelEntry entry;
  boost::json::object config = {};  // config.json
  std::string chat_template = {};
  std::string license = {};  // its text, or its name
  // Of a profile.
  std::string system = {};
  boost::json::object defaults = {};
};
std::string encode_card(const ModelCard& card);

}  // namespace mlxd::api::ollama
