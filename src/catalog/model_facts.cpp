#include "catalog/model_facts.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <fstream>
#include <map>
#include <utility>

#include "catalog/json_reading.h"
#include "catalog/tensor_count.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMaxConfigBytes = std::size_t{16} << 20U;
constexpr std::size_t kMaxCardBytes = std::size_t{4} << 20U;
constexpr std::int64_t kBytesPerValue = 2;  // K/V are kept in 16 bits unless asked for otherwise

std::string quantization_of(const json::object& config, const json::object& text_config) {
  for (const json::object* parent : {&config, &text_config}) {
    for (const char* key : {"quantization", "quantization_config"}) {
      const json::object* quantization = object_at(*parent, key);
      if (quantization == nullptr) continue;
      const std::int64_t bits = integer_at(*quantization, "bits");
      const std::int64_t group = integer_at(*quantization, "group_size");
      if (const std::string mode = text_at(*quantization, "mode"); !mode.empty() && mode != "affine")
        return mode;
      if (bits > 0)
        return std::to_string(bits) + "-bit" + (group > 0 ? ", group " + std::to_string(group) : "");
      if (const std::string method = text_at(*quantization, "quant_method"); !method.empty()) return method;
    }
  }
  for (const json::object* parent : {&config, &text_config})
    for (const char* key : {"dtype", "torch_dtype"})
      if (const std::string dtype = text_at(*parent, key); !dtype.empty()) return dtype;
  return {};
}

std::int64_t first_integer(const json::object& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (const std::int64_t value = integer_at(object, key); value > 0) return value;
  return 0;
}

struct LayerCounts {
  std::int64_t full = 0;
  std::int64_t window = 0;
};

// Which layers attend to all and which to a window, in the ways that configurations say so.
LayerCounts count_layers(const json::object& config, std::int64_t window) {
  constexpr std::int64_t kMaxLayers = 4096;
  const std::int64_t layers =
      std::min(kMaxLayers, first_integer(config, {"num_hidden_layers", "n_layer", "n_layers", "num_layers"}));
  LayerCounts counts;
  if (const json::value* types = config.if_contains("layer_types"); types != nullptr && types->is_array()) {
    for (const json::value& type : types->get_array()) {
      const std::string name = type.is_string() ? std::string(type.get_string()) : std::string();
      if (name.find("sliding") != std::string::npos || name.find("chunked") != std::string::npos)
        ++counts.window;
      else if (name.find("full") != std::string::npos || name == "attention")
        ++counts.full;
    }
    return counts;
  }
  // Every n-th layer attends to all; the others to a window, or keep a state in place of K/V.
  if (const std::int64_t every = integer_at(config, "full_attention_interval"); every > 0) {
    counts.full = layers / every;
    return counts;
  }
  const json::value* used = config.if_contains("use_sliding_window");
  const bool unused = used != nullptr && used->is_bool() && !used->get_bool();
  if (window <= 0 || unused) {
    counts.full = layers;
    return counts;
  }
  std::int64_t every = integer_at(config, "sliding_window_pattern");
  const std::string type = text_at(config, "model_type");
  if (every == 0 && type == "gemma2") every = 2;
  if (every == 0 && type.starts_with("gemma3")) every = 6;
  counts.full = every > 0 ? layers / every : 0;
  counts.window = layers - counts.full;
  return counts;
}

// Files say anything; what is taken from them stays small enough to be multiplied.
std::int64_t bounded(std::int64_t value, std::int64_t limit) {
  return std::clamp<std::int64_t>(value, 0, limit);
}

MemoryShape shape_of(const json::object& config) {
  constexpr std::int64_t kMaxHeads = 4096;
  constexpr std::int64_t kMaxWidth = std::int64_t{1} << 22U;
  constexpr std::int64_t kMaxVocabulary = std::int64_t{1} << 26U;
  constexpr std::int64_t kMaxBytesPerToken = std::int64_t{1} << 27U;
  MemoryShape shape;
  shape.hidden_size = bounded(first_integer(config, {"hidden_size", "n_embd", "d_model"}), kMaxWidth);
  shape.intermediate_size =
      bounded(first_integer(config, {"intermediate_size", "moe_intermediate_size"}), kMaxWidth);
  shape.vocab_size = bounded(integer_at(config, "vocab_size"), kMaxVocabulary);
  const std::int64_t heads =
      bounded(first_integer(config, {"num_attention_heads", "n_head", "n_heads"}), kMaxHeads);
  std::int64_t kv_heads = bounded(first_integer(config, {"num_key_value_heads", "num_kv_heads"}), kMaxHeads);
  if (kv_heads == 0) kv_heads = heads;
  std::int64_t head_size = bounded(integer_at(config, "head_dim"), kMaxWidth);
  if (head_size == 0 && heads > 0) head_size = shape.hidden_size / heads;
  std::int64_t values = 2 * kv_heads * head_size;
  // Multi-head latent attention keeps one latent and one rotated key for all heads.
  if (const std::int64_t latent = integer_at(config, "kv_lora_rank"); latent > 0)
    values = bounded(latent, kMaxWidth) + bounded(integer_at(config, "qk_rope_head_dim"), kMaxWidth);
  const std::int64_t window = bounded(integer_at(config, "sliding_window"), kMaxVocabulary);
  const LayerCounts layers = count_layers(config, window);
  shape.kv_bytes_per_token = bounded(layers.full * values * kBytesPerValue, kMaxBytesPerToken);
  shape.window_kv_bytes_per_token = bounded(layers.window * values * kBytesPerValue, kMaxBytesPerToken);
  shape.window_tokens = layers.window > 0 ? window : 0;
  return shape;
}

