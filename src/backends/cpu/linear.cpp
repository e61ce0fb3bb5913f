#include "backends/cpu/linear.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "backends/cpu/linear_activations.h"
#include "backends/cpu/linear_kernels.h"
#include "backends/cpu/memory.h"
#include "backends/cpu/packed_weights.h"
#include "base/check.h"

namespace mlxd {
namespace {

/// Consecutive blocks of one format; all but the last block have 16 rows.
struct Segment {
  PackedFormat format;
  std::int32_t first_block = 0;
  std::int32_t num_blocks = 0;
  std::int32_t first_row = 0;
  std::int32_t num_rows = 0;
  std::size_t offset = 0;  // in the packed memory

  std::int32_t rows_of(std::int32_t index) const {
    return std::min(kBlockRows, num_rows - index * kBlockRows);
  }
};

/// Where a packed block comes from.
struct BlockOrigin {
  std::size_t part = 0;
  std::int32_t first_row = 0;
};

std::int32_t blocks_of(const LinearSpec& spec) { return (spec.out_features + kBlockRows - 1) / kBlockRows; }

std::vector<BlockOrigin> block_order(std::span<const LinearSpec> parts, PartOrder order) {
  std::vector<BlockOrigin> origins;
  if (order == PartOrder::kInterleaved) {
    for (std::int32_t block = 0; block < blocks_of(parts[0]); ++block) {
      for (std::size_t part = 0; part < parts.size(); ++part) origins.push_back({part, block * kBlockRows});
    }
    return origins;
  }
  for (std::size_t part = 0; part < parts.size(); ++part) {
    for (std::int32_t block = 0; block < blocks_of(parts[part]); ++block) {
      origins.push_back({part, block * kBlockRows});
    }
  }
  return origins;
}

std::vector<Segment> segments_of(const std::vector<BlockOrigin>& origins,
                                 const std::vector<WeightSource>& sources) {
  std::vector<Segment> segments;
  std::int32_t row = 0;
  std::size_t offset = 0;
  for (std::size_t block = 0; block < origins.size(); ++block) {
    const WeightSource& source = sources[origins[block].part];
    const std::int32_t rows = std::min(kBlockRows, source.spec.out_features - origins[block].first_row);
    const bool extends = !segments.empty() && segments.back().format == source.format &&
                         segments.back().num_rows % kBlockRows == 0;
    if (!extends) {
      Segment segment;
      segment.format = source.format;
      segment.first_block = static_cast<std::int32_t>(block);
      segment.first_row = row;
      segment.offset = offset;
      segments.push_back(segment);
    }
    segments.back().num_blocks += 1;
    segments.back().num_rows += rows;
    row += rows;
    offset += source.format.block_bytes();
  }
  return segments;
}

ActivationForms forms_of(const PackedFormat& format) {
  switch (format.kind) {
    case WeightKind::kDense:
      return ActivationForms::kFp32;
    case WeightKind::kAffine:
      return ActivationForms::kInt8;
    case WeightKind::kE2M1:
      return ActivationForms::kInt8Offsets;
  }
  return ActivationForms::kAll;
}

Result<void> check_parts(std::span<const LinearSpec> parts, PartOrder order) {
  if (parts.empty()) return invalid_argument("no layers to pack");
  std::int64_t rows = 0;
  for (const LinearSpec& part : parts) {
    if (part.in_features != parts[0].in_features) {
      return corrupt_data("'" + part.name + "' has " + std::to_string(part.in_features) +
                          " input features, '" + parts[0].name + "' has " +
                          std::to_string(parts[0].in_features) + "; they share their input");
    }
    if (order == PartOrder::kInterleaved && part.out_features != parts[0].out_features) {
      return corrupt_data("'" + part.name + "' has " + std::to_string(part.out_features) +
                          " output features, '" + parts[0].name + "' has " +
                          std::to_string(parts[0].out_features) + "; they must be equal");
    }
    rows += part.out_features;
  }
  if (rows > std::numeric_limits<std::int32_t>::max() / 2) {
    return unsupported("'" + parts[0].name + "' and its neighbours have " + std::to_string(rows) +
                       " output features together, which is too many");
  }
  return {};
}

}  // namespace

struct Linear::Impl {
  const LinearKernels* kernels = nullptr;
  std::int32_t in_features = 0;
  std::int32_t out_features = 0;
  std::int32_t num_blocks = 0;
  ActivationForms forms = ActivationForms::kInt8;
  std::vector<Segment> segments;
  std::vector<float> bias;  // [16 × num_blocks], or empty
  MemoryRegion memory;

