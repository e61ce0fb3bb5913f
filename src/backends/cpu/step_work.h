// What the stages of a step cannot do without, for a profile's fractions: bytes of weights and K/V, each read
// once, and the arithmetic of the products as the fast executor does it. Activations, which stay in the
// caches, and what threads do twice to save a wait are not counted. Plain values; thread-compatible.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backends/cpu/executor.h"
#include "backends/cpu/linear.h"
#include "engine/step_profile.h"
#include "model/model_spec.h"

namespace mlxd {

class StepWork {
 public:
  StepWork() = default;
  /// `pages` by layer group, for their K/V sizes.
  StepWork(const ModelSpec& spec, std::span<KvPages> pages);

  /// A product that every step does; `passes`: how often each row goes through it.
  void add_product(StepStage stage, const Linear& linear, std::int32_t passes);

  /// The work of some layers of a forward, each taken for an average one.
  void count_pass(const LayerPass& pass, StepProfile& profile) const;
  /// The work of the vocabulary's product for some rows; `stored`: their logits are written to memory.
  void count_logits(std::size_t num_rows, bool stored, StepProfile& profile) const;

 private:
  struct Product {
    StepStage stage{};
    StageWork row;  // operations of one token
    double weight_bytes = 0.0;
  };
  /// Over the layers of a group.
  struct Attention {
    std::int32_t window_tokens = 0;
    double key_bytes = 0.0;        // K/V of one position
    double pair_operations = 0.0;  // of a query token with one position
  };

  std::vector<Product> products_;  // one for each stage
  Product vocabulary_;
  std::vector<Attention> attentions_;  // by layer group
  double norm_operations_ = 0.0;       // of one token
  double num_layers_ = 0.0;
  double vocab_size_ = 0.0;
};

}  // namespace mlxd
