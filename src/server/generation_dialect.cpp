#include "server/generation_dialect.h"

#include <iterator>
#include <utility>

namespace mlxd {

std::vector<GenerationDialect> generation_dialects(bool strict) {
  std::vector<GenerationDialect> all;
  for (std::vector<GenerationDialect> some : {openai_dialects(strict), ollama_dialects(strict)})
    std::move(some.begin(), some.end(), std::back_inserter(all));
  return all;
}

std::int32_t total_choices(const api::GenerationCall& call) {
  const std::size_t prompts = call.conversation ? 1 : call.prompts.size();
  return static_cast<std::int32_t>(prompts) * call.num_choices;
}

}  // namespace mlxd
