// A recurrent layer (RecurrentSpec) of the fast executor, in place of attention or beside it. Stages are
// functions that every thread calls, with a barrier between each and the next:
//   project   inputs, gates and rates of normed x
//   convolve  the convolution, row by row; norms of keys and queries; decays
//   advance   states: a unit is some value columns of one head of one sequence, over all its tokens in order,
//             so that these columns of the state stay in the nearest cache; states go to the pages
//   finish    norm and gate, row by row
//   add_output
// The state advances token by token: a token's result depends neither on how a prompt is cut into steps nor
// on its companions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "backends/cpu/cpu_adapter.h"
#include "backends/cpu/dense_weights.h"
#include "backends/cpu/executor.h"
#include "backends/cpu/kv_pages.h"
#include "backends/cpu/linear.h"
#include "backends/cpu/linear_loader.h"
#include "backends/cpu/recurrent_weights.h"
#include "backends/cpu/step_work.h"
#include "backends/cpu/step_workspace.h"
#include "base/result.h"
#include "model/model_spec.h"

namespace mlxd {

/// What the recurrent layers share within a step.
class RecurrentWorkspace {
 public:
  RecurrentWorkspace(const ModelSpec& spec, std::int32_t num_threads, const StepWorkspace::Options& options);
  std::size_t memory_bytes() const;

 private:
  friend class RecurrentBlock;

  std::vector<float> projected_;            // [max_rows, inputs, input gates, gates]
  std::vector<float> convolved_;            // [max_rows, channels]
  std::vector<float> decays_;               // [max_rows, heads]; a row's decay projection, then its decay
  std::vector<float> factors_;              // [max_rows, heads]; β or Δ
  std::vector<float> outputs_;              // [max_rows, inner]
  std::vector<float> zeros_;                // [channels]: inputs before the first position
  std::vector<std::vector<float>> states_;  // by thread: [key_dim, value columns of a unit]
};

class RecurrentBlock {
 public:
  /// `spec`, a recurrent layer, must outlive the block. Errors: kCorruptData; kUnsupported for sizes the
  /// kernels lack.
  static Result<RecurrentBlock> create(const LayerSpec& spec, const WeightMap& weights);

  /// Tells an adapter's builder of the products.
  Result<void> list_products(CpuAdapterBuilder& builder) const;
  /// Orders the weights; the block must stay where it is until they are loaded.
  Result<void> order(LinearLoader& loader);
  /// Once they are: tells the workspace what the products read.
  void register_products(StepWorkspace& workspace) const;
  /// Once they are: adds what every step does to a profile's work.
  void count_work(const StepWorkspace& workspace, StepWork& work) const;
  std::size_t weight_bytes() const;

  void project(StepWorkspace& workspace, RecurrentWorkspace& shared, std::int32_t thread);
  /// One thread, between two barriers before add_output().
  void begin_output(StepWorkspace& workspace) const {
    workspace.attention_activations().reset(workspace.rows(), spec_->inner());
  }
  void convolve(const StepInput& step, const KvPages& pages, StepWorkspace& workspace,
                RecurrentWorkspace& shared, std::int32_t thread) const;
  void advance(const StepInput& step, const KvPages& pages, StepWorkspace& workspace,
               RecurrentWorkspace& shared, std::int32_t thread) const;
  /// Whether there is anything to finish.
  bool has_finish() const { return spec_->has_heads(); }
  void finish(StepWorkspace& workspace, RecurrentWorkspace& shared, std::int32_t thread) const;
  /// x += the output.
  void add_output(StepWorkspace& workspace, RecurrentWorkspace& shared, std::int32_t thread);

 private:
  RecurrentBlock(const LayerSpec& layer, RecurrentWeights weights)
      : layer_(&layer), spec_(&*layer.recurrent), weights_(std::move(weights)) {}

  std::vector<LinearSpec> in_parts() const;
  void project_rates(const Linear& linear, const std::vector<float>& bias, const Activations& input,
                     float* out, StepWorkspace& workspace, std::int32_t thread) const;
  std::int32_t width() const { return in_proj_.out_features(); }  // of a projected row
  std::int32_t num_pieces() const;
  struct Piece {
    std::int32_t first = 0;  // channel
    std::int32_t size = 0;
    bool is_key = false, is_query = false;
  };
  Piece piece_at(std::int32_t index) const;
  void convolve_piece(const StepInput& step, const KvPages& pages, const StepWorkspace& workspace,
                      RecurrentWorkspace& shared, std::int32_t token, const Piece& piece) const;
  void make_rates(RecurrentWorkspace& shared, std::int32_t token) const;
  void store_inputs(const StepInput& step, const KvPages& pages, RecurrentWorkspace& shared,
                    const BatchSequence& sequence) const;
  void advance_head(const StepInput& step, const KvPages& pages, const StepWorkspace& workspace,
                    RecurrentWorkspace& shared, const BatchSequence& sequence, std::int32_t head,
                    std::int32_t first_column, std::int32_t columns, std::int32_t thread) const;
  void finish_row(const StepWorkspace& workspace, RecurrentWorkspace& shared, std::int32_t row) const;
  /// The state that a sequence goes on from, or null.
  const float* state_before(const StepInput& step, const KvPages& pages, const BatchSequence& sequence) const;
  /// Where the state after the page of `position` goes, or null.
  float* state_of(const StepInput& step, const KvPages& pages, const BatchSequence& sequence,
                  std::int32_t position) const;

  const LayerSpec* layer_;
  const RecurrentSpec* spec_;
  RecurrentWeights weights_;
  std::optional<DenseNorm> norm_, post_norm_;  // before and behind the layer
  Linear in_proj_;                             // inputs, input gates if any, gates
  std::vector<float> in_bias_;
  Linear decay_proj_, beta_proj_;  // empty if there are none
  std::vector<float> decay_bias_, beta_bias_;
  Linear out_proj_;
};

}  // namespace mlxd