  const Segment& segment_of_block(std::int32_t block) const {
    const auto after = std::upper_bound(segments.begin(), segments.end(), block,
                                        [](std::int32_t b, const Segment& s) { return b < s.first_block; });
    return *(after - 1);
  }
  const Segment& segment_of_row(std::int32_t row) const {
    const auto after = std::upper_bound(segments.begin(), segments.end(), row,
                                        [](std::int32_t r, const Segment& s) { return r < s.first_row; });
    return *(after - 1);
  }
  const std::byte* block_data(const Segment& segment, std::int32_t index) const {
    return memory.data() + segment.offset + static_cast<std::size_t>(index) * segment.format.block_bytes();
  }
  Result<void> pack_bias(const std::vector<BlockOrigin>& origins, const std::vector<WeightSource>& sources);
  void apply_segment(const Segment& segment, std::int32_t first, std::int32_t last,
                     const Activations::Impl& x, float* y, std::ptrdiff_t stride) const;
};

Linear::Linear() = default;
Linear::~Linear() = default;
Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;

Result<Linear> Linear::pack(std::span<const LinearSpec> parts, const WeightMap& weights, Isa isa,
                            PartOrder order) {
  LinearPacking packing = TRY(LinearPacking::create(parts, weights, isa, order));
  TRY(packing.pack_blocks(0, packing.num_blocks()));
  return packing.finish();
}

struct LinearPacking::Impl {
  const WeightMap* weights = nullptr;
  std::vector<WeightSource> sources;
  std::vector<BlockOrigin> origins;
  Linear linear;

