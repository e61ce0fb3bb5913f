#include <boost/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catalog/hub_facts.h"
#include "catalog/hub_names.h"
#include "catalog/memory_fit.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/hub_commands.h"
#include "cli/json_fields.h"
#include "cli/json_text.h"
#include "cli/manage_client.h"
#include "cli/model_finder.h"
#include "cli/model_loader.h"
#include "workbench/machine.h"
#include "workbench/model_facts.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

std::string joined(const std::vector<ModelDetails::EndToken>& tokens) {
  std::string text;
  for (const auto& [id, name] : tokens)
    text += (text.empty() ? "" : ", ") + (name.empty() ? std::to_string(id) : name);
  return text.empty() ? "none" : text;
}

std::string to_json_text(const FoundModel& model, const ModelDetails& details) {
  json::array end_tokens;
  for (const auto& [id, name] : details.end_tokens)
    end_tokens.push_back(json::object{{"id", id}, {"name", name}});
  return pretty_json(json::object{{"name", model.name},
                                  {"path", model.path.string()},
                                  {"source", to_string(model.source)},
                                  {"architecture", details.architecture},
                                  {"parameters", details.num_parameters},
                                  {"quantization", details.facts.quantization},
                                  {"context_tokens", details.context_tokens},
                                  {"layers", details.num_layers},
                                  {"hidden_size", details.hidden_size},
                                  {"vocabulary", details.vocab_size},
                                  {"kv_bytes_per_token", details.kv_bytes_per_token},
                                  {"chat_template", details.facts.has_chat_template},
                                  {"end_tokens", std::move(end_tokens)},
                                  {"size_bytes", details.facts.size_bytes},
                                  {"modified", details.facts.modified}});
}

}  // namespace

namespace {

// What the hub says of a model that is not here, and whether it would fit.
Result<int> show_hub_model(const CommandContext& context, const ShowOptions& options) {
  const HubClient hub = TRY(open_hub(context.state));
  StopFlag stop;
  const HubModel model = TRY(hub.model(options.model, "main", stop));
  const ModelFacts facts = read_hub_facts(hub, model, stop);
  const MemoryFit fit = fit_memory(facts, {.memory_bytes = total_memory_bytes()});
  if (options.json) {
    context.console.write(pretty_json(json::object{{"name", model.id},
                                                   {"source", "hub"},
                                                   {"commit", model.commit},
                                                   {"architecture", facts.architecture},
                                                   {"parameters", facts.num_parameters},
                                                   {"quantization", facts.quantization},
                                                   {"context_tokens", facts.context_tokens},
                                                   {"chat_template", facts.has_chat_template},
                                                   {"tools", facts.tools},
                                                   {"reasoning", facts.reasoning},
                                                   {"license", facts.license},
                                                   {"weight_bytes", facts.weight_bytes},
                                                   {"kv_bytes", fit.kv_bytes},
                                                   {"scratch_bytes", fit.scratch_bytes},
                                                   {"total_bytes", fit.total_bytes},
                                                   {"memory_bytes", fit.memory_bytes},
                                                   {"fits", std::string(to_string(fit.verdict))}}));
    return kExitOk;
  }
  const auto or_unknown = [](const std::string& text) { return text.empty() ? std::string("?") : text; };
  context.console.write("name           " + model.id + " (on the hub: get it with 'mlxd pull " + model.id +
                        "')\n" +                                                                  //
                        "architecture   " + or_unknown(facts.architecture) + "\n" +               //
                        "quantization   " + or_unknown(facts.quantization) + "\n" +               //
                        "context        " + format_grouped(facts.context_tokens) + " tokens\n" +  //
                        "chat template  " + (facts.has_chat_template ? "yes" : "no") + "\n" +     //
                        "licence        " + or_unknown(facts.license) + "\n" +                    //
                        "weights        " + format_bytes(facts.weight_bytes) + "\n" +             //
                        "memory         " + format_bytes(fit.total_bytes) + " of " +
                        format_bytes(fit.memory_bytes) + " with " + format_grouped(fit.context_tokens) +
                        " tokens of context: " + std::string(to_string(fit.verdict)) + "\n");
  return kExitOk;
}

// One that the running server was given by its path; nothing if no server knows the name.
Result<std::optional<FoundModel>> find_at_server(const CommandContext& context, const std::string& name) {
  const auto server = ManageClient::find_running(context.state);
  // What does not answer may be busy with something else; the name is unknown here all the same.
  if (!server.ok() || !*server) return std::optional<FoundModel>();
  const auto answer = (*server)->get("/api/v1/models/" + path_segment(name));
  if (!answer.ok()) {
    if (answer.error().kind == ErrorKind::kNotFound) return std::optional<FoundModel>();
    return answer.error();
  }
  const json::object* model = answer->if_object();
  const std::string folder = model == nullptr ? std::string() : text_of(*model, "path");
  if (folder.empty()) return std::optional<FoundModel>();
  return std::optional(FoundModel{text_of(*model, "id"), folder, ModelSource::kPath});
}

}  // namespace

Result<int> show_command(const CommandContext& context, const ShowOptions& options) {
  const ModelFinder finder = TRY(make_finder(context.state));
  auto chosen = choose_model(finder, context.state, options.model);
  if (!chosen && chosen.error().kind == ErrorKind::kNotFound && !is_explicit_path(options.model)) {
    if (auto given = TRY(find_at_server(context, options.model))) chosen = std::move(*given);
  }
  if (!chosen && chosen.error().kind == ErrorKind::kNotFound &&
      options.model.find('/') != std::string::npos && check_repository_id(options.model)) {
    auto shown = show_hub_model(context, options);
    // Where there is no hub, what is not here is the news.
    if (shown ||
        (shown.error().kind != ErrorKind::kConflict && shown.error().kind != ErrorKind::kUnavailable))
      return shown;
  }
  const FoundModel model = TRY(std::move(chosen));
  const ModelDetails details = TRY(read_model_details(model.path));
  if (options.json) {
    context.console.write(to_json_text(model, details));
    return kExitOk;
  }
  const ModelFacts& facts = details.facts;
  context.console.write(
      "name           " + model.name + "\n" +  //
      "architecture   " + details.architecture + ", " + std::to_string(details.num_layers) +
      " layers of " +                                                                            //
      format_grouped(details.hidden_size) + "\n" +                                               //
      "parameters     " + format_count(details.num_parameters) + "\n" +                          //
      "quantization   " + (facts.quantization.empty() ? "none" : facts.quantization) + "\n" +    //
      "context        " + format_grouped(details.context_tokens) + " tokens, " +                 //
      format_bytes(static_cast<std::uint64_t>(details.kv_bytes_per_token)) + " of K/V each\n" +  //
      "vocabulary     " + format_grouped(details.vocab_size) + " tokens\n" +                     //
      "chat template  " + (facts.has_chat_template ? "yes" : "no") + "\n" +                      //
      "end tokens     " + joined(details.end_tokens) + "\n" +                                    //
      "size           " + format_bytes(facts.size_bytes) + "\n" +                                //
      "path           " + model.path.string() + "\n");
  return kExitOk;
}

}  // namespace mlxd::cli
