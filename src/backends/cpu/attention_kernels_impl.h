// The attention kernels of vector_kernels.h over a vector type V. Every query row goes through the same
// sequence of operations whatever rows it is tiled with: scores dimension by dimension, the segment's
// maximum, sums of exponentials in 16 lanes, values key by key.
#pragma once

#include "backends/cpu/vector.h"
#include "backends/cpu/vector_kernels.h"

// Register tiles only pay if their loops vanish.
#if defined(__clang__)
#define MLXD_UNROLL _Pragma("unroll")
#else
#define MLXD_UNROLL _Pragma("GCC unroll 16")
#endif

namespace mlxd {

template <typename V>
struct AttentionKernelsOf {
  using F = typename V::F;
  static constexpr int kHalvesPerLine = 32;
  static constexpr int kScoreRows = V::kTileRows;
  static constexpr int kValueRows = V::kTileRows >= 8 ? 4 : V::kTileRows;
  static constexpr int kValueVectors = V::kTileRows >= 8 ? 4 : 1;

  static void attend(const AttentionSegment& segment, const AttentionState& out) {
    for (std::int32_t row = 0; row < segment.rows; row += kScoreRows) {
      score_rows<kScoreRows>(segment, row, segment.rows - row);
    }
    for (std::int32_t row = 0; row < segment.rows; ++row) {
      softmax(segment.scores + row * kSegmentKeys, segment.num_keys[row], out.maximum[row], out.sum[row]);
    }
    for (std::int32_t row = 0; row < segment.rows; row += kValueRows) {
      weigh_rows<kValueRows>(segment, row, segment.rows - row, out.values);
    }
  }

  static void merge(const AttentionState& into, const AttentionState& next, std::int32_t rows,
                    std::int32_t head_dim) {
    for (std::int32_t row = 0; row < rows; ++row) {
      const float maximum = into.maximum[row] > next.maximum[row] ? into.maximum[row] : next.maximum[row];
      float factors[kLanes] = {into.maximum[row] - maximum, next.maximum[row] - maximum};
      V::store(factors, exp<V>(V::load(factors)));
      into.maximum[row] = maximum;
      into.sum[row] = into.sum[row] * factors[0] + next.sum[row] * factors[1];
      const F old_factor = V::broadcast(factors[0]);
      const F next_factor = V::broadcast(factors[1]);
      float* values = into.values + row * head_dim;
      const float* next_values = next.values + row * head_dim;
      for (std::int32_t d = 0; d < head_dim; d += kLanes) {
        const F kept = V::mul(V::load(values + d), old_factor);
        V::store(values + d, V::fma(V::load(next_values + d), next_factor, kept));
      }
    }
  }

  static void finish(const AttentionState& state, std::int32_t row, float* out, std::int32_t head_dim) {
    const F factor = V::broadcast(1.0F / state.sum[row]);
    const float* values = state.values + row * head_dim;
    for (std::int32_t d = 0; d < head_dim; d += kLanes)
      V::store(out + d, V::mul(V::load(values + d), factor));
  }

 private:
  static std::int32_t pages_of(std::int32_t keys) { return (keys + kPageTokens - 1) / kPageTokens; }

  /// The largest tile of at most kRows that `rows` fill.
  template <int kRows>
  static void score_rows(const AttentionSegment& segment, std::int32_t row, std::int32_t rows) {
    if constexpr (kRows > 1) {
      if (rows < kRows) return score_rows<kRows - 1>(segment, row, rows);
    }
    score_tile<kRows>(segment, row);
  }

  template <int kRows>
  static void score_tile(const AttentionSegment& segment, std::int32_t first_row) {
    constexpr int kVectors = V::kTileVectors;
    const std::int32_t head_dim = segment.head_dim;
    const float* queries = segment.queries + first_row * head_dim;
    float* scores = segment.scores + first_row * kSegmentKeys;
    const std::int32_t num_pages = pages_of(segment.num_keys[first_row + kRows - 1]);
    for (std::int32_t page = 0; page < num_pages; ++page) {
      for (int key = 0; key < kPageTokens; key += kVectors * kLanes) {
        const std::uint16_t* keys = segment.blocks[page] + key;
        const std::uint16_t* next = segment.blocks[page + 1];
        F sums[kRows][kVectors];
        MLXD_UNROLL
        for (int r = 0; r < kRows; ++r) {
          MLXD_UNROLL
          for (int v = 0; v < kVectors; ++v) sums[r][v] = V::zero();
        }
        for (std::int32_t d = 0; d < head_dim; ++d) {
          if (key == 0) __builtin_prefetch(next + d * kHalvesPerLine);
          F k[kVectors];
          MLXD_UNROLL
          for (int v = 0; v < kVectors; ++v) k[v] = V::load_half(keys + d * kPageTokens + v * kLanes);
          MLXD_UNROLL
          for (int r = 0; r < kRows; ++r) {
            const F q = V::broadcast(queries[r * head_dim + d]);
            MLXD_UNROLL
            for (int v = 0; v < kVectors; ++v) sums[r][v] = V::fma(q, k[v], sums[r][v]);
          }
        }
        MLXD_UNROLL
        for (int r = 0; r < kRows; ++r) {
          MLXD_UNROLL
          for (int v = 0; v < kVectors; ++v) {
            V::store(scores + r * kSegmentKeys + page * kPageTokens + key + v * kLanes, sums[r][v]);
          }
        }
      }
    }
  }

