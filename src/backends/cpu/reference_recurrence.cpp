#include "backends/cpu/reference_recurrence.h"

#include <algorithm>
#include <cmath>

namespace mlxd {
namespace {

constexpr float kKeyEps = 1e-6F;

float silu(float x) { return x / (1.0F + std::exp(-x)); }

/// x [n] *= factor / sqrt(mean(x²) + eps)
void normalize(float* x, std::size_t n, float eps, float factor) {
  float sum = 0.0F;
  for (std::size_t i = 0; i < n; ++i) sum += x[i] * x[i];
  const float scale = factor / std::sqrt(sum / static_cast<float>(n) + eps);
  for (std::size_t i = 0; i < n; ++i) x[i] *= scale;
}

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

}  // namespace

void ReferenceRecurrence::reserve(const ModelSpec& spec, std::size_t rows) {
  std::size_t channels = 0;
  std::size_t inner = 0;
  std::size_t heads = 0;
  std::size_t state = 0;
  for (const LayerSpec& layer : spec.layers) {
    if (!layer.recurrent) continue;
    channels = std::max(channels, size(layer.recurrent->conv.channels));
    inner = std::max(inner, size(layer.recurrent->inner()));
    heads = std::max(heads, size(layer.recurrent->num_heads));
    state = std::max(state, size(layer.recurrent->state_floats()));
  }
  inputs.resize(rows * channels);
  for (std::vector<float>* buffer : {&gates, &outputs}) buffer->resize(rows * inner);
  for (std::vector<float>* buffer : {&decays, &betas}) buffer->resize(rows * heads);
  scratch.resize(rows * std::max({channels, inner, heads}));
  state_.resize(state);
  mixed_.resize(channels);
}

std::size_t ReferenceRecurrence::memory_bytes() const {
  std::size_t floats = 0;
  for (const std::vector<float>* buffer :
       {&inputs, &gates, &decays, &betas, &outputs, &scratch, &state_, &mixed_})
    floats += buffer->size();
  return floats * sizeof(float);
}

void ReferenceRecurrence::begin(const RecurrentSpec& spec, std::size_t /*rows*/) { spec_ = &spec; }

void ReferenceRecurrence::run(const StepInput& step, const BatchSequence& sequence, const KvPages& pages,
                              const RecurrentWeights& weights) {
  const auto& table = sequence.page_tables[size(spec_->layer_group)];
  const auto state_of = [&](std::int32_t position) -> float* {
    const PageId page = step.batch->page_ids[size(table.begin + position / kPageTokens)];
    return page == kNoPage ? nullptr : pages.state(page, spec_->index_in_group);
  };
  const std::size_t count = size(spec_->state_floats());
  if (sequence.first_position == 0) {
    std::fill_n(state_.begin(), count, 0.0F);
  } else {
    std::copy_n(state_of(sequence.first_position - 1), count, state_.begin());
  }
  for (std::int32_t t = 0; t < sequence.num_tokens; ++t) {
    run_token(size(sequence.first_token + t), weights);
    const std::int32_t position = sequence.first_position + t;
    const bool ends = t + 1 == sequence.num_tokens || position % kPageTokens == kPageTokens - 1;
    if (float* to = ends ? state_of(position) : nullptr) std::copy_n(state_.begin(), count, to);
  }
}

void ReferenceRecurrence::run_token(std::size_t row, const RecurrentWeights& weights) {
  const std::size_t channels = size(spec_->conv.channels);
  const std::size_t kernel = size(spec_->conv.kernel);
  const std::size_t inner = size(spec_->inner());
  const float* input = &inputs[row * channels];
  for (std::size_t c = 0; c < channels; ++c) {
    float sum = weights.conv_bias.empty() ? 0.0F : weights.conv_bias[c];
    for (std::size_t j = 0; j < kernel; ++j) {
      const float value = j + 1 < kernel ? state_[j * channels + c] : input[c];
      sum += value * weights.conv[j * channels + c];
    }
    mixed_[c] = spec_->conv.activated ? silu(sum) : sum;
  }
  if (kernel > 1) {
    std::copy(&state_[0] + channels, &state_[0] + (kernel - 1) * channels, state_.begin());
    std::copy_n(input, channels, &state_[(kernel - 2) * channels]);
  }
  float* out = &outputs[row * inner];
  const float* gate = &gates[row * inner];
  if (!spec_->has_heads()) {
    for (std::size_t i = 0; i < inner; ++i) out[i] = gate[i] * mixed_[i];
    return;
  }
  if (spec_->kind == RecurrentKind::kGatedDelta) {
    const std::size_t dim = size(spec_->key_dim);
    const auto n = static_cast<float>(dim);
    for (std::size_t i = 0; i < 2 * size(spec_->num_key_heads); ++i) {
      const bool is_query = i < size(spec_->num_key_heads);
      normalize(&mixed_[i * dim], dim, kKeyEps / n, is_query ? 1.0F / n : 1.0F / std::sqrt(n));
    }
  }
  for (std::size_t head = 0; head < size(spec_->num_heads); ++head) run_head(row, head, weights);
  if (!spec_->norm_after_gate) normalize_outputs(out, weights);
  for (std::size_t i = 0; i < inner; ++i) out[i] *= silu(gate[i]);
  if (spec_->norm_after_gate) normalize_outputs(out, weights);
}

void ReferenceRecurrence::normalize_outputs(float* out, const RecurrentWeights& weights) const {
  if (!weights.norm) return;
  const std::size_t width = size(spec_->norm_size);
  const bool alike = weights.norm->weight.size() == width;
  for (std::size_t i = 0; i < size(spec_->inner()); i += width) {
    normalize(out + i, width, weights.norm->eps, 1.0F);
    for (std::size_t j = 0; j < width; ++j) out[i + j] *= weights.norm->weight[alike ? j : i + j];
  }
}

void ReferenceRecurrence::run_head(std::size_t row, std::size_t head, const RecurrentWeights& weights) {
  const std::size_t key_dim = size(spec_->key_dim);
  const std::size_t value_dim = size(spec_->value_dim);
  const std::size_t keys = size(spec_->num_key_heads) * key_dim;
  const std::size_t key_head = head / size(spec_->num_heads / spec_->num_key_heads);
  const bool is_delta = spec_->kind == RecurrentKind::kGatedDelta;
  const float* query = &mixed_[(is_delta ? 0 : size(spec_->inner()) + keys) + key_head * key_dim];
  const float* key = &mixed_[(is_delta ? keys : size(spec_->inner())) + key_head * key_dim];
  const float* value = &mixed_[(is_delta ? 2 * keys : 0) + head * value_dim];
  const std::size_t index = row * size(spec_->num_heads) + head;
  const RecurrentWeights::Rates rates =
      weights.rates(*spec_, static_cast<std::int32_t>(head), decays[index], is_delta ? betas[index] : 0.0F);
  float* state = &state_[size(spec_->conv_state_floats()) + head * key_dim * value_dim];
  float* out = &outputs[row * size(spec_->inner()) + head * value_dim];
  for (std::size_t v = 0; v < value_dim; ++v) {
    float known = 0.0F;
    for (std::size_t k = 0; k < key_dim; ++k) {
      state[k * value_dim + v] *= rates.decay;
      known += state[k * value_dim + v] * key[k];
    }
    const float change = (value[v] - (is_delta ? known : 0.0F)) * rates.factor;
    float sum = 0.0F;
    for (std::size_t k = 0; k < key_dim; ++k) {
      state[k * value_dim + v] += key[k] * change;
      sum += state[k * value_dim + v] * query[k];
    }
    out[v] = sum + (weights.skip.empty() ? 0.0F : weights.skip[head] * value[v]);
  }
}

}  // namespace mlxd
