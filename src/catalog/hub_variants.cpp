#include "catalog/hub_variants.h"

#include <algorithm>
#include <boost/json.hpp>
#include <string_view>
#include <utility>

#include "catalog/json_reading.h"
#include "catalog/model_facts.h"

namespace mlxd {
namespace {

constexpr std::size_t kMaxConfigBytes = std::size_t{16} << 20U;
constexpr std::int64_t kMaxBits = 8;
constexpr std::string_view kQuantizedOf = "base_model:quantized:";

// What a model is a quantized version of, or itself.
std::string base_of(const HubModel& model) {
  for (const std::string& tag : model.tags)
    if (tag.starts_with(kQuantizedOf)) return tag.substr(kQuantizedOf.size());
  return model.id;
}

// Sizes of layers, from the first of these whose config.json can be read: a base may be gated.
ModelFacts read_shape(const HubClient& hub, const std::vector<std::string>& ids, StopFlag& stop) {
  ModelFacts facts;
  for (const std::string& id : ids) {
    const auto text = hub.read_file(id, "main", "config.json", kMaxConfigBytes, stop);
    if (!text) continue;
    const auto config = parse_json_object(*text, "config.json");
    if (!config) continue;
    add_config_facts(*config, facts);
    break;
  }
  return facts;
}

}  // namespace

Result<HubVariants> find_hub_variants(const HubClient& hub, const std::string& id,
                                      const FitQuestion& question, StopFlag& stop) {
  HubVariants found;
  found.base = base_of(TRY(hub.model(id, "main", stop)));
  HubQuery query;
  query.tags = {std::string(kQuantizedOf) + found.base};
  query.sort = "downloads";
  query.limit = 50;
  HubPage page = TRY(hub.search(query, stop));
  if (page.models.empty()) return found;
  const ModelFacts shape = read_shape(hub, {page.models.front().id, found.base}, stop);
  for (HubModel& model : page.models) {
    ModelFacts facts = shape;
    facts.weight_bytes = model.weight_bytes;
    found.variants.push_back({std::move(model), fit_memory(facts, question)});
  }
  std::stable_sort(
      found.variants.begin(), found.variants.end(),
      [](const HubVariant& a, const HubVariant& b) { return a.model.weight_bytes < b.model.weight_bytes; });
  // Of several of one size the most used comes first.
  std::uint64_t largest = 0;
  for (const HubVariant& variant : found.variants) {
    const bool fits = variant.fit.verdict == FitVerdict::kFits && variant.model.bits <= kMaxBits;
    if (!fits || variant.model.weight_bytes <= largest) continue;
    largest = variant.model.weight_bytes;
    found.recommended = variant.model.id;
  }
  return found;
}

}  // namespace mlxd