  template <typename Function>
  void for_each_tensor(Function&& function) const {
    for (const WeightSource& source : sources) {
      for (const TensorView* tensor : source.tensors()) function(*tensor);
    }
  }
};

LinearPacking::LinearPacking(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LinearPacking::~LinearPacking() = default;
LinearPacking::LinearPacking(LinearPacking&&) noexcept = default;
LinearPacking& LinearPacking::operator=(LinearPacking&&) noexcept = default;

Result<LinearPacking> LinearPacking::create(std::span<const LinearSpec> parts, const WeightMap& weights,
                                            Isa isa, PartOrder order) {
  TRY(check_parts(parts, order));
  auto packing = std::make_unique<Impl>();
  packing->weights = &weights;
  std::vector<WeightSource>& sources = packing->sources;
  for (const LinearSpec& part : parts) sources.push_back(TRY(WeightSource::find(part, weights)));

  packing->linear.impl_ = std::make_unique<Linear::Impl>();
  Linear::Impl& impl = *packing->linear.impl_;
  packing->origins = block_order(parts, order);
  impl.kernels = &linear_kernels(isa);
  impl.in_features = parts[0].in_features;
  impl.num_blocks = static_cast<std::int32_t>(packing->origins.size());
  impl.segments = segments_of(packing->origins, sources);
  impl.out_features = impl.segments.back().first_row + impl.segments.back().num_rows;
  impl.forms = forms_of(sources.front().format);
  for (const WeightSource& source : sources) impl.forms = impl.forms | forms_of(source.format);

  std::size_t num_bytes = 0;
  for (const BlockOrigin& origin : packing->origins) num_bytes += sources[origin.part].format.block_bytes();
  impl.memory = TRY(MemoryRegion::create(num_bytes));
  return LinearPacking(std::move(packing));
}

std::int32_t LinearPacking::num_blocks() const { return impl_->linear.num_blocks(); }

std::size_t LinearPacking::block_bytes() const {
  return impl_->linear.impl_->memory.size() / static_cast<std::size_t>(num_blocks());
}

void LinearPacking::prefetch() const {
  impl_->for_each_tensor([this](const TensorView& tensor) { impl_->weights->will_need(tensor); });
}

Result<void> LinearPacking::pack_blocks(std::int32_t first, std::int32_t last) {
  CHECK(first >= 0 && last <= num_blocks());
  const Linear::Impl& linear = *impl_->linear.impl_;
  WeightRows scratch;
  for (std::int32_t block = first; block < last; ++block) {
    const BlockOrigin& origin = impl_->origins[static_cast<std::size_t>(block)];
    const Segment& segment = linear.segment_of_block(block);
    std::byte* to = linear.memory.data() + segment.offset +
                    static_cast<std::size_t>(block - segment.first_block) * segment.format.block_bytes();
    TRY(pack_block(impl_->sources[origin.part], origin.first_row, scratch, to));
  }
  return {};
}

Result<Linear> LinearPacking::finish() {
  TRY(impl_->linear.impl_->pack_bias(impl_->origins, impl_->sources));
  impl_->for_each_tensor([this](const TensorView& tensor) { impl_->weights->drop_pages(tensor); });
  return std::move(impl_->linear);
}

Result<void> Linear::Impl::pack_bias(const std::vector<BlockOrigin>& origins,
                                     const std::vector<WeightSource>& sources) {
  std::vector<std::vector<float>> values(sources.size());
  for (std::size_t part = 0; part < sources.size(); ++part) {
    if (sources[part].bias == nullptr) continue;
    values[part].resize(static_cast<std::size_t>(sources[part].spec.out_features));
    TRY(load_bias(sources[part], values[part].data()));
    bias.resize(origins.size() * kBlockRows, 0.0F);
  }
  if (bias.empty()) return {};
  for (std::size_t block = 0; block < origins.size(); ++block) {
    const std::vector<float>& from = values[origins[block].part];
    const auto first = static_cast<std::size_t>(origins[block].first_row);
    for (std::size_t i = 0; i < kBlockRows && first + i < from.size(); ++i)
      bias[block * kBlockRows + i] = from[first + i];
  }
  return {};
}

std::int32_t Linear::in_features() const { return impl_->in_features; }
std::int32_t Linear::out_features() const { return impl_->out_features; }
ActivationForms Linear::activation_forms() const { return impl_->forms; }
std::int32_t Linear::num_blocks() const { return impl_->num_blocks; }

std::int32_t Linear::block_row(std::int32_t block) const {
  CHECK(block >= 0 && block <= impl_->num_blocks);
  if (block == impl_->num_blocks) return impl_->out_features;
  const Segment& segment = impl_->segment_of_block(block);
  return segment.first_row + (block - segment.first_block) * kBlockRows;
}

std::size_t Linear::memory_bytes() const { return impl_->memory.size() + impl_->bias.size() * sizeof(float); }

void Linear::apply(const Activations& x, std::int32_t first_block, std::int32_t last_block, float* y,
                   std::ptrdiff_t stride) const {
  const Activations::Impl& activations = x.impl();
  CHECK(activations.features == impl_->in_features && activations.kernels == impl_->kernels &&
        activations.has(impl_->forms));
  CHECK(first_block >= 0 && last_block <= impl_->num_blocks);
  if (activations.rows == 0) return;
  while (first_block < last_block) {
    const Segment& segment = impl_->segment_of_block(first_block);
    const std::int32_t first = first_block - segment.first_block;
    const std::int32_t last = std::min(last_block - segment.first_block, segment.num_blocks);
    impl_->apply_segment(segment, first, last, activations, y, stride);
    first_block = segment.first_block + last;
  }
}

void Linear::Impl::apply_segment(const Segment& segment, std::int32_t first, std::int32_t last,
                                 const Activations::Impl& x, float* y, std::ptrdiff_t stride) const {
  const PackedFormat& format = segment.format;
  const float* segment_bias =
      bias.empty() ? nullptr
                   : bias.data() + static_cast<std::ptrdiff_t>(segment.first_block + first) * kBlockRows;
  float* segment_y = y + segment.first_row + static_cast<std::ptrdiff_t>(first) * kBlockRows;
  if (format.dense()) {
    const DenseTask task = {
        .weights = block_data(segment, first),
        .num_blocks = last - first,
        .last_block_rows = segment.rows_of(last - 1),
        .num_features = format.in_features,
        .type = format.scalar_type,
        .tiles = reinterpret_cast<const float*>(x.fp32.data()),
        .rows = x.rows,
        .bias = segment_bias,
        .y = segment_y,
        .y_stride = stride,
    };
    kernels->dense(task);
    return;
  }
  const AffineTask task = {
      .weights = block_data(segment, first),
      .num_blocks = last - first,
      .last_block_rows = segment.rows_of(last - 1),
      .e2m1 = format.kind == WeightKind::kE2M1,
      .code_bits = format.code_bits,
      .group_size = format.group_size,
      .num_groups = format.num_groups(),
      .scale_type = format.scalar_type,
      .planes = x.planes,
      .tiles = x.int8.data(),
      .offsets = x.has(ActivationForms::kInt8Offsets)
                     ? reinterpret_cast<const std::int32_t*>(x.offsets.data())
                     : nullptr,
      .rows = x.rows,
      .bias = segment_bias,
      .y = segment_y,
      .y_stride = stride,
  };
  kernels->affine(task);
}

float Linear::bias(std::int32_t row) const {
  CHECK(row >= 0 && row < impl_->out_features);
  if (impl_->bias.empty()) return 0.0F;
  const Segment& segment = impl_->segment_of_row(row);
  return impl_->bias[static_cast<std::size_t>(segment.first_block) * kBlockRows +
                     static_cast<std::size_t>(row - segment.first_row)];
}

void Linear::dequantize_row(std::int32_t row, float* out) const {
  CHECK(row >= 0 && row < impl_->out_features);
  const Segment& segment = impl_->segment_of_row(row);
  const std::int32_t index = row - segment.first_row;
  dequantize_lane(segment.format, impl_->block_data(segment, index / kBlockRows), index % kBlockRows,
                  impl_->in_features, out);
}

}  // namespace mlxd
