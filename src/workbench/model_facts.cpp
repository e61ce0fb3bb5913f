#include "workbench/model_facts.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <chrono>

#include "model/json.h"
#include "model/model_folder.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMaxConfigBytes = std::size_t{16} << 20U;

const json::object* object_at(const json::object& parent, std::string_view key) {
  const json::value* value = parent.if_contains(key);
  return value == nullptr ? nullptr : value->if_object();
}

std::string text_at(const json::object& parent, std::string_view key) {
  const json::value* value = parent.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::int64_t integer_at(const json::object& parent, std::string_view key) {
  const json::value* value = parent.if_contains(key);
  return value != nullptr && value->is_int64() ? value->get_int64() : 0;
}

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

std::int64_t unix_seconds(fs::file_time_type time) {
  // No clock_cast in libc++: carry the distance from now over to the system clock.
  const auto age = fs::file_time_type::clock::now() - time;
  const auto at =
      std::chrono::system_clock::now() - std::chrono::duration_cast<std::chrono::system_clock::duration>(age);
  return std::chrono::duration_cast<std::chrono::seconds>(at.time_since_epoch()).count();
}

bool declares_template(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder / "chat_template.jinja", error) || fs::exists(folder / "chat_template.json", error))
    return true;
  const auto tokenizer_config = read_json_object(folder / "tokenizer_config.json", kMaxConfigBytes);
  if (!tokenizer_config) return false;
  const json::value* chat_template = tokenizer_config->if_contains("chat_template");
  return chat_template != nullptr && !chat_template->is_null();
}

}  // namespace

Result<ModelFacts> read_model_facts(const fs::path& folder) {
  const json::object config = TRY(read_json_object(folder / "config.json", kMaxConfigBytes));
  const json::object* nested = object_at(config, "text_config");
  const json::object& text_config = nested != nullptr ? *nested : config;

  ModelFacts facts;
  facts.architecture = text_at(config, "model_type");
  facts.quantization = quantization_of(config, text_config);
  facts.context_tokens = integer_at(text_config, "max_position_embeddings");
  facts.has_chat_template = declares_template(folder);

  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code file_error;
    if (!it->is_regular_file(file_error)) continue;
    const auto size = it->file_size(file_error);
    if (file_error) continue;
    facts.size_bytes += size;
    if (it->path().extension() != ".safetensors") continue;
    facts.weight_bytes += size;
    const auto time = fs::last_write_time(it->path(), file_error);
    if (!file_error) facts.modified = std::max(facts.modified, unix_seconds(time));
  }
  return facts;
}

Result<ModelDetails> read_model_details(const fs::path& folder) {
  ModelDetails details;
  details.facts = TRY(read_model_facts(folder));
  const ModelFolder model = TRY(ModelFolder::open(folder));
  const ModelSpec& spec = model.spec();
  details.architecture = spec.model_type;
  details.num_parameters = model.num_parameters();
  details.num_layers = static_cast<std::int32_t>(spec.layers.size());
  details.hidden_size = spec.hidden_size;
  details.vocab_size = spec.vocab_size;
  details.context_tokens = spec.context_tokens;
  for (const LayerGroup& group : spec.layer_groups)
    details.kv_bytes_per_token += std::int64_t{2} * 2 * group.num_layers * group.num_kv_heads *
                                  group.head_dim;  // K and V, two bytes each

  const Tokenizer tokenizer = TRY(Tokenizer::open(folder));
  for (const std::int32_t id : model.eos_tokens())
    details.end_tokens.push_back({id, tokenizer.token_name(id)});
  const auto chat_template = ChatTemplate::open(folder);
  if (!chat_template && chat_template.error().kind != ErrorKind::kNotFound) return chat_template.error();
  details.facts.has_chat_template = chat_template.ok();
  return details;
}

std::vector<std::pair<std::string, std::string>> read_recommended_sampling(const fs::path& folder) {
  std::vector<std::pair<std::string, std::string>> recommended;
  const auto config = read_json_object(folder / "generation_config.json", kMaxConfigBytes);
  if (!config) return recommended;
  for (const char* name : {"temperature", "top_p", "top_k", "min_p", "repetition_penalty"}) {
    const json::value* value = config->if_contains(name);
    if (value == nullptr || !value->is_number()) continue;
    std::array<char, 32> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value->to_number<double>());
    recommended.emplace_back(name, std::string(text.data(), end.ptr));
  }
  return recommended;
}

}  // namespace mlxd
