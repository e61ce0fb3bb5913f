#include <boost/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "catalog/hub_client.h"
#include "catalog/recommended_models.h"
#include "cli/format.h"
#include "cli/hub_commands.h"
#include "cli/json_text.h"
#include "cli/table.h"
#include "workbench/machine.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

std::string to_json_text(const HubPage& page) {
  json::array models;
  for (const HubModel& model : page.models) {
    json::array tags;
    for (const std::string& tag : model.tags) tags.emplace_back(tag);
    models.push_back(json::object{{"name", model.id},
                                  {"architecture", model.model_type},
                                  {"license", model.license},
                                  {"gated", !model.gated.empty()},
                                  {"storage_bytes", model.storage_bytes},
                                  {"downloads", model.downloads},
                                  {"likes", model.likes},
                                  {"last_modified", model.last_modified},
                                  {"tags", std::move(tags)}});
  }
  return pretty_json(json::object{{"models", std::move(models)}});
}

std::string fit_text(const Recommendation& each) {
  if (each.best) return "best that fits for " + std::string(each.model->purpose);
  switch (each.fit.verdict) {
    case FitVerdict::kFits:
      return "fits";
    case FitVerdict::kTight:
      return "tight";
    case FitVerdict::kTooLarge:
      return "too large";
    case FitVerdict::kUnknown:
      break;
  }
  return "?";
}

Result<int> list_recommended(const CommandContext& context, const SearchOptions& options) {
  const std::vector<Recommendation> all = recommend_models({.memory_bytes = total_memory_bytes()});
  if (options.json) {
    json::array models;
    for (const Recommendation& each : all) {
      const RecommendedModel& model = *each.model;
      models.push_back(json::object{{"name", std::string(model.id)},
                                    {"purpose", std::string(model.purpose)},
                                    {"note", std::string(model.note)},
                                    {"architecture", std::string(model.architecture)},
                                    {"quantization", std::string(model.quantization)},
                                    {"weight_bytes", model.weight_bytes},
                                    {"parameters", model.num_parameters},
                                    {"active_parameters", model.active_parameters},
                                    {"needed_bytes", each.fit.total_bytes},
                                    {"fit", std::string(to_string(each.fit.verdict))},
                                    {"recommended", each.best}});
    }
    context.console.write(pretty_json(json::object{{"as_of", std::string(recommended_models_date())},
                                                   {"memory_bytes", total_memory_bytes()},
                                                   {"models", std::move(models)}}));
    return kExitOk;
  }
  Table table({{"NAME"}, {"SIZE", true}, {"FOR"}, {"ON THIS MACHINE"}, {"NOTE"}});
  for (const Recommendation& each : all)
    table.add_row({std::string(each.model->id), format_bytes(each.model->weight_bytes),
                   std::string(each.model->purpose), fit_text(each), std::string(each.model->note)});
  context.console.write(table.to_string());
  context.console.write_line("as of " + std::string(recommended_models_date()) +
                             "; get one with 'mlxd pull NAME'");
  return kExitOk;
}

}  // namespace

Result<int> search_command(const CommandContext& context, const SearchOptions& options) {
  if (options.recommended) return list_recommended(context, options);
  HubQuery query;
  query.text = options.text;
  query.author = options.author;
  query.tags = options.tags;
  query.mlx_only = !options.all;
  query.limit = options.limit;
  query.sort = TRY(hub_sort_of(options.sort));
  StopFlag stop;
  const HubPage page = TRY(TRY(open_hub(context.state)).search(query, stop));
  if (options.json) {
    context.console.write(to_json_text(page));
    return kExitOk;
  }
  Table table(
      {{"NAME"}, {"SIZE", true}, {"ARCHITECTURE"}, {"DOWNLOADS", true}, {"LIKES", true}, {"MODIFIED"}});
  for (const HubModel& model : page.models)
    table.add_row({without_control_characters(model.id) + (model.gated.empty() ? "" : " (gated)"),
                   model.storage_bytes > 0 ? format_bytes(model.storage_bytes) : "?",
                   without_control_characters(model.model_type), format_grouped(model.downloads),
                   format_grouped(model.likes),
                   without_control_characters(model.last_modified.substr(0, 10))});
  context.console.write(table.to_string());
  if (page.models.empty()) context.console.write_error("nothing found\n");
  return kExitOk;
}

}  // namespace mlxd::cli
