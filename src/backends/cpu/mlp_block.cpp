#include "backends/cpu/mlp_block.h"

#include <algorithm>

namespace mlxd {

Result<void> MlpBlock::order(LinearLoader& loader) {
  loader.add({spec_->down_proj}, &down_proj_);
  if (spec_->gate_proj) loader.add({*spec_->gate_proj}, &gate_proj_);
  loader.add({spec_->up_proj}, &up_proj_);
  return {};
}

void MlpBlock::register_products(StepWorkspace& workspace) const {
  if (spec_->gate_proj) workspace.hidden_activations().serve(gate_proj_);
  workspace.hidden_activations().serve(up_proj_);
  workspace.mlp_activations().serve(down_proj_);
}

void MlpBlock::count_work(const StepWorkspace& workspace, StepWork& work) const {
  if (spec_->gate_proj) work.add_product(StepStage::kGateUp, gate_proj_, workspace.passes(gate_proj_));
  work.add_product(StepStage::kGateUp, up_proj_, workspace.passes(up_proj_));
  work.add_product(StepStage::kDown, down_proj_, workspace.passes(down_proj_));
}

std::size_t MlpBlock::weight_bytes() const {
  return (spec_->gate_proj ? gate_proj_.memory_bytes() : 0) + up_proj_.memory_bytes() +
         down_proj_.memory_bytes();
}

Result<void> MlpBlock::list_products(CpuAdapterBuilder& builder) const {
  if (spec_->gate_proj) TRY(list_product(builder, gate_proj_, {&*spec_->gate_proj, 1}));
  TRY(list_product(builder, up_proj_, {&spec_->up_proj, 1}));
  return list_product(builder, down_proj_, {&spec_->down_proj, 1});
}

void MlpBlock::begin_down(StepWorkspace& workspace, std::int32_t thread) const {
  const StepAdapters& adapters = workspace.adapters();
  workspace.begin_adapters({&down_proj_}, StepStage::kDown, thread, [&](std::int32_t row, float* to) {
    std::copy_n(adapters.inner(row), intermediate(), to);
  });
}

void MlpBlock::run_up(StepWorkspace& workspace, const Activations& input, std::int32_t thread) {
  const std::int64_t units = num_units(up_proj_);
  const std::int32_t rows = workspace.rows();
  StepWorkspace::ThreadScratch& scratch = workspace.scratch(thread);
  StepAdapters& adapters = workspace.adapters();
  const bool keeps = adapters.any() && adapters.adapts(&down_proj_);
  const auto run = [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    const ProductPiece piece = ProductPiece::of_units(up_proj_, begin, end);
    workspace.apply_adapted(up_proj_, 0, input, piece, scratch.second);
    if (spec_->gate_proj) workspace.apply_adapted(gate_proj_, 1, input, piece, scratch.first);
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
      float* values = scratch.first.data() + row * piece.stride;
      const float* up = scratch.second.data() + row * piece.stride;
      workspace.kernels().gate(spec_->activation, spec_->gate_proj ? values : up,
                               spec_->gate_proj ? up : nullptr, values, piece.columns);
    }
    if (keeps) {
      for (const std::int32_t row : adapters.rows()) {
        std::copy_n(scratch.first.data() + static_cast<std::size_t>(row) * piece.stride, piece.columns,
                    adapters.inner(row) + piece.first_column);
      }
    }
    workspace.mlp_activations().activations.fill(
        column_zero(scratch.first.data(), piece.first_column), static_cast<std::ptrdiff_t>(piece.stride),
        static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end));
  };
  workspace.pool().share(thread, units, workspace.piece_units(units, kPiecesPerThread, rows), run);
  workspace.end_stage(thread, StepStage::kGateUp);
}

}  // namespace mlxd
