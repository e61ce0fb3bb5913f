#include <boost/json.hpp>
#include <string>
#include <utility>

#include "base/clock.h"
#include "catalog/model_catalog.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/json_text.h"
#include "cli/model_loader.h"
#include "cli/table.h"
#include "workbench/model_facts.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

struct Row {
  FoundModel model;
  ModelFacts facts;
  std::string problem;  // why the facts are missing, or empty
};

Result<std::vector<Row>> read_rows(const CommandContext& context) {
  std::vector<Row> rows;
  for (FoundModel& model : TRY(make_finder(context.state)).list()) {
    auto facts = read_model_facts(model.path);
    Row row{std::move(model), {}, {}};
    if (facts) {
      row.facts = std::move(*facts);
      if (const std::string missing = missing_weights(row.model.path); !missing.empty())
        row.problem = row.model.name + ": " + missing;
    } else {
      row.problem = facts.error().message;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string to_json_text(const std::vector<Row>& rows) {
  json::array models;
  for (const Row& row : rows) {
    json::object model{
        {"name", row.model.name}, {"path", row.model.path.string()}, {"source", to_string(row.model.source)}};
    if (row.problem.empty()) {
      model["architecture"] = row.facts.architecture;
      model["quantization"] = row.facts.quantization;
      model["context_tokens"] = row.facts.context_tokens;
      model["parameters"] = row.facts.num_parameters;
      model["tools"] = row.facts.tools;
      model["reasoning"] = row.facts.reasoning;
      model["size_bytes"] = row.facts.size_bytes;
      model["modified"] = row.facts.modified;
      model["chat_template"] = row.facts.has_chat_template;
    } else {
      model["error"] = row.problem;
    }
    models.push_back(std::move(model));
  }
  return pretty_json(json::object{{"models", std::move(models)}});
}

}  // namespace

Result<int> list_command(const CommandContext& context, const ListOptions& options) {
  const std::vector<Row> rows = TRY(read_rows(context));
  if (options.json) {
    context.console.write(to_json_text(rows));
    return kExitOk;
  }
  Table table({{"NAME"}, {"SIZE", true}, {"QUANT"}, {"CONTEXT", true}, {"MODIFIED"}});
  const std::int64_t now = Clock::real().wall_seconds();
  for (const Row& row : rows) {
    if (!row.problem.empty()) {
      context.console.report_error(row.problem);
      table.add_row({row.model.name, "?", "?", "?", "?"});
      continue;
    }
    const ModelFacts& facts = row.facts;
    table.add_row({row.model.name, format_bytes(facts.size_bytes),
                   facts.quantization.empty() ? "?" : facts.quantization,
                   facts.context_tokens > 0 ? format_grouped(facts.context_tokens) : "?",
                   facts.modified > 0 ? format_age(now - facts.modified) : "?"});
  }
  context.console.write(table.to_string());
  if (rows.empty())
    context.console.write_error(
        "no models yet: get one with 'mlxd pull ORG/NAME' or 'mlxd import FILE.gguf'\n");
  return kExitOk;
}

}  // namespace mlxd::cli
