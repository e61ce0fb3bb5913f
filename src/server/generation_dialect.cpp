#include "server/generation_dialect.h"

#include <iterator>
#include <utility>

namespace mlxd {

std::vector<GenerationDialect> generation_dialects(const DialectOptions& options) {
  std::vector<GenerationDialect> all;
  for (std::vector<GenerationDialect> some :
       {openai_dialects(options.strict), responses_dialects(options.strict, options.responses),
        anthropic_dialects(options.strict), ollama_dialects(options.strict), token_dialects(options.strict)})
    std::move(some.begin(), some.end(), std::back_inserter(all));
  return all;
}

Error in_words_of(const GenerationDialect& dialect, Error error) {
  for (const auto& [theirs, ours] : dialect.field_names) {
    if (error.field != theirs) continue;
    error.field = ours;
    if (const std::size_t at = error.message.find(theirs); at != std::string::npos)
      error.message.replace(at, theirs.size(), ours);
    break;
  }
  return error;
}

std::int32_t total_choices(const api::GenerationCall& call) {
  const std::size_t prompts = call.conversation ? 1 : call.prompts.size();
  return static_cast<std::int32_t>(prompts) * call.num_choices;
}

}  // namespace mlxd
