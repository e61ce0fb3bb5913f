#include "backends/cpu/linear_activations.h"

#include <algorithm>
#include <utility>

#include "backends/cpu/linear_amx.h"
#include "base/check.h"

namespace mlxd {
namespace {

constexpr std::size_t kFp32GroupBytes = kActivationGroup * sizeof(float);
constexpr std::size_t kOffsetsBytes = 3 * sizeof(std::int32_t);
constexpr std::size_t kPaddingBytes = kAmxReadBytes;  // kernels may read whole tiles at the end

void copy_floats(const Activations::Impl& impl, const float* x, std::ptrdiff_t stride,
                 std::int32_t first_group, std::int32_t last_group) {
  const std::int32_t padded = impl.num_groups * kActivationGroup;
  auto* tiles = reinterpret_cast<float*>(impl.fp32.data());
  for (std::int32_t first = 0; first < impl.rows; first += kTileRows) {
    const std::int32_t tile_rows = std::min(kTileRows, impl.rows - first);
    float* tile = tiles + static_cast<std::ptrdiff_t>(first) * padded;
    for (std::int32_t k = first_group * kActivationGroup; k < last_group * kActivationGroup; ++k) {
      for (std::int32_t row = 0; row < tile_rows; ++row) {
        tile[k * tile_rows + row] = k < impl.features ? x[(first + row) * stride + k] : 0.0F;
      }
    }
  }
}

}  // namespace

Activations::Activations(std::int32_t max_rows, std::int32_t max_features, Isa isa, std::int32_t bits)
    : impl_(std::make_unique<Impl>()) {
  CHECK(max_rows > 0 && max_features > 0 && (bits == 8 || bits == 16));
  impl_->planes = bits / 8;
  impl_->kernels = &linear_kernels(isa);
  impl_->max_rows = max_rows;
  impl_->max_groups = (max_features + kActivationGroup - 1) / kActivationGroup;
  const auto cells = static_cast<std::size_t>(max_rows) * static_cast<std::size_t>(impl_->max_groups);
  const std::size_t records = cells * static_cast<std::size_t>(impl_->planes);
  auto int8 = MemoryRegion::create(records * kRecordBytesPerRow + kPaddingBytes);
  auto offsets = MemoryRegion::create(records * kOffsetsBytes + kPaddingBytes);
  auto fp32 = MemoryRegion::create(cells * kFp32GroupBytes);
  CHECK(int8.ok() && offsets.ok() && fp32.ok());
  impl_->int8 = int8.take_value();
  impl_->offsets = offsets.take_value();
  impl_->fp32 = fp32.take_value();
}

Activations::~Activations() = default;
Activations::Activations(Activations&&) noexcept = default;
Activations& Activations::operator=(Activations&&) noexcept = default;

void Activations::reset(std::int32_t rows, std::int32_t features, ActivationForms forms) {
  const std::int32_t groups = (features + kActivationGroup - 1) / kActivationGroup;
  CHECK(rows >= 0 && rows <= impl_->max_rows && features > 0 && groups <= impl_->max_groups);
  impl_->rows = rows;
  impl_->features = features;
  impl_->num_groups = groups;
  // No quantized product can read a partial group, so there is nothing to prepare for one.
  impl_->forms = features % kActivationGroup == 0 ? forms : ActivationForms::kFp32;
}

std::int32_t Activations::rows() const { return impl_->rows; }
std::int32_t Activations::features() const { return impl_->features; }
std::int32_t Activations::bits() const { return 8 * impl_->planes; }
std::int32_t Activations::num_groups() const { return impl_->num_groups; }

void Activations::fill(const float* x, std::ptrdiff_t stride, std::int32_t first_group,
                       std::int32_t last_group) {
  CHECK(first_group >= 0 && last_group <= impl_->num_groups);
  if (impl_->rows == 0 || first_group >= last_group) return;
  if (impl_->has(ActivationForms::kInt8)) {
    const QuantizeTask task = {
        .x = x,
        .stride = stride,
        .rows = impl_->rows,
        .num_groups = impl_->num_groups,
        .first_group = first_group,
        .last_group = last_group,
        .tiles = impl_->int8.data(),
        .offsets = impl_->has(ActivationForms::kInt8Offsets)
                       ? reinterpret_cast<std::int32_t*>(impl_->offsets.data())
                       : nullptr,
    };
    if (impl_->planes == 2) {
      quantize_planes(task);
    } else {
      impl_->kernels->quantize(task);
    }
  }
  if (impl_->has(ActivationForms::kFp32)) copy_floats(*impl_, x, stride, first_group, last_group);
}

std::size_t Activations::memory_bytes() const {
  return impl_->int8.size() + impl_->offsets.size() + impl_->fp32.size();
}

}  // namespace mlxd
