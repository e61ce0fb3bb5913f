#include "engine/prompt_lookup_drafter.h"

#include <array>

namespace mlxd {
namespace {

Evidence evidence_of_match(std::int32_t num_tokens) {
  if (num_tokens >= 16) return Evidence::kMatch16AndMore;
  if (num_tokens >= 8) return Evidence::kMatch8To15;
  if (num_tokens >= 5) return Evidence::kMatch5To7;
  if (num_tokens == 4) return Evidence::kMatch4;
  return num_tokens == 3 ? Evidence::kMatch3 : Evidence::kMatch2;
}

}  // namespace

void PromptLookupDrafter::bring_up_to_date(Text& text, const Sequence& sequence) {
  const auto tokens = sequence.tokens();
  if (text.num_known == 0) {
    const auto& predicted = sequence.request().prediction();
    text.index.append(predicted);
    if (!predicted.empty()) text.index.append(std::array{kNoToken});
    text.num_predicted = predicted.size();
  }
  text.index.append(tokens.subspan(text.num_known));
  text.num_known = tokens.size();
}

Result<void> PromptLookupDrafter::propose(std::span<Sequence* const> sequences) {
  for (Sequence* const sequence : sequences) {
    Draft& draft = sequence->draft();
    if (draft.most_tokens < 1) continue;
    Text& text = texts_[sequence->id()];
    bring_up_to_date(text, *sequence);
    const NgramIndex::Match match = text.index.find_last();
    if (match.num_tokens == 0) continue;
    const auto known = text.index.text();
    const auto begin = static_cast<std::size_t>(match.position);
    draft.from_prediction = begin + text.index.num_forgotten() < text.num_predicted;
    while (std::ssize(draft.tokens) < draft.most_tokens) {
      // A match that reaches into the text's end repeats itself.
      const std::size_t next = begin + draft.tokens.size();
      const TokenId token = next < known.size() ? known[next] : draft.tokens[next - known.size()].token;
      if (token == kNoToken) break;
      draft.tokens.push_back(
          {token, evidence_of_match(match.num_tokens + static_cast<std::int32_t>(draft.tokens.size()))});
    }
  }
  return {};
}

}  // namespace mlxd