std::int64_t unix_seconds(fs::file_time_type time) {
  // No clock_cast in libc++: carry the distance from now over to the system clock.
  const auto age = fs::file_time_type::clock::now() - time;
  const auto at =
      std::chrono::system_clock::now() - std::chrono::duration_cast<std::chrono::system_clock::duration>(age);
  return std::chrono::duration_cast<std::chrono::seconds>(at.time_since_epoch()).count();
}

Result<json::object> read_object(const fs::path& file) {
  const std::string text = TRY(read_text_file(file, kMaxConfigBytes));
  return parse_json_object(text, file.string());
}

// "license: apache-2.0" → "apache-2.0"; quotes taken off.
std::string yaml_value(std::string_view line, std::size_t begin) {
  std::string_view value = line.substr(begin);
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '"' || c == '\''; };
  while (!value.empty() && blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && blank(value.back())) value.remove_suffix(1);
  return std::string(value);
}

}  // namespace

double ModelFacts::bits_per_weight() const {
  if (num_parameters <= 0) return 0.0;
  return static_cast<double>(weight_bytes) * 8.0 / static_cast<double>(num_parameters);
}

void add_config_facts(const json::object& config, ModelFacts& facts) {
  const json::object* nested = object_at(config, "text_config");
  const json::object& text_config = nested != nullptr ? *nested : config;
  facts.architecture = text_at(config, "model_type");
  facts.quantization = quantization_of(config, text_config);
  facts.context_tokens = first_integer(
      text_config, {"max_position_embeddings", "max_sequence_length", "n_positions", "n_ctx", "seq_length"});
  facts.shape = shape_of(text_config);
  facts.inputs = {"text"};
  const auto has = [&config](std::initializer_list<const char*> keys) {
    return std::any_of(keys.begin(), keys.end(), [&](const char* key) {
      const json::value* value = config.if_contains(key);
      return value != nullptr && !value->is_null();
    });
  };
  if (has({"vision_config", "image_token_id", "image_token_index", "mm_vision_tower"}))
    facts.inputs.emplace_back("image");
  if (has({"video_token_id", "video_token_index"})) facts.inputs.emplace_back("video");
  if (has({"audio_config", "audio_token_id", "audio_token_index"})) facts.inputs.emplace_back("audio");
}

void add_template_facts(std::string_view text, ModelFacts& facts) {
  const auto says = [text](std::string_view word) { return text.find(word) != std::string_view::npos; };
  facts.has_chat_template = true;
  facts.tools = says("tools");
  facts.reasoning = says("enable_thinking") || says("<think>") || says("reasoning_content") ||
                    says("reasoning_effort") || says("thinking_budget");
}

std::string template_of(const json::object& tokenizer_config) {
  const json::value* value = tokenizer_config.if_contains("chat_template");
  if (value == nullptr) return {};
  if (value->is_string()) return std::string(value->get_string());
  if (!value->is_array()) return {};
  std::string first;
  for (const json::value& each : value->get_array()) {
    const json::object* entry = each.if_object();
    if (entry == nullptr) continue;
    if (text_at(*entry, "name") == "default") return text_at(*entry, "template");
    if (first.empty()) first = text_at(*entry, "template");
  }
  return first;
}

void add_card_facts(std::string_view readme, ModelFacts& facts) {
  if (!readme.starts_with("---")) return;
  bool in_base_models = false;
  std::size_t at = readme.find('\n');
  while (at != std::string_view::npos && at + 1 < readme.size()) {
    const std::size_t end = readme.find('\n', at + 1);
    const std::string_view line = readme.substr(at + 1, end == std::string_view::npos ? end : end - at - 1);
    at = end;
    if (line.starts_with("---")) return;
    const std::size_t dash = line.find_first_not_of(' ');
    if (in_base_models && dash != std::string_view::npos && line[dash] == '-') {
      if (std::string name = yaml_value(line, dash + 1); !name.empty())
        facts.base_models.push_back(std::move(name));
      continue;
    }
    in_base_models = false;
    constexpr std::string_view kLicense = "license:";
    constexpr std::string_view kBase = "base_model:";
    if (line.starts_with(kLicense)) facts.license = yaml_value(line, kLicense.size());
    if (!line.starts_with(kBase)) continue;
    std::string name = yaml_value(line, kBase.size());
    if (name.empty())
      in_base_models = true;
    else
      facts.base_models.push_back(std::move(name));
  }
}

std::string read_chat_template(const fs::path& folder) {
  if (const auto text = read_text_file(folder / "chat_template.jinja", kMaxConfigBytes); text) return *text;
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    const auto object = read_object(folder / name);
    if (!object) continue;
    if (std::string text = template_of(*object); !text.empty()) return text;
  }
  return {};
}

Result<ModelFacts> read_model_facts(const fs::path& folder) {
  const json::object config = TRY(read_object(folder / "config.json"));
  ModelFacts facts;
  add_config_facts(config, facts);
  if (const std::string text = read_chat_template(folder); !text.empty()) add_template_facts(text, facts);
  if (const auto card = read_text_file(folder / "README.md", kMaxCardBytes); card)
    add_card_facts(*card, facts);

  TensorCount tensors;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code file_error;
    if (!it->is_regular_file(file_error)) continue;
    const auto size = it->file_size(file_error);
    if (file_error) continue;
    facts.size_bytes += size;
    if (it->path().extension() != ".safetensors") continue;
    facts.weight_bytes += size;
    tensors.add_file(it->path());
    const auto time = fs::last_write_time(it->path(), file_error);
    if (!file_error) facts.modified = std::max(facts.modified, unix_seconds(time));
  }
  facts.num_parameters = tensors.num_parameters(config);
  return facts;
}

}  // namespace mlxd
