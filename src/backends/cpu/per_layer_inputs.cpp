#include "backends/cpu/per_layer_inputs.h"

namespace mlxd {

PerLayerInputs::PerLayerInputs(const ModelSpec& spec, const StepWorkspace::Options& options)
    : spec_(&spec),
      embedding_spec_(&*spec.per_layer_embedding),
      width_(embedding_spec_->embedding.in_features),
      layers_(spec.layers.size()),
      gate_activations_(options.max_rows, embedding_spec_->dim, options.isa, options.activation_bits) {
  const auto rows = static_cast<std::size_t>(options.max_rows);
  inputs_.resize(rows * static_cast<std::size_t>(width_));
  projected_.resize(inputs_.size());
  gates_.resize(rows * static_cast<std::size_t>(embedding_spec_->dim));
}

Result<std::unique_ptr<PerLayerInputs>> PerLayerInputs::create(const ModelSpec& spec,
                                                               const WeightMap& weights,
                                                               const StepWorkspace::Options& options) {
  std::unique_ptr<PerLayerInputs> inputs(new PerLayerInputs(spec, options));
  inputs->projection_norm_ = TRY(read_norm(spec.per_layer_embedding->projection_norm, weights));
  for (std::size_t i = 0; i < spec.layers.size(); ++i)
    inputs->layers_[i].post_norm = TRY(read_norm(spec.layers[i].per_layer_input->post_norm, weights));
  return inputs;
}

void PerLayerInputs::order(LinearLoader& loader) {
  loader.add({embedding_spec_->embedding}, &embedding_);
  loader.add({embedding_spec_->projection}, &projection_);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const PerLayerInputSpec& spec = *spec_->layers[i].per_layer_input;
    loader.add({spec.gate}, &layers_[i].gate);
    loader.add({spec.projection}, &layers_[i].projection);
  }
}

void PerLayerInputs::register_products(StepWorkspace& workspace) {
  workspace.hidden_activations().serve(projection_);
  for (const Layer& layer : layers_) {
    workspace.hidden_activations().serve(layer.gate);
    gate_activations_.serve(layer.projection);
  }
}

void PerLayerInputs::count_work(const StepWorkspace& workspace, StepWork& work) const {
  work.add_product(StepStage::kPrepare, projection_, workspace.passes(projection_));
  for (const Layer& layer : layers_) {
    work.add_product(StepStage::kGateUp, layer.gate, workspace.passes(layer.gate));
    work.add_product(StepStage::kDown, layer.projection, workspace.passes(layer.projection));
  }
}

Result<void> PerLayerInputs::list_products(CpuAdapterBuilder& builder) const {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const PerLayerInputSpec& spec = *spec_->layers[i].per_layer_input;
    TRY(list_product(builder, layers_[i].gate, {&spec.gate, 1}));
    TRY(list_product(builder, layers_[i].projection, {&spec.projection, 1}));
  }
  return {};
}

std::size_t PerLayerInputs::weight_bytes() const {
  std::size_t bytes = embedding_.memory_bytes() + projection_.memory_bytes();
  for (const Layer& layer : layers_) {
    bytes += layer.gate.memory_bytes() + layer.projection.memory_bytes() +
             layer.post_norm.weight.size() * sizeof(float);
  }
  return bytes;
}

std::size_t PerLayerInputs::memory_bytes() const {
  return (inputs_.size() + projected_.size() + gates_.size()) * sizeof(float) +
         gate_activations_.activations.memory_bytes();
}

void PerLayerInputs::prepare_token(const StepWorkspace& workspace, TokenId token, std::int32_t row) {
  float* inputs = inputs_.data() + std::ptrdiff_t{row} * width_;
  embedding_.dequantize_row(token, inputs);
  workspace.kernels().scale(inputs, embedding_spec_->embedding_scale, inputs, width_);
}

void PerLayerInputs::project(StepWorkspace& workspace, std::int32_t thread) {
  const VectorKernels& kernels = workspace.kernels();
  const Activations& x = workspace.quantize_normed(nullptr, false, thread);
  workspace.multiply(projection_, {}, x, projected_.data(), width_, thread);
  workspace.barrier_after(thread, StepStage::kPrepare);
  const std::int32_t dim = embedding_spec_->dim;
  const auto combine = [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    for (std::int64_t row = begin; row < end; ++row) {
      float* projected = projected_.data() + row * width_;
      float* inputs = inputs_.data() + row * width_;
      kernels.scale(projected, embedding_spec_->projection_scale, projected, width_);
      for (std::int32_t first = 0; first < width_; first += dim)
        workspace.normalize_vector(projection_norm_, projected + first, 0, dim, projected + first);
      kernels.add_to(projected, inputs, width_);
      kernels.scale(inputs, embedding_spec_->scale, inputs, width_);
    }
  };
  workspace.pool().share(thread, workspace.rows(), 1, combine);
  workspace.end_stage(thread, StepStage::kPrepare);
}

void PerLayerInputs::add_to(StepWorkspace& workspace, std::size_t index, std::int32_t thread) {
  const PerLayerInputSpec& spec = *spec_->layers[index].per_layer_input;
  const Layer& layer = layers_[index];
  const std::int32_t dim = embedding_spec_->dim;
  const std::int32_t rows = workspace.rows();
  const Activations& x = workspace.quantize_normed(nullptr, false, thread);
  workspace.begin_adapters_of_norm({&layer.gate}, nullptr, StepStage::kGateUp, thread);
  const std::int64_t units = num_units(layer.gate);
  const auto gate = [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    std::vector<float>& out = workspace.scratch(thread).first;
    const ProductPiece piece = ProductPiece::of_units(layer.gate, begin, end);
    workspace.apply_adapted(layer.gate, 0, x, piece, out);
    for (std::int32_t row = 0; row < rows; ++row) {
      const std::ptrdiff_t first = std::ptrdiff_t{row} * width_ + static_cast<std::ptrdiff_t>(index) * dim;
      workspace.kernels().gate(spec.activation, out.data() + static_cast<std::size_t>(row) * piece.stride,
                               inputs_.data() + first + piece.first_column,
                               gates_.data() + std::ptrdiff_t{row} * dim + piece.first_column, piece.columns);
    }
  };
  workspace.pool().share(thread, units, workspace.piece_units(units, kPiecesPerThread, rows), gate);
  if (thread == 0) gate_activations_.reset(rows, dim);
  workspace.barrier_after(thread, StepStage::kGateUp);
  const Activations& gates = workspace.quantize(gates_.data(), dim, gate_activations_, thread);
  workspace.begin_adapters_of({&layer.projection}, gates_.data(), dim, StepStage::kDown, thread);
  workspace.add_product(layer.projection, gates, &layer.post_norm, 1.0F, StepStage::kDown, thread);
}

}  // namespace mlxd
