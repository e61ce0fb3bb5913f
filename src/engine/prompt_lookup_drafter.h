// Guesses that a text goes on as it went on before: where the last tokens of prompt and answer (or of the
// request's predicted text) stood last, what followed there is the draft. "Prompt lookup decoding" (Saxena,
// 2023), by the longest of the recent matches (NgramIndex). Costs nothing to speak of.
#pragma once

#include <unordered_map>

#include "engine/drafter.h"
#include "engine/ngram_index.h"

namespace mlxd {

class PromptLookupDrafter : public Drafter {
 public:
  Result<void> propose(std::span<Sequence* const> sequences) override;
  void forget(SequenceId id) override { texts_.erase(id); }
  double seconds_per_token(std::int32_t /*num_sequences*/) const override { return 0.0; }

 private:
  struct Text {
    NgramIndex index;
    std::size_t num_predicted = 0;  // tokens of predicted text, which stands first
    std::size_t num_known = 0;      // of the sequence's tokens
  };
  void bring_up_to_date(Text& text, const Sequence& sequence);

  std::unordered_map<SequenceId, Text> texts_;
};

}  // namespace mlxd
