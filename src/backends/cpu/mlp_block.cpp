#include "backends/cpu/mlp_block.h"

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

void MlpBlock::run_up(StepWorkspace& workspace, const Activations& input, std::int32_t thread) {
  const std::int64_t units = num_units(up_proj_);
  const std::int32_t rows = workspace.rows();
  StepWorkspace::ThreadScratch& scratch = workspace.scratch(thread);
  const auto run = [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    const ProductPiece piece = ProductPiece::of_units(up_proj_, begin, end);
    workspace.apply_piece(up_proj_, input, rows, piece, scratch.second);
    if (spec_->gate_proj) workspace.apply_piece(gate_proj_, input, rows, piece, scratch.first);
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
      float* values = scratch.first.data() + row * piece.stride;
      const float* up = scratch.second.data() + row * piece.stride;
      workspace.kernels().gate(spec_->activation, spec_->gate_proj ? values : up,
                               spec_->gate_proj ? up : nullptr, values, piece.columns);
    }
    workspace.mlp_activations().activations.fill(
        column_zero(scratch.first.data(), piece.first_column), static_cast<std::ptrdiff_t>(piece.stride),
        static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end));
  };
  workspace.pool().share(thread, units, workspace.piece_units(units, kPiecesPerThread, rows), run);
  workspace.end_stage(thread, StepStage::kGateUp);
}

}  // namespace mlxd
