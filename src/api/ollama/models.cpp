#include "api/ollama/models.h"

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <utility>

#include "api/json_text.h"

namespace mlxd::api::ollama {

namespace json = boost::json;

namespace {

json::array capabilities(const ModelFacts& facts) {
  json::array list{"completion"};
  if (facts.tools) list.emplace_back("tools");
  if (facts.reasoning) list.emplace_back("thinking");
  return list;
}

json::object details(const ModelEntry& model) {
  const ModelFacts& facts = model.facts;
  json::object object{{"parent_model", model.parent},
                      {"format", "safetensors"},
                      {"family", facts.architecture},
                      {"families", json::array{}},
                      {"parameter_size", parameter_size(facts.num_parameters)},
                      {"quantization_level", quantization_level(facts.quantization)}};
  if (!facts.architecture.empty()) object["families"] = json::array{json::string(facts.architecture)};
  if (facts.context_tokens > 0) object["context_length"] = facts.context_tokens;
  if (facts.shape.hidden_size > 0) object["embedding_length"] = facts.shape.hidden_size;
  return object;
}

json::object entry_object(const ModelEntry& model) {
  return {{"name", model.name},
          {"model", model.name},
          {"modified_at", timestamp_of_seconds(model.facts.modified)},
          {"size", model.facts.size_bytes},
          {"digest", model.digest},
          {"details", details(model)},
          {"capabilities", capabilities(model.facts)}};
}

// As GGUF names what config.json says.
json::object model_info(const ModelCard& card) {
  const ModelFacts& facts = card.entry.facts;
  const std::string& name = card.entry.name;
  json::object info{{"general.architecture", facts.architecture},
                    {"general.basename", name.substr(name.rfind('/') + 1)}};
  if (facts.num_parameters > 0) info["general.parameter_count"] = facts.num_parameters;
  if (!facts.license.empty()) info["general.license"] = facts.license;
  if (facts.architecture.empty()) return info;
  if (facts.context_tokens > 0) info[facts.architecture + ".context_length"] = facts.context_tokens;
  const json::value* nested = card.config.if_contains("text_config");
  const json::object& config = nested != nullptr && nested->is_object() ? nested->get_object() : card.config;
  static constexpr std::array<std::pair<const char*, const char*>, 11> kNames = {
      {{"hidden_size", "embedding_length"},
       {"num_hidden_layers", "block_count"},
       {"intermediate_size", "feed_forward_length"},
       {"num_attention_heads", "attention.head_count"},
       {"num_key_value_heads", "attention.head_count_kv"},
       {"head_dim", "attention.key_length"},
       {"rms_norm_eps", "attention.layer_norm_rms_epsilon"},
       {"rope_theta", "rope.freq_base"},
       {"vocab_size", "vocab_size"},
       {"num_experts", "expert_count"},
       {"num_experts_per_tok", "expert_used_count"}}};
  for (const auto& [key, wanted] : kNames) {
    const json::value* value = config.if_contains(key);
    if (value != nullptr && value->is_number()) info[facts.architecture + "." + wanted] = *value;
  }
  return info;
}

std::string_view option_name(std::string_view name) {
  if (name == "max_tokens") return "num_predict";
  if (name == "repetition_penalty") return "repeat_penalty";
  if (name == "context_tokens") return "num_ctx";
  return name;
}

// A line for each, as in a Modelfile.
std::string parameters(const json::object& defaults) {
  constexpr std::size_t kNameWidth = 31;
  std::string lines;
  const auto add = [&lines](std::string_view name, const json::value& value) {
    if (!lines.empty()) lines += '\n';
    lines += name;
    lines.append(name.size() < kNameWidth ? kNameWidth - name.size() : 1, ' ');
    append_json_value(lines, value);
  };
  for (const auto& [key, value] : defaults) {
    const std::string_view name(key.data(), key.size());
    if (name == "system" || value.is_object()) continue;
    if (const json::array* list = value.if_array()) {
      for (const json::value& each : *list) add(option_name(name), each);
    } else {
      add(option_name(name), value);
    }
  }
  return lines;
}

}  // namespace

std::string parameter_size(std::int64_t num_parameters) {
  struct Unit {
    double size;
    const char* name;
  };
  constexpr std::array<Unit, 4> kUnits = {{{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "K"}}};
  const auto number = static_cast<double>(num_parameters);
  for (const Unit& unit : kUnits) {
    if (number < unit.size) continue;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f%s", number / unit.size, unit.name);
    return text.data();
  }
  return num_parameters > 0 ? std::to_string(num_parameters) : std::string();
}

std::string quantization_level(const std::string& quantization) {
  if (quantization == "bfloat16") return "BF16";
  if (quantization == "float16") return "F16";
  if (quantization == "float32") return "F32";
  const std::size_t bits = quantization.find("-bit");
  return bits == std::string::npos ? quantization : quantization.substr(0, bits) + "bit";
}

std::string encode_tags(std::span<const ModelEntry> models) {
  json::array list;
  for (const ModelEntry& model : models) list.push_back(entry_object(model));
  return json::serialize(json::object{{"models", std::move(list)}});
}

std::string encode_loaded(std::span<const LoadedModel> models) {
  json::array list;
  for (const LoadedModel& model : models)
    list.push_back(json::object{{"name", model.entry.name},
                                {"model", model.entry.name},
                                {"size", model.size_bytes},
                                {"digest", model.entry.digest},
                                {"details", details(model.entry)},
                                {"expires_at", timestamp_of_seconds(model.expires_at)},
                                {"size_vram", model.device_bytes},
                                {"context_length", model.context_tokens}});
  return json::serialize(json::object{{"models", std::move(list)}});
}

std::string encode_card(const ModelCard& card) {
  const std::string& from = card.entry.parent.empty() ? card.entry.name : card.entry.parent;
  json::object object;
  if (!card.license.empty()) object["license"] = card.license;
  object["modelfile"] = "FROM " + from + "\n";
  if (std::string lines = parameters(card.defaults); !lines.empty()) object["parameters"] = std::move(lines);
  if (!card.chat_template.empty()) object["template"] = card.chat_template;
  if (!card.system.empty()) object["system"] = card.system;
  object["details"] = details(card.entry);
  object["model_info"] = model_info(card);
  object["capabilities"] = capabilities(card.entry.facts);
  object["modified_at"] = timestamp_of_seconds(card.entry.facts.modified);
  return json::serialize(object);
}

}  // namespace mlxd::api::ollama
