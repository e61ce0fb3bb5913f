#include "catalog/hub_facts.h"

#include <algorithm>
#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "catalog/json_reading.h"

namespace mlxd {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxConfigBytes = std::size_t{16} << 20U;

}  // namespace

ModelFacts read_hub_facts(const HubClient& hub, const HubModel& model, StopFlag& stop) {
  ModelFacts facts;
  const auto has = [&model](std::string_view path) {
    return std::any_of(model.files.begin(), model.files.end(),
                       [&](const HubFile& file) { return file.path == path; });
  };
  const auto read = [&](const char* path) -> Result<json::object> {
    if (!has(path)) return not_found("no such file");
    return parse_json_object(TRY(hub.read_file(model.id, model.commit, path, kMaxConfigBytes, stop)), path);
  };
  if (const auto config = read("config.json"); config) add_config_facts(*config, facts);
  if (has("chat_template.jinja")) {
    if (const auto text = hub.read_file(model.id, model.commit, "chat_template.jinja", kMaxConfigBytes, stop);
        text)
      add_template_facts(*text, facts);
  } else if (const auto tokenizer = read("tokenizer_config.json"); tokenizer) {
    if (const std::string text = template_of(*tokenizer); !text.empty()) add_template_facts(text, facts);
  }
  for (const HubFile& file : model.files) {
    facts.size_bytes += file.size_bytes;
    if (file.path.ends_with(".safetensors") && file.path.find('/') == std::string::npos)
      facts.weight_bytes += file.size_bytes;
  }
  // mlx-lm writes the real count into the index.
  if (const auto index = read("model.safetensors.index.json"); index) {
    if (const json::object* metadata = object_at(*index, "metadata"))
      facts.num_parameters = integer_at(*metadata, "total_parameters");
  }
  facts.license = model.license;
  facts.base_models = model.base_models;
  return facts;
}

}  // namespace mlxd
