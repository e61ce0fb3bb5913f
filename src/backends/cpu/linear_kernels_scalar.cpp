// The model of the weight products in plain C++: what every other instruction set equals bit for bit.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "backends/cpu/linear_tasks.h"
#include "backends/cpu/weight_codes.h"
#include "model/float_formats.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kGroup = 32;

std::ptrdiff_t scalar_bytes(ScalarType type) {
  switch (type) {
    case ScalarType::kF32:
      return 4;
    case ScalarType::kF16:
    case ScalarType::kBF16:
      return 2;
    case ScalarType::kE4M3:
    case ScalarType::kE8M0:
      return 1;
  }
  return 1;
}

template <typename T>
T load(const std::byte* p, std::ptrdiff_t index) {
  T value;
  std::memcpy(&value, p + static_cast<std::ptrdiff_t>(sizeof value) * index, sizeof value);
  return value;
}

float load_scalar(const std::byte* p, ScalarType type, std::ptrdiff_t index) {
  switch (type) {
    case ScalarType::kF32:
      return load<float>(p, index);
    case ScalarType::kF16:
      return half_to_float(load<std::uint16_t>(p, index));
    case ScalarType::kBF16:
      return bfloat16_to_float(load<std::uint16_t>(p, index));
    case ScalarType::kE4M3:
      return e4m3_to_float(load<std::uint8_t>(p, index));
    case ScalarType::kE8M0:
      return e8m0_to_float(load<std::uint8_t>(p, index));
  }
  return 0;
}

std::ptrdiff_t whole_lines(std::ptrdiff_t bytes) { return (bytes + 63) / 64 * 64; }

/// Rounds to nearest, ties to even, for |value| < 2^22: the sum's unit in the last place is 1.
std::int32_t round_to_even(float value) {
  constexpr float kMagic = 12582912.0F;  // 1.5 × 2^23
  return std::bit_cast<std::int32_t>(value + kMagic) - std::bit_cast<std::int32_t>(kMagic);
}

/// What a group of values is quantized by.
struct GroupScale {
  float scale = 0.0F;
  float inverse = 0.0F;
  bool finite = true;
};

/// For integers up to `largest_integer`.
GroupScale scale_of(const float* x, float largest_integer) {
  std::uint32_t largest = 0;  // magnitudes compare as integers; NaN is above infinity
  for (int i = 0; i < kGroup; ++i)
    largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFU);
  if (largest >= 0x7F800000U) return {std::numeric_limits<float>::quiet_NaN(), 0.0F, false};
  const float absmax = std::bit_cast<float>(largest);
  if (absmax < kSmallestActivation) return {};
  return {absmax / largest_integer, largest_integer / absmax, true};
}

/// Writes a row of a record from 32 integers in the order of features.
void store_record(const std::int32_t* q, float scale, int row, int tile_rows, std::byte* record,
                  std::int32_t* offsets) {
  std::int32_t sums[2] = {0, 0};
  for (int step = 0; step < kSteps; ++step) {
    for (int i = 0; i < 4; ++i) {
      const std::int32_t value = q[8 * (step / 2) + 2 * i + step % 2];
      sums[step / 4] += value;
      record[(step * tile_rows + row) * 4 + i] = static_cast<std::byte>(value);
    }
  }
  const std::int32_t sum = sums[0] + sums[1];
  if (offsets != nullptr) {
    offsets[row] = -kE2M1Offset * sum;
    offsets[tile_rows + row] = -kE2M1Offset * sums[0];
    offsets[2 * tile_rows + row] = -kE2M1Offset * sums[1];
  }
  const float scaled_sum = scale * static_cast<float>(sum);
  std::memcpy(record + 32 * tile_rows + 4 * row, &scale, sizeof scale);
  std::memcpy(record + 36 * tile_rows + 4 * row, &scaled_sum, sizeof scaled_sum);
}

void quantize_group(const float* x, int row, int tile_rows, std::byte* record, std::int32_t* offsets) {
  const GroupScale group = scale_of(x, 127.0F);
  std::int32_t q[kGroup] = {};
  for (int i = 0; i < kGroup && group.finite; ++i) q[i] = round_to_even(x[i] * group.inverse);
  store_record(q, group.scale, row, tile_rows, record, offsets);
}

/// The same to two records.
void quantize_group_planes(const float* x, int row, int tile_rows, std::byte* record, std::int32_t* offsets) {
  const GroupScale group = scale_of(x, 127.0F * 256.0F);
  std::int32_t low[kGroup] = {};
  std::int32_t high[kGroup] = {};
  for (int i = 0; i < kGroup && group.finite; ++i) {
    const std::int32_t q = round_to_even(x[i] * group.inverse);
    low[i] = ((q + 128) & 255) - 128;
    high[i] = (q - low[i]) / 256;
  }
  store_record(high, 256.0F * group.scale, row, tile_rows, record, offsets);
  store_record(low, group.scale, row, tile_rows, record + kRecordBytesPerRow * tile_rows,
               offsets == nullptr ? nullptr : offsets + 3 * tile_rows);
}

