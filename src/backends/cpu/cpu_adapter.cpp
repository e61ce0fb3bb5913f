#include "backends/cpu/cpu_adapter.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/check.h"

namespace mlxd {
namespace {

double length_of(std::span<const float> row) {
  double sum = 0.0;
  for (const float value : row) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

}  // namespace

CpuAdapterBuilder::CpuAdapterBuilder(const Adapter& adapter, const void* executor,
                                     const VectorKernels& kernels)
    : adapter_(adapter), kernels_(kernels), made_(std::make_shared<CpuAdapter>()) {
  made_->executor_ = executor;
}

Result<void> CpuAdapterBuilder::add(const Product& product) {
  LowRankProduct made;
  std::int32_t first_output = 0;
  for (const LinearSpec& spec : product.parts) {
    TRY(add_part(product, spec, first_output, made));
    first_output += spec.out_features;
  }
  if (made.parts.empty()) return {};
  if (!made.of_experts) made_->most_ranks_ = std::max(made_->most_ranks_, made.num_ranks);
  made_->most_features_ = std::max(made_->most_features_, made.in_features);
  std::size_t floats = made.down.size();
  for (const LowRankPart& part : made.parts) floats += part.up.size() + part.gain.size() + part.offset.size();
  made_->memory_bytes_ += floats * sizeof(float);
  made_->products_.emplace(product.address, std::move(made));
  return {};
}

Result<void> CpuAdapterBuilder::add_part(const Product& product, const LinearSpec& spec,
                                         std::int32_t first_output, LowRankProduct& out) {
  const auto found = adapter_.modules().find(spec.name);
  if (found == adapter_.modules().end()) return {};
  const AdaptedModule& module = found->second;
  used_.insert(spec.name);
  const bool of_experts = module.target.kind == AdaptedKind::kExperts;
  const auto in = static_cast<std::size_t>(module.target.in_features);
  const auto rows = static_cast<std::size_t>(module.target.out_features);
  const auto rank = static_cast<std::size_t>(module.rank);
  const auto expert = of_experts ? static_cast<std::size_t>(spec.rows.first) / rows : 0;
  const float* const down = module.down.data() + expert * rank * in;
  LowRankPart part;
  part.first_output = first_output;
  part.num_outputs = spec.out_features;
  part.rank = module.rank;
  part.first_rank = out.num_ranks;
  // Parts of one module, as of fused projections, share what goes down.
  const bool shares =
      !of_experts && !out.parts.empty() && out.num_ranks >= module.rank &&
      std::equal(down, down + rank * in, out.down.end() - static_cast<std::ptrdiff_t>(rank * in));
  if (shares) {
    part.first_rank = out.num_ranks - module.rank;
  } else {
    out.down.insert(out.down.end(), down, down + rank * in);
    out.num_ranks += module.rank;
  }
  out.in_features = module.target.in_features;
  out.of_experts = of_experts;

  std::vector<std::int64_t> stored(static_cast<std::size_t>(spec.out_features));
  for (std::size_t row = 0; row < stored.size(); ++row)
    stored[row] = spec.rows.at(static_cast<std::int64_t>(row)) - static_cast<std::int64_t>(expert * rows);
  part.up.resize(rank * stored.size());
  for (std::size_t k = 0; k < rank; ++k) {
    const float* const from = module.up.data() + (expert * rank + k) * rows;
    for (std::size_t row = 0; row < stored.size(); ++row)
      part.up[k * stored.size() + row] = from[static_cast<std::size_t>(stored[row])];
  }
  if (module.has_magnitude) TRY(normalize(product, spec.name, module, stored, down, part));
  out.parts.push_back(std::move(part));
  return {};
}

Result<void> CpuAdapterBuilder::normalize(const Product& product, const std::string& name,
                                          const AdaptedModule& module, std::span<const std::int64_t> stored,
                                          const float* down, LowRankPart& part) const {
  std::vector<float> weights(static_cast<std::size_t>(module.target.in_features));
  part.gain.resize(stored.size());
  bool has_offset = false;
  for (std::size_t row = 0; row < stored.size(); ++row) {
    const std::int32_t output = part.first_output + static_cast<std::int32_t>(row);
    product.read_row(output, weights.data());
    const double magnitude =
        module.magnitude.empty()
            ? length_of(weights)
            : static_cast<double>(module.magnitude[static_cast<std::size_t>(stored[row])]);
    for (std::int32_t k = 0; k < part.rank; ++k) {
      kernels_.add_scaled(down + std::ptrdiff_t{k} * module.target.in_features,
                          part.up[static_cast<std::size_t>(k) * stored.size() + row], weights.data(),
                          module.target.in_features);
    }
    const auto gain = static_cast<float>(magnitude / length_of(weights));
    if (!std::isfinite(gain)) {
      return corrupt_data(adapter_.folder().string() + ": row " + std::to_string(stored[row]) + " of " +
                          name + " has no length with the adapter's change, by which DoRA divides");
    }
    part.gain[row] = gain;
    has_offset = has_offset || (product.bias && product.bias(output) != 0.0F);
    for (std::size_t k = 0; k < static_cast<std::size_t>(part.rank); ++k)
      part.up[k * stored.size() + row] *= gain;
  }
  if (!has_offset) return {};
  for (std::size_t row = 0; row < stored.size(); ++row) {
    const float bias = product.bias(part.first_output + static_cast<std::int32_t>(row));
    part.offset.push_back((1.0F - part.gain[row]) * bias);
  }
  return {};
}

Result<CpuAdapterPtr> CpuAdapterBuilder::finish() {
  for (const auto& [name, module] : adapter_.modules()) {
    if (used_.contains(name)) continue;
    return unsupported(adapter_.folder().string() + ": the cpu backend cannot adapt " + name +
                       ": train the adapter without it");
  }
  return CpuAdapterPtr(std::move(made_));
}

Result<void> list_product(CpuAdapterBuilder& builder, const Linear& linear,
                          std::span<const LinearSpec> parts) {
  return builder.add(
      {.address = &linear,
       .parts = parts,
       .read_row = [&linear](std::int32_t row, float* out) { linear.dequantize_row(row, out); },
       .bias = [&linear](std::int32_t row) { return linear.bias(row); }});
}

Result<void> list_product(CpuAdapterBuilder& builder, const void* address, std::span<const float> weights,
                          std::span<const float> bias, const LinearSpec& spec) {
  CpuAdapterBuilder::Product product;
  product.address = address;
  product.parts = {&spec, 1};
  product.read_row = [&](std::int32_t row, float* out) {
    const auto in = static_cast<std::size_t>(spec.in_features);
    std::copy_n(weights.data() + static_cast<std::size_t>(row) * in, in, out);
  };
  if (!bias.empty()) product.bias = [bias](std::int32_t row) { return bias[static_cast<std::size_t>(row)]; };
  return builder.add(product);
}

void AttachedAdapters::attach(AdapterId id, CpuAdapterPtr adapter) {
  ids_.push_back(id);
  adapters_.push_back(std::move(adapter));
}

void AttachedAdapters::detach(AdapterId id) {
  const auto found = std::find(ids_.begin(), ids_.end(), id);
  if (found == ids_.end()) return;
  adapters_.erase(adapters_.begin() + (found - ids_.begin()));
  ids_.erase(found);
}

const CpuAdapter* AttachedAdapters::find(AdapterId id) const {
  if (id == kNoAdapter) return nullptr;
  const auto found = std::find(ids_.begin(), ids_.end(), id);
  CHECK(found != ids_.end());
  return adapters_[static_cast<std::size_t>(found - ids_.begin())].get();
}

std::size_t AttachedAdapters::memory_bytes() const {
  std::size_t bytes = 0;
  for (const CpuAdapterPtr& adapter : adapters_) bytes += adapter->memory_bytes();
  return bytes;
}

std::int32_t AttachedAdapters::most_ranks() const {
  std::int32_t most = 0;
  for (const CpuAdapterPtr& adapter : adapters_) most = std::max(most, adapter->most_ranks());
  return most;
}

std::int32_t AttachedAdapters::most_features() const {
  std::int32_t most = 0;
  for (const CpuAdapterPtr& adapter : adapters_) most = std::max(most, adapter->most_features());
  return most;
}

}  // namespace mlxd
