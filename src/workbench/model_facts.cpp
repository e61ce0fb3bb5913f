#include "workbench/model_facts.h"

#include <array>
#include <boost/json.hpp>
#include <charconv>

#include "model/json.h"
#include "model/model_folder.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMaxConfigBytes = std::size_t{16} << 20U;

}  // namespace

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