  /// scores [keys] become exponentials, zero up to the next whole vector.
  static void softmax(float* scores, std::int32_t keys, float& maximum, float& sum) {
    const std::int32_t whole = keys / kLanes * kLanes;
    const float lowest = -__builtin_inff();
    F largest = V::broadcast(lowest);
    for (std::int32_t i = 0; i < whole; i += kLanes) largest = V::max(V::load(scores + i), largest);
    if (whole < keys) {
      // Scores past the last key are of whatever the page held before.
      const F tail = V::first_lanes(V::load(scores + whole), keys - whole, lowest);
      V::store(scores + whole, tail);
      largest = V::max(tail, largest);
    }
    maximum = V::reduce_max(largest);
    const F offset = V::broadcast(maximum);
    F total = V::zero();
    for (std::int32_t i = 0; i < keys; i += kLanes) {
      const F weight = exp<V>(V::sub(V::load(scores + i), offset));
      V::store(scores + i, weight);
      total = V::add(total, weight);
    }
    sum = V::reduce_add(total);
  }

  template <int kRows>
  static void weigh_rows(const AttentionSegment& segment, std::int32_t row, std::int32_t rows,
                         float* values) {
    if constexpr (kRows > 1) {
      if (rows < kRows) return weigh_rows<kRows - 1>(segment, row, rows, values);
    }
    std::int32_t d = 0;
    for (; d + kValueVectors * kLanes <= segment.head_dim; d += kValueVectors * kLanes) {
      weigh_tile<kRows, kValueVectors>(segment, row, d, values);
    }
    for (; d < segment.head_dim; d += kLanes) weigh_tile<kRows, 1>(segment, row, d, values);
  }

  template <int kRows, int kVectors>
  static void weigh_tile(const AttentionSegment& segment, std::int32_t first_row, std::int32_t first_dim,
                         float* values) {
    const std::int32_t head_dim = segment.head_dim;
    const float* weights = segment.scores + first_row * kSegmentKeys;
    F sums[kRows][kVectors];
    MLXD_UNROLL
    for (int r = 0; r < kRows; ++r) {
      MLXD_UNROLL
      for (int v = 0; v < kVectors; ++v) sums[r][v] = V::zero();
    }
    // Rows are ascending in keys: all share those of the first.
    const std::int32_t shared = segment.num_keys[first_row];
    for (std::int32_t begin = 0; begin < shared; begin += kPageTokens) {
      const std::int32_t page = begin / kPageTokens;
      const std::int32_t count = shared - begin < kPageTokens ? shared - begin : kPageTokens;
      const std::ptrdiff_t offset = kPageTokens * head_dim + first_dim;
      const std::uint16_t* rows = segment.blocks[page] + offset;
      const std::uint16_t* next = segment.blocks[page + 1] + offset;
      for (std::int32_t key = 0; key < count; ++key) {
        F value[kVectors];
        MLXD_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          if (v % 2 == 0) __builtin_prefetch(next + key * head_dim + v * kLanes);
          value[v] = V::load_half(rows + key * head_dim + v * kLanes);
        }
        MLXD_UNROLL
        for (int r = 0; r < kRows; ++r) {
          const F weight = V::broadcast(weights[r * kSegmentKeys + begin + key]);
          MLXD_UNROLL
          for (int v = 0; v < kVectors; ++v) sums[r][v] = V::fma(weight, value[v], sums[r][v]);
        }
      }
    }
    MLXD_UNROLL
    for (int r = 0; r < kRows; ++r) {
      // The keys that only later rows of the tile see: never multiplied by zero, they may hold anything.
      for (std::int32_t key = shared; key < segment.num_keys[first_row + r]; ++key) {
        const std::uint16_t* block = segment.blocks[key / kPageTokens];
        const std::uint16_t* row = block + (kPageTokens + key % kPageTokens) * head_dim + first_dim;
        const F weight = V::broadcast(weights[r * kSegmentKeys + key]);
        MLXD_UNROLL
        for (int v = 0; v < kVectors; ++v)
          sums[r][v] = V::fma(weight, V::load_half(row + v * kLanes), sums[r][v]);
      }
      MLXD_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        V::store(values + (first_row + r) * head_dim + first_dim + v * kLanes, sums[r][v]);
      }
    }
  }
};

}  // namespace mlxd
