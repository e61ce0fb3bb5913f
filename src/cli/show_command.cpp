#include <boost/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/model_facts.h"
#include "cli/model_loader.h"
#include "model/json.h"
#include "model/model_folder.h"
#include "text/tokenizer.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

// End tokens as they stand in the vocabulary; their ids where there is no tokenizer to ask.
std::vector<std::string> end_token_names(const ModelFolder& folder) {
  const auto tokenizer = Tokenizer::open(folder.path());
  std::vector<std::string> names;
  for (const std::int32_t id : folder.eos_tokens()) {
    const std::string name = tokenizer ? tokenizer->token_name(id) : std::string();
    names.push_back(name.empty() ? std::to_string(id) : name);
  }
  return names;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text.empty() ? "none" : text;
}

std::string to_json_text(const FoundModel& model, const ModelFacts& facts, const ModelFolder& folder,
                         const std::vector<std::string>& end_names) {
  const ModelSpec& spec = folder.spec();
  json::array end_tokens;
  for (std::size_t i = 0; i < end_names.size(); ++i)
    end_tokens.push_back(json::object{{"id", folder.eos_tokens()[i]}, {"name", end_names[i]}});
  return to_pretty_json(json::object{{"name", model.name},
                                     {"path", model.path.string()},
                                     {"source", to_string(model.source)},
                                     {"architecture", spec.model_type},
                                     {"parameters", folder.num_parameters()},
                                     {"quantization", facts.quantization},
                                     {"context_tokens", spec.context_tokens},
                                     {"layers", spec.layers.size()},
                                     {"hidden_size", spec.hidden_size},
                                     {"vocabulary", spec.vocab_size},
                                     {"chat_template", facts.has_chat_template},
                                     {"end_tokens", std::move(end_tokens)},
                                     {"size_bytes", facts.size_bytes},
                                     {"modified", facts.modified}});
}

}  // namespace

Result<int> show_command(const CommandContext& context, const ShowOptions& options) {
  const FoundModel model = TRY(choose_model(make_finder(context.state), context.state, options.model));
  const ModelFacts facts = TRY(read_model_facts(model.path));
  const ModelFolder folder = TRY(ModelFolder::open(model.path));
  const ModelSpec& spec = folder.spec();
  const std::vector<std::string> end_names = end_token_names(folder);
  if (options.json) {
    context.console.write(to_json_text(model, facts, folder, end_names));
    return kExitOk;
  }
  context.console.write(
      "name           " + model.name + "\n" +                                                            //
      "architecture   " + spec.model_type + ", " + std::to_string(spec.layers.size()) + " layers of " +  //
      format_grouped(spec.hidden_size) + "\n" +                                                          //
      "parameters     " + format_count(folder.num_parameters()) + "\n" +                                 //
      "quantization   " + (facts.quantization.empty() ? "none" : facts.quantization) + "\n" +            //
      "context        " + format_grouped(spec.context_tokens) + " tokens\n" +                            //
      "vocabulary     " + format_grouped(spec.vocab_size) + " tokens\n" +                                //
      "chat template  " + (facts.has_chat_template ? "yes" : "no") + "\n" +                              //
      "end tokens     " + joined(end_names) + "\n" +                                                     //
      "size           " + format_bytes(facts.size_bytes) + "\n" +                                        //
      "path           " + model.path.string() + "\n");
  return kExitOk;
}

}  // namespace mlxd::cli
