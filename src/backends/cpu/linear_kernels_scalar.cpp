// The model of the weight products in plain C++: what every other instruction set equals bit for bit.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "backends/cpu/linear_tasks.h"
#include "model/float_formats.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kGroup = 32;

std::size_t scalar_bytes(ScalarType type) { return type == ScalarType::kF32 ? 4 : 2; }

float load_scalar(const std::byte* p, ScalarType type, int index) {
  if (type == ScalarType::kF32) {
    float value = 0;
    std::memcpy(&value, p + 4 * index, sizeof value);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, p + 2 * index, sizeof bits);
  return type == ScalarType::kF16 ? half_to_float(bits) : bfloat16_to_float(bits);
}

/// Rounds to nearest, ties to even, for |value| < 2^22: the sum's unit in the last place is 1.
std::int32_t round_to_even(float value) {
  constexpr float kMagic = 12582912.0F;  // 1.5 × 2^23
  return std::bit_cast<std::int32_t>(value + kMagic) - std::bit_cast<std::int32_t>(kMagic);
}

void quantize_group(const float* x, int row, int tile_rows, std::byte* record) {
  std::uint32_t largest = 0;  // magnitudes compare as integers; NaN is above infinity
  for (int i = 0; i < kGroup; ++i)
    largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFU);
  const float absmax = std::bit_cast<float>(largest);
  float scale = absmax / 127.0F;
  float inverse = 127.0F / absmax;
  const bool finite = largest < 0x7F800000U;
  if (!finite || absmax < kSmallestActivation) {
    scale = finite ? 0.0F : std::numeric_limits<float>::quiet_NaN();
    inverse = 0.0F;
  }
  std::int32_t sum = 0;
  for (int step = 0; step < kSteps; ++step) {
    for (int i = 0; i < 4; ++i) {
      const float value = x[8 * (step / 2) + 2 * i + step % 2];
      const std::int32_t q = finite ? round_to_even(value * inverse) : 0;
      sum += q;
      record[(step * tile_rows + row) * 4 + i] = static_cast<std::byte>(q);
    }
  }
  const float scaled_sum = scale * static_cast<float>(sum);
  std::memcpy(record + 32 * tile_rows + 4 * row, &scale, sizeof scale);
  std::memcpy(record + 36 * tile_rows + 4 * row, &scaled_sum, sizeof scaled_sum);
}

/// Code of element `k` (0 … 31 of one activation group) of block row `lane`.
std::int32_t code_at(const std::byte* codes, int code_bits, int lane, int k) {
  const int position = k % 8;
  if (code_bits == 4) {
    const auto byte = std::to_integer<unsigned>(codes[(k / 8) * 64 + lane * 4 + position / 2]);
    return static_cast<std::int32_t>(position % 2 == 0 ? byte & 15U : byte >> 4U);
  }
  return std::to_integer<std::int32_t>(codes[(k / 8) * 128 + (position % 2) * 64 + lane * 4 + position / 2]);
}

/// Code × activation of one group, exactly.
std::int32_t dot_group(const std::byte* codes, int code_bits, int lane, const std::byte* record, int row,
                       int tile_rows) {
  std::int32_t dot = 0;
  for (int k = 0; k < kGroup; ++k) {
    const int position = k % 8;
    const int step = 2 * (k / 8) + position % 2;
    const auto q = std::to_integer<std::int8_t>(record[(step * tile_rows + row) * 4 + position / 2]);
    dot += code_at(codes, code_bits, lane, k) * q;
  }
  return dot;
}

