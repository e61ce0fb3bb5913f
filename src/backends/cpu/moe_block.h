// The mixture of experts of one layer of the fast executor. Tokens are sorted by the experts they chose, so
// that a step reads each needed expert's weights once, for all its tokens together. A token's result does not
// depend on who shares its experts: products are row by row, and its experts' outputs are added in the order
// of their indices. The router is computed in fp32: an expert chosen wrongly costs more than any rounding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "backends/cpu/cpu_adapter.h"
#include "backends/cpu/dense_weights.h"
#include "backends/cpu/expert_routing.h"
#include "backends/cpu/linear.h"
#include "backends/cpu/linear_loader.h"
#include "backends/cpu/mlp_block.h"
#include "backends/cpu/step_workspace.h"
#include "base/result.h"
#include "model/model_spec.h"

namespace mlxd {

/// What the mixtures of all layers share within a step.
class MoeWorkspace {
 public:
  /// Fixed memory for steps of up to `max_rows` rows.
  MoeWorkspace(const ModelSpec& spec, std::int32_t num_threads, const StepWorkspace::Options& options);
  std::size_t memory_bytes() const;

 private:
  friend class MoeBlock;

  /// Some outputs of one expert.
  struct Item {
    std::int32_t expert = 0;
    std::int32_t first_unit = 0;
    std::int32_t last_unit = 0;  // not included
  };
  struct ThreadScratch {
    ThreadScratch(std::int32_t max_features, std::size_t max_experts, const StepWorkspace::Options& options);
    Activations activations;           // of some tokens of an expert
    std::vector<float> gathered;       // the rows behind them
    std::vector<float> first, second;  // outputs of a piece of a product
    RoutingScratch routing;
  };

  std::vector<float> input_;          // [max_rows, hidden]: normed; at last what the experts give
  std::vector<float> shared_input_;   // [max_rows, hidden] if a shared expert has a norm of its own
  std::vector<float> logits_;         // [max_rows, experts]
  std::vector<float> shared_gates_;   // [max_rows]
  std::vector<ChosenExpert> chosen_;  // [max_rows, experts per token]
  // A slot for each token and choice, sorted by expert and then token.
  std::vector<std::int32_t> first_slots_;  // [experts + 1]
  std::vector<std::int32_t> next_slots_;   // [experts]
  std::vector<std::int32_t> slot_pairs_;   // of slot: token · experts per token + choice
  std::vector<std::int32_t> pair_slots_;   // the other way round
  std::vector<float> inner_;               // [slots, expert's intermediate]
  std::vector<float> outputs_;             // [slots, hidden]
  std::vector<Item> up_items_, down_items_;
  std::vector<std::unique_ptr<ThreadScratch>> threads_;
};

class MoeBlock {
 public:
  /// `spec` must outlive the block. Errors: kCorruptData.
  static Result<MoeBlock> create(const MoeSpec& spec, const WeightMap& weights);

  /// Orders the weights; the block must stay where it is until they are loaded.
  Result<void> order(LinearLoader& loader);
  /// Once they are: tells the workspace what the products read.
  void register_products(StepWorkspace& workspace) const;
  /// Once they are: adds what every step does to a profile's work: the shared expert's, for which others are
  /// read depends on the tokens.
  void count_work(const StepWorkspace& workspace, StepWork& work) const;
  /// Tells an adapter's builder of the products.
  Result<void> list_products(CpuAdapterBuilder& builder) const;
  std::size_t weight_bytes() const;

  /// Every thread: x += scale · post(mixture(norm(x))); norms may be null. Passes barriers, none at the end.
  void run(StepWorkspace& workspace, MoeWorkspace& shared, const DenseNorm* norm, const DenseNorm* post,
           float scale, std::int32_t thread);

 private:
  explicit MoeBlock(const MoeSpec& spec) : spec_(&spec) {}
  std::int32_t num_experts() const { return static_cast<std::int32_t>(spec_->experts.size()); }
  std::int32_t per_token() const { return spec_->router.experts_per_token; }

  bool reads_residual() const { return !spec_->router.input_scales.empty(); }
  const std::vector<float>& shared_input(const MoeWorkspace& shared) const {
    return shared_norm_ ? shared.shared_input_ : shared.input_;
  }
  void normalize_inputs(StepWorkspace& workspace, MoeWorkspace& shared, const DenseNorm* norm,
                        std::int32_t thread) const;
  struct ExpertParts {
    std::vector<LinearSpec> gates, ups, downs;
  };
  ExpertParts expert_parts() const;
  void route(StepWorkspace& workspace, MoeWorkspace& shared, std::int32_t thread) const;
  void plan(const StepWorkspace& workspace, MoeWorkspace& shared) const;
  void cut(const StepWorkspace& workspace, const MoeWorkspace& shared, const Linear& linear,
           std::vector<MoeWorkspace::Item>& items) const;
  void run_up(StepWorkspace& workspace, MoeWorkspace& shared, const MoeWorkspace::Item& item,
              std::int32_t thread) const;
  void adapt_slots(const StepWorkspace& workspace, const MoeWorkspace& shared, const MoeWorkspace::Item& item,
                   const Linear& linear, std::int32_t first_slot, std::int32_t rows, const float* inputs,
                   const ProductPiece& piece, std::vector<float>& out) const;
  void run_down(StepWorkspace& workspace, MoeWorkspace& shared, const MoeWorkspace::Item& item,
                std::int32_t thread) const;
  void combine_row(StepWorkspace& workspace, MoeWorkspace& shared, const DenseNorm* post, float scale,
                   std::int32_t row) const;
  ProductPiece piece_of(const Linear& linear, const MoeWorkspace::Item& item) const;

  const MoeSpec* spec_;
  RouterWeights router_;
  std::vector<float> shared_gate_;  // [hidden], or empty
  std::optional<DenseNorm> shared_norm_, shared_post_norm_, experts_post_norm_;
  Linear gate_proj_, up_proj_, down_proj_;  // of all experts, stacked
  std::optional<MlpBlock> shared_;
};

}  // namespace mlxd