/// The weight's integer: a code, or twice an e2m1 number.
std::int32_t integer_at(const AffineTask& task, const std::byte* codes, int lane, int k) {
  const std::uint32_t code = code_at(codes, task.code_bits, lane, k);
  if (!task.e2m1) return static_cast<std::int32_t>(code);
  return static_cast<std::int32_t>(2 * e2m1_to_float(static_cast<std::uint8_t>(code)));
}

/// Integers × activations of the features [first, last) of one activation group, exactly.
std::int32_t dot_group(const std::int32_t (&integers)[kGroup], int first, int last, const std::byte* record,
                       int row, int tile_rows) {
  std::int32_t dot = 0;
  for (int k = first; k < last; ++k) {
    const int step = 2 * (k / 8) + k % 2;
    const auto q = std::to_integer<std::int8_t>(record[(step * tile_rows + row) * 4 + k % 8 / 2]);
    dot += integers[k] * q;
  }
  return dot;
}

/// Where the parts of a block lie.
struct AffineLayout {
  std::ptrdiff_t codes_of_activation_group;
  std::ptrdiff_t block_bytes;
  std::ptrdiff_t scales;       // of the first weight group, from the block's start
  std::ptrdiff_t next_scales;  // to those of the next

  explicit AffineLayout(const AffineTask& task) {
    codes_of_activation_group = code_bytes(task.code_bits);
    const std::ptrdiff_t group_codes = task.group_size * codes_of_activation_group / kGroup;
    const std::ptrdiff_t group_scales = kBlock * scalar_bytes(task.scale_type);
    if (task.e2m1) {
      scales = task.num_groups * group_codes;
      next_scales = group_scales;
      block_bytes = scales + whole_lines(task.num_groups * group_scales);
    } else {
      scales = group_codes;
      next_scales = group_codes + 2 * group_scales;
      block_bytes = task.num_groups * next_scales;
    }
  }
  /// Codes of the 32 features from `k` on.
  const std::byte* codes(const AffineTask& task, const std::byte* block, int k) const {
    const std::ptrdiff_t between = task.e2m1 ? 0 : next_scales - scales;
    return block + k / kGroup * codes_of_activation_group + k / task.group_size * between;
  }
};

/// One row of a block against the rows of a tile.
void affine_lane(const AffineTask& task, const AffineLayout& layout, const std::byte* block, int lane,
                 const std::byte* tile, int tile_rows, float (&y)[kTileRows]) {
  for (int group = 0; group < task.num_groups; ++group) {
    const int group_end = (group + 1) * task.group_size;
    float t[kTileRows] = {};
    float c[kTileRows] = {};
    // Activation groups of the weight group, or the half of one.
    for (int k = group * task.group_size; k < group_end; k += kGroup) {
      const int first = k % kGroup;
      const int last = std::min(kGroup, group_end - k + first);
      const std::byte* codes = layout.codes(task, block, k);
      std::int32_t integers[kGroup] = {};
      for (int i = first; i < last; ++i) integers[i] = integer_at(task, codes, lane, i);
      for (int plane = 0; plane < task.planes; ++plane) {
        const std::byte* record = tile + static_cast<std::ptrdiff_t>(k / kGroup * task.planes + plane) *
                                             kRecordBytesPerRow * tile_rows;
        const bool is_first = k % task.group_size == 0 && plane == 0;
        for (int row = 0; row < tile_rows; ++row) {
          const auto dot = static_cast<float>(dot_group(integers, first, last, record, row, tile_rows));
          const auto a = load<float>(record + 32 * tile_rows, row);
          const auto scaled_sum = load<float>(record + 36 * tile_rows, row);
          t[row] = is_first ? dot * a : std::fma(dot, a, t[row]);
          c[row] = is_first ? scaled_sum : c[row] + scaled_sum;
        }
      }
    }
    const std::byte* scales = block + layout.scales + group * layout.next_scales;
    const float scale = load_scalar(scales, task.scale_type, lane);
    const float bias = task.e2m1 ? 0.0F : load_scalar(scales, task.scale_type, kBlock + lane);
    for (int row = 0; row < tile_rows; ++row) {
      y[row] = std::fma(task.e2m1 ? 0.5F * scale : scale, t[row], y[row]);
      if (!task.e2m1) y[row] = std::fma(bias, c[row], y[row]);
    }
  }
}

