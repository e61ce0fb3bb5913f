#include "backends/cpu/step_work.h"

#include <algorithm>

namespace mlxd {
namespace {

// fp32 operations for each element: square and sum, two factors; and a factor and the largest for int8.
constexpr double kNormOperations = 4.0;
constexpr double kQuantizeOperations = 2.0;

}  // namespace

StepWork::StepWork(const ModelSpec& spec, std::span<KvPages> pages) {
  vocab_size_ = spec.vocab_size;
  num_layers_ = static_cast<double>(spec.layers.size());
  attentions_.resize(spec.layer_groups.size());
  for (const LayerSpec& layer : spec.layers) {
    if (!layer.attention) continue;
    const AttentionSpec& attention = *layer.attention;
    const auto group = static_cast<std::size_t>(attention.layer_group);
    const double queries = static_cast<double>(attention.num_heads) * attention.head_dim;
    attentions_[group].pair_operations += 4.0 * queries;
    norm_operations_ +=
        2.0 * spec.hidden_size * (kNormOperations + kQuantizeOperations) + queries * kQuantizeOperations;
  }
  for (std::size_t group = 0; group < attentions_.size(); ++group) {
    if (spec.layer_groups[group].kind == LayerGroupKind::kRecurrent) continue;
    attentions_[group].window_tokens = spec.layer_groups[group].window_tokens;
    attentions_[group].key_bytes = static_cast<double>(pages[group].page_bytes()) / kPageTokens;
  }
}

void StepWork::add_product(StepStage stage, const Linear& linear, std::int32_t passes) {
  Product* product = &vocabulary_;
  if (stage != StepStage::kVocabulary) {
    const auto found = std::find_if(products_.begin(), products_.end(),
                                    [stage](const Product& p) { return p.stage == stage; });
    product = found != products_.end() ? &*found : &products_.emplace_back();
  }
  product->stage = stage;
  product->weight_bytes += static_cast<double>(linear.memory_bytes());
  const double operations = 2.0 * passes * linear.in_features() * linear.out_features();
  if (linear.activation_forms() == ActivationForms::kFp32) {
    product->row.fp32_operations += operations;
  } else {
    product->row.int8_operations += operations;
  }
}

void StepWork::count_pass(const LayerPass& pass, StepProfile& profile) const {
  const StepInput& step = pass.input;
  const double fraction = static_cast<double>(pass.last_layer - pass.first_layer) / num_layers_;
  const double tokens = static_cast<double>(step.tokens.size()) * fraction;
  profile.add_work(StepStage::kNorm, {.fp32_operations = tokens * norm_operations_});
  for (const Product& product : products_) {
    profile.add_work(product.stage, {.bytes = product.weight_bytes * fraction,
                                     .int8_operations = tokens * product.row.int8_operations,
                                     .fp32_operations = tokens * product.row.fp32_operations});
  }
  StageWork attention;
  double written = 0.0;
  for (const Attention& group : attentions_) {
    const std::int64_t window = group.window_tokens > 0 ? group.window_tokens : INT64_MAX;
    for (const BatchSequence& sequence : step.sequences) {
      const std::int64_t first = sequence.first_position;
      const std::int64_t end = first + sequence.num_tokens;
      const std::int64_t first_key = std::max<std::int64_t>(0, first + 1 - std::min(window, first + 1));
      // A token at p sees min(p + 1, window) positions: first growing by one, then all the same.
      const std::int64_t growing = std::clamp<std::int64_t>(window - first, 0, sequence.num_tokens);
      const double pairs =
          static_cast<double>(growing) * static_cast<double>(2 * first + growing + 1) / 2.0 +
          static_cast<double>(sequence.num_tokens - growing) * static_cast<double>(group.window_tokens);
      attention.bytes += fraction * group.key_bytes * static_cast<double>(end - first_key);
      attention.fp32_operations += fraction * group.pair_operations * pairs;
    }
    written += group.key_bytes * tokens;
  }
  profile.add_work(StepStage::kAttention, attention);
  profile.add_work(StepStage::kQkv, {.bytes = written});
}

void StepWork::count_logits(std::size_t num_rows, bool stored, StepProfile& profile) const {
  const auto rows = static_cast<double>(num_rows);
  const double written = stored ? rows * vocab_size_ * sizeof(float) : 0.0;
  profile.add_work(StepStage::kVocabulary, {.bytes = vocabulary_.weight_bytes + written,
                                            .int8_operations = rows * vocabulary_.row.int8_operations,
                                            .fp32_operations = rows * vocabulary_.row.fp32_operations});
}

}  // namespace mlxd
