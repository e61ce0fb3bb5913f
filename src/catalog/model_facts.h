// What a model says about itself, in a folder or on the hub, without reading its weights: tolerant of what is
// missing. Functions.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mlxd {

/// What the memory that a model needs beside its weights depends on.
struct MemoryShape {
  std::int64_t kv_bytes_per_token = 0;         // 16-bit K/V of the layers that attend to all
  std::int64_t window_kv_bytes_per_token = 0;  // of those that attend to a window
  std::int64_t window_tokens = 0;              // 0: none does
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t vocab_size = 0;
};

struct ModelFacts {
  std::string architecture;         // config.json's model_type; "" if absent
  std::string quantization;         // "4-bit, group 32", "bfloat16", …; "" if unknown
  std::int64_t context_tokens = 0;  // 0: unknown
  std::uint64_t size_bytes = 0;     // all files of the folder, links followed
  std::uint64_t weight_bytes = 0;   // of the .safetensors files alone
  std::int64_t num_parameters = 0;  // 0: unknown
  std::int64_t modified = 0;        // newest weights file, seconds since 1970
  bool has_chat_template = false;
  bool tools = false;                          // the template takes tools
  bool reasoning = false;                      // the template knows thinking
  std::vector<std::string> inputs = {"text"};  // "text", "image", "audio", "video"
  std::string license;
  std::vector<std::string> base_models;
  MemoryShape shape;

  /// Of the whole file, scales included; 0: unknown.
  double bits_per_weight() const;
};

/// Errors: config.json missing or corrupt.
Result<ModelFacts> read_model_facts(const std::filesystem::path& folder);

/// A folder's chat template, as text: the default one of several; empty if it has none.
std::string read_chat_template(const std::filesystem::path& folder);

// The same from texts, as the hub gives them.
/// config.json.
void add_config_facts(const boost::json::object& config, ModelFacts& facts);
/// A chat template's text.
void add_template_facts(std::string_view text, ModelFacts& facts);
/// The chat template in tokenizer_config.json, or empty: a text, or the one named "default" of a list.
std::string template_of(const boost::json::object& tokenizer_config);
/// README.md with YAML between lines of "---" at its top: license, base_model.
void add_card_facts(std::string_view readme, ModelFacts& facts);

}  // namespace mlxd
