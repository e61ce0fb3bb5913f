#include <boost/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/json_text.h"
#include "cli/model_loader.h"
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

Result<int> show_command(const CommandContext& context, const ShowOptions& options) {
  const FoundModel model = TRY(choose_model(make_finder(context.state), context.state, options.model));
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
