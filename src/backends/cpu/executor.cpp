#include "backends/cpu/executor.h"

namespace mlxd {

LayerPasses::LayerPasses(const StepInput& step, std::size_t num_layers)
    : num_whole_tokens_(step.tokens.size()) {
  const LayerSlice& slice = step.batch->slice;
  if (slice.num_sequences == 0) {
    add({step, 0, num_layers});
    return;
  }
  const std::size_t whole = step.sequences.size() - static_cast<std::size_t>(slice.num_sequences);
  num_whole_tokens_ = static_cast<std::size_t>(step.sequences[whole].first_token);
  const StepInput others = step.first(whole, num_whole_tokens_);
  const auto first = static_cast<std::size_t>(slice.first_layer);
  const auto last = static_cast<std::size_t>(slice.last_layer);
  add({others, 0, first});
  add({step, first, last});
  add({others, last, num_layers});
}

void LayerPasses::add(const LayerPass& pass) {
  if (pass.input.tokens.empty() || pass.first_layer == pass.last_layer) return;
  passes_[num_passes_++] = pass;
}

}  // namespace mlxd
