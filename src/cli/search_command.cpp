#include <boost/json.hpp>
#include <string>
#include <utility>

#include "catalog/hub_client.h"
#include "cli/format.h"
#include "cli/hub_commands.h"
#include "cli/json_text.h"
#include "cli/table.h"

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

}  // namespace

Result<int> search_command(const CommandContext& context, const SearchOptions& options) {
  HubQuery query;
  query.text = options.text;
  query.author = options.author;
  query.tags = options.tags;
  query.mlx_only = !options.all;
  query.limit = options.limit;
  query.sort = TRY(hub_sort_of(options.sort));
  StopFlag stop;
  const HubPage page = TRY(HubClient(TRY(locate_hub())).search(query, stop));
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