float affine_element(const AffineTask& task, const std::byte* block, int lane, const std::byte* tile, int row,
                     int tile_rows) {
  const int parts = task.group_size / kGroup;
  const std::size_t part_bytes = static_cast<std::size_t>(kBlock * kGroup * task.code_bits / 8);
  const std::size_t scales_bytes = kBlock * scalar_bytes(task.scale_type);
  const auto load = [&](const std::byte* p, int index) {
    float value = 0;
    std::memcpy(&value, p + 4 * index, sizeof value);
    return value;
  };
  float y = 0.0F;
  for (int group = 0; group < task.num_groups; ++group) {
    float t = 0.0F;
    float c = 0.0F;
    for (int part = 0; part < parts; ++part) {
      const float dot = static_cast<float>(dot_group(block, task.code_bits, lane, tile, row, tile_rows));
      const float a = load(tile + 32 * tile_rows, row);
      const float scaled_sum = load(tile + 36 * tile_rows, row);
      t = part == 0 ? dot * a : std::fma(dot, a, t);
      c = part == 0 ? scaled_sum : c + scaled_sum;
      block += part_bytes;
      tile += kRecordBytesPerRow * tile_rows;
    }
    y = std::fma(load_scalar(block, task.scale_type, lane), t, y);
    y = std::fma(load_scalar(block + scales_bytes, task.scale_type, lane), c, y);
    block += 2 * scales_bytes;
  }
  return y;
}

float dense_element(const DenseTask& task, const std::byte* block, int lane, const float* tile, int row,
                    int tile_rows) {
  float even = 0.0F;
  float odd = 0.0F;
  for (int k = 0; k < task.num_features; k += 2) {
    even = std::fma(load_scalar(block, task.type, k * kBlock + lane), tile[k * tile_rows + row], even);
    odd = std::fma(load_scalar(block, task.type, (k + 1) * kBlock + lane), tile[(k + 1) * tile_rows + row],
                   odd);
  }
  return even + odd;
}

/// Calls element(block, lane, first row of the tile, row in the tile, rows of the tile) for all of y.
template <typename Task, typename Element>
void for_each_element(const Task& task, Element element) {
  for (int first = 0; first < task.rows; first += kTileRows) {
    const int tile_rows = std::min(kTileRows, task.rows - first);
    for (int block = 0; block < task.num_blocks; ++block) {
      const int lanes = block + 1 == task.num_blocks ? task.last_block_rows : kBlock;
      for (int row = 0; row < tile_rows; ++row) {
        for (int lane = 0; lane < lanes; ++lane) {
          float y = element(block, lane, first, row, tile_rows);
          if (task.bias != nullptr) y += task.bias[block * kBlock + lane];
          task.y[(first + row) * task.y_stride + block * kBlock + lane] = y;
        }
      }
    }
  }
}

}  // namespace

void quantize_scalar(const QuantizeTask& task) {
  for (int first = 0; first < task.rows; first += kTileRows) {
    const int tile_rows = std::min(kTileRows, task.rows - first);
    std::byte* tile = task.tiles + static_cast<std::ptrdiff_t>(first) * kRecordBytesPerRow * task.num_groups;
    for (int group = task.first_group; group < task.last_group; ++group) {
      std::byte* record = tile + static_cast<std::ptrdiff_t>(group) * kRecordBytesPerRow * tile_rows;
      for (int row = 0; row < tile_rows; ++row) {
        quantize_group(task.x + (first + row) * task.stride + group * kGroup, row, tile_rows, record);
      }
    }
  }
}

void affine_scalar(const AffineTask& task) {
  const std::ptrdiff_t group_bytes =
      static_cast<std::ptrdiff_t>(task.group_size) * kBlock * task.code_bits / 8 +
      2 * kBlock * static_cast<std::ptrdiff_t>(scalar_bytes(task.scale_type));
  const std::ptrdiff_t row_bytes =
      static_cast<std::ptrdiff_t>(task.num_groups) * (task.group_size / kGroup) * kRecordBytesPerRow;
  for_each_element(task, [&](int block, int lane, int first, int row, int tile_rows) {
    return affine_element(task, task.weights + block * task.num_groups * group_bytes, lane,
                          task.tiles + first * row_bytes, row, tile_rows);
  });
}

void dense_scalar(const DenseTask& task) {
  const std::ptrdiff_t block_bytes = static_cast<std::ptrdiff_t>(task.num_features) * kBlock *
                                     static_cast<std::ptrdiff_t>(scalar_bytes(task.type));
  for_each_element(task, [&](int block, int lane, int first, int row, int tile_rows) {
    return dense_element(task, task.weights + block * block_bytes, lane,
                         task.tiles + static_cast<std::ptrdiff_t>(first) * task.num_features, row, tile_rows);
  });
}

}  // namespace mlxd