std::ptrdiff_t dense_block_bytes(const DenseTask& task) {
  const std::ptrdiff_t values = kBlock * scalar_bytes(task.type) * task.num_features;
  return task.type == ScalarType::kE4M3 ? values + whole_lines(kBlock * task.num_features / kGroup) : values;
}

/// Weight of feature `k` and row `lane` of a block, exactly.
float dense_weight(const DenseTask& task, const std::byte* block, int k, int lane) {
  const float value = load_scalar(block, task.type, k * kBlock + lane);
  if (task.type != ScalarType::kE4M3) return value;
  const std::byte* scales = block + static_cast<std::ptrdiff_t>(kBlock) * task.num_features;
  return value * load_scalar(scales, ScalarType::kE8M0, k / kGroup * kBlock + lane);
}

/// One row of a block against the rows of a tile.
void dense_lane(const DenseTask& task, const std::byte* block, int lane, const float* tile, int tile_rows,
                float (&y)[kTileRows]) {
  float even[kTileRows] = {};
  float odd[kTileRows] = {};
  for (int k = 0; k < task.num_features; k += 2) {
    const float w0 = dense_weight(task, block, k, lane);
    const float w1 = dense_weight(task, block, k + 1, lane);
    for (int row = 0; row < tile_rows; ++row) {
      even[row] = std::fma(w0, tile[k * tile_rows + row], even[row]);
      odd[row] = std::fma(w1, tile[(k + 1) * tile_rows + row], odd[row]);
    }
  }
  for (int row = 0; row < tile_rows; ++row) y[row] = even[row] + odd[row];
}

/// Calls product(block, lane, first row of the tile, rows of the tile, y = zeros) for all of y.
template <typename Task, typename Product>
void for_each_lane(const Task& task, Product product) {
  for (int first = 0; first < task.rows; first += kTileRows) {
    const int tile_rows = std::min(kTileRows, task.rows - first);
    for (int block = 0; block < task.num_blocks; ++block) {
      const int lanes = block + 1 == task.num_blocks ? task.last_block_rows : kBlock;
      for (int lane = 0; lane < lanes; ++lane) {
        float y[kTileRows] = {};
        product(block, lane, first, tile_rows, y);
        for (int row = 0; row < tile_rows; ++row) {
          if (task.bias != nullptr) y[row] += task.bias[block * kBlock + lane];
          task.y[(first + row) * task.y_stride + block * kBlock + lane] = y[row];
        }
      }
    }
  }
}

/// Calls quantize(x, row, tile_rows, record, offsets) for each row of each group, which has so many records.
template <typename Quantize>
void quantize_all(const QuantizeTask& task, int records, Quantize quantize) {
  for (int first = 0; first < task.rows; first += kTileRows) {
    const int tile_rows = std::min(kTileRows, task.rows - first);
    const std::ptrdiff_t tile_groups = static_cast<std::ptrdiff_t>(first) * task.num_groups;
    for (int group = task.first_group; group < task.last_group; ++group) {
      const std::ptrdiff_t cell = (tile_groups + static_cast<std::ptrdiff_t>(group) * tile_rows) * records;
      std::int32_t* offsets = task.offsets == nullptr ? nullptr : task.offsets + 3 * cell;
      for (int row = 0; row < tile_rows; ++row) {
        quantize(task.x + (first + row) * task.stride + group * kGroup, row, tile_rows,
                 task.tiles + kRecordBytesPerRow * cell, offsets);
      }
    }
  }
}

}  // namespace

void quantize_scalar(const QuantizeTask& task) { quantize_all(task, 1, quantize_group); }
void quantize_planes(const QuantizeTask& task) { quantize_all(task, 2, quantize_group_planes); }

void affine_scalar(const AffineTask& task) {
  const AffineLayout layout(task);
  const std::ptrdiff_t row_bytes = static_cast<std::ptrdiff_t>(task.num_groups) * task.group_size / kGroup *
                                   task.planes * kRecordBytesPerRow;
  for_each_lane(task, [&](int block, int lane, int first, int tile_rows, float(&y)[kTileRows]) {
    affine_lane(task, layout, task.weights + block * layout.block_bytes, lane, task.tiles + first * row_bytes,
                tile_rows, y);
  });
}

void dense_scalar(const DenseTask& task) {
  const std::ptrdiff_t block_bytes = dense_block_bytes(task);
  for_each_lane(task, [&](int block, int lane, int first, int tile_rows, float(&y)[kTileRows]) {
    dense_lane(task, task.weights + block * block_bytes, lane,
               task.tiles + static_cast<std::ptrdiff_t>(first) * task.num_features, tile_rows, y);
  });
}

}  // namespace mlxd
