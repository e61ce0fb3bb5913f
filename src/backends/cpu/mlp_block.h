// The gated or plain MLP of one layer of the fast executor, or the shared expert of a mixture. Stages are
// functions that every thread calls, with a barrier between each and the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "backends/cpu/cpu_adapter.h"
#include "backends/cpu/linear.h"
#include "backends/cpu/linear_loader.h"
#include "backends/cpu/step_work.h"
#include "backends/cpu/step_workspace.h"
#include "base/result.h"
#include "model/model_spec.h"

namespace mlxd {

class MlpBlock {
 public:
  /// `spec` must outlive the block.
  explicit MlpBlock(const MlpSpec& spec) : spec_(&spec) {}

  /// Orders the weights; the block must stay where it is until they are loaded.
  Result<void> order(LinearLoader& loader);
  /// Once they are: tells the workspace what the products read.
  void register_products(StepWorkspace& workspace) const;
  /// Once they are: adds what every step does to a profile's work.
  void count_work(const StepWorkspace& workspace, StepWork& work) const;
  std::size_t weight_bytes() const;

  /// Tells an adapter's builder of the products.
  Result<void> list_products(CpuAdapterBuilder& builder) const;

  std::int32_t intermediate() const { return spec_->up_proj.out_features; }
  /// The workspace's mlp_activations, reset at least a barrier ago, become activation(gate) · up.
  /// fetch(row, to) writes a row of the input in fp32, for adapters.
  template <typename Fetch>
  void run_up(StepWorkspace& workspace, const Activations& input, std::int32_t thread, const Fetch& fetch) {
    workspace.begin_adapters({&up_proj_, &gate_proj_}, StepStage::kGateUp, thread, fetch);
    run_up(workspace, input, thread);
  }
  /// Every thread, a barrier later: what adapters of down_proj need. May pass another.
  void begin_down(StepWorkspace& workspace, std::int32_t thread) const;
  const Linear& down_proj() const { return down_proj_; }

 private:
  void run_up(StepWorkspace& workspace, const Activations& input, std::int32_t thread);

  const MlpSpec* spec_;
  Linear gate_proj_;  // empty if there is none
  Linear up_proj_, down_proj_;
};

}  // namespace mlxd
