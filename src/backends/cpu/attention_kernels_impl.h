// The attention kernels of vector_kernels.h over a vector type V. Every query row goes through the same
// sequence of operations whatever rows it is tiled with: scores dimension by dimension, the segment's
// maximum, sums of exponentials in 16 lanes, values key by key. Pages are read in whatever format they have:
// an int8 key's scale multiplies its score, an int8 value's scale its weight.
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

/// How a kernel reads elements of a block.
template <typename V, KvFormat kFormat>
struct KvElements;

template <typename V>
struct KvElements<V, KvFormat::kFloat16> {
  using Element = std::uint16_t;
  static typename V::F load(const Element* p) { return V::load_half(p); }
};
template <typename V>
struct KvElements<V, KvFormat::kBFloat16> {
  using Element = std::uint16_t;
  static typename V::F load(const Element* p) { return V::load_bfloat(p); }
};
template <typename V>
struct KvElements<V, KvFormat::kInt8> {
  using Element = std::int8_t;
  static typename V::F load(const Element* p) { return V::load_int8(p); }
};
template <typename V>
struct KvElements<V, KvFormat::kFloat32> {
  using Element = float;
  static typename V::F load(const Element* p) { return V::load(p); }
};

template <typename V, KvFormat kFormat>
struct AttendKernelOf {
  using F = typename V::F;
  using Elements = KvElements<V, kFormat>;
  using Element = typename Elements::Element;
  static constexpr int kLineElements = 64 / static_cast<int>(sizeof(Element));
  static constexpr bool kScaled = kFormat == KvFormat::kInt8;
  static constexpr int kScoreRows = V::kTileRows;
  static constexpr int kValueRows = V::kTileRows >= 8 ? 4 : V::kTileRows;
  static constexpr int kValueVectors = V::kTileRows >= 8 ? 4 : 1;

  static void attend(const AttentionSegment& segment, const AttentionState& out) {
    for (std::int32_t row = 0; row < segment.rows; row += kScoreRows) {
      score_rows<kScoreRows>(segment, row, segment.rows - row);
    }
    for (std::int32_t row = 0; row < segment.rows; ++row) {
      float* scores = segment.scores + row * kSegmentKeys;
      if (segment.softcap > 0.0F) cap(segment, row, scores);
      softmax(scores, segment.key_begins[row], segment.key_ends[row], out.maximum[row], out.sum[row]);
      if constexpr (kScaled) scale_weights(segment, row, scores);
    }
    for (std::int32_t row = 0; row < segment.rows; row += kValueRows) {
      weigh_rows<kValueRows>(segment, row, segment.rows - row, out.values);
    }
  }

 private:
  static std::int32_t pages_of(std::int32_t keys) { return (keys + kPageTokens - 1) / kPageTokens; }
  static const Element* elements(const std::byte* block) { return reinterpret_cast<const Element*>(block); }
  static const float* key_scales(const std::byte* block, std::int32_t head_dim) {
    return reinterpret_cast<const float*>(elements(block) + 2 * kPageTokens * head_dim);
  }

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
    const std::int32_t num_pages = pages_of(segment.key_ends[first_row + kRows - 1]);
    for (std::int32_t page = segment.key_begins[first_row] / kPageTokens; page < num_pages; ++page) {
      for (int key = 0; key < kPageTokens; key += kVectors * kLanes) {
        const Element* keys = elements(segment.blocks[page]) + key;
        const Element* next = elements(segment.blocks[page + 1]);
        F sums[kRows][kVectors];
        MLXD_UNROLL
        for (int r = 0; r < kRows; ++r) {
          MLXD_UNROLL
          for (int v = 0; v < kVectors; ++v) sums[r][v] = V::zero();
        }
        for (std::int32_t d = 0; d < head_dim; ++d) {
          if (key == 0) __builtin_prefetch(next + d * kPageTokens);
          F k[kVectors];
          MLXD_UNROLL
          for (int v = 0; v < kVectors; ++v) k[v] = Elements::load(keys + d * kPageTokens + v * kLanes);
          MLXD_UNROLL
          for (int r = 0; r < kRows; ++r) {
            const F q = V::broadcast(queries[r * head_dim + d]);
            MLXD_UNROLL
            for (int v = 0; v < kVectors; ++v) sums[r][v] = V::fma(q, k[v], sums[r][v]);
          }
        }
        if constexpr (kScaled) {
          const float* scales = key_scales(segment.blocks[page], head_dim) + key;
          MLXD_UNROLL
          for (int v = 0; v < kVectors; ++v) {
            const F factors = V::load(scales + v * kLanes);
            MLXD_UNROLL
            for (int r = 0; r < kRows; ++r) sums[r][v] = V::mul(sums[r][v], factors);
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

  static void cap(const AttentionSegment& segment, std::int32_t row, float* scores) {
    for (std::int32_t i = segment.key_begins[row] / kLanes * kLanes; i < segment.key_ends[row]; i += kLanes)
      V::store(scores + i, capped<V>(V::load(scores + i), segment.softcap));
  }

  /// Scores [begin, end) become exponentials, zero out to whole vectors.
  static void softmax(float* scores, std::int32_t begin, std::int32_t end, float& maximum, float& sum) {
    const std::int32_t first = begin / kLanes * kLanes;
    const std::int32_t whole = end / kLanes * kLanes;
    const float lowest = -__builtin_inff();
    for (std::int32_t i = first; i < begin; ++i) scores[i] = lowest;
    F largest = V::broadcast(lowest);
    for (std::int32_t i = first; i < whole; i += kLanes) largest = V::max(V::load(scores + i), largest);
    if (whole < end) {
      // Scores past the last key are of whatever the page held before.
      const F tail = V::first_lanes(V::load(scores + whole), end - whole, lowest);
      V::store(scores + whole, tail);
      largest = V::max(tail, largest);
    }
    maximum = V::reduce_max(largest);
    const F offset = V::broadcast(maximum);
    F total = V::zero();
    for (std::int32_t i = first; i < end; i += kLanes) {
      const F weight = exp<V>(V::sub(V::load(scores + i), offset));
      V::store(scores + i, weight);
      total = V::add(total, weight);
    }
    sum = V::reduce_add(total);
  }

  /// The row's weights times the scales of their values.
  static void scale_weights(const AttentionSegment& segment, std::int32_t row, float* weights) {
    const std::int32_t end = segment.key_ends[row];
    for (std::int32_t i = segment.key_begins[row] / kLanes * kLanes; i < end; i += kLanes) {
      const float* scales = key_scales(segment.blocks[i / kPageTokens], segment.head_dim) + kPageTokens;
      V::store(weights + i, V::mul(V::load(weights + i), V::load(scales + i % kPageTokens)));
    }
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
    // Begins and ends of rows ascend: all share the keys from the last one's begin to the first one's end.
    // Keys that only some rows see are never multiplied by zero, they may hold anything.
    const std::int32_t shared_begin = segment.key_begins[first_row + kRows - 1];
    const std::int32_t first_end = segment.key_ends[first_row];
    const std::int32_t shared_end = first_end > shared_begin ? first_end : shared_begin;
    MLXD_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const std::int32_t end = segment.key_ends[first_row + r];
      weigh_keys<kVectors>(segment, weights + r * kSegmentKeys, first_dim, segment.key_begins[first_row + r],
                           end < shared_begin ? end : shared_begin, sums[r]);
    }
    for (std::int32_t begin = shared_begin; begin < shared_end;) {
      const std::int32_t page = begin / kPageTokens;
      const std::int32_t page_end = (page + 1) * kPageTokens;
      const std::int32_t end = shared_end < page_end ? shared_end : page_end;
      const std::ptrdiff_t offset = (kPageTokens + begin % kPageTokens) * head_dim + first_dim;
      const Element* rows = elements(segment.blocks[page]) + offset;
      const Element* next = elements(segment.blocks[page + 1]) + offset;
      for (std::int32_t key = 0; key < end - begin; ++key) {
        F value[kVectors];
        MLXD_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          if (v * kLanes % kLineElements == 0) __builtin_prefetch(next + key * head_dim + v * kLanes);
          value[v] = Elements::load(rows + key * head_dim + v * kLanes);
        }
        MLXD_UNROLL
        for (int r = 0; r < kRows; ++r) {
          const F weight = V::broadcast(weights[r * kSegmentKeys + begin + key]);
          MLXD_UNROLL
          for (int v = 0; v < kVectors; ++v) sums[r][v] = V::fma(weight, value[v], sums[r][v]);
        }
      }
      begin = end;
    }
    MLXD_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const std::int32_t begin = segment.key_begins[first_row + r];
      weigh_keys<kVectors>(segment, weights + r * kSegmentKeys, first_dim,
                           begin > shared_end ? begin : shared_end, segment.key_ends[first_row + r], sums[r]);
      MLXD_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        V::store(values + (first_row + r) * head_dim + first_dim + v * kLanes, sums[r][v]);
      }
    }
  }

  /// sums += the values of some keys, for one row.
  template <int kVectors>
  [[gnu::always_inline]] static inline void weigh_keys(const AttentionSegment& segment, const float* weights,
                                                       std::int32_t first_dim, std::int32_t begin,
                                                       std::int32_t end, F* sums) {
    for (std::int32_t key = begin; key < end; ++key) {
      const std::int32_t row = (kPageTokens + key % kPageTokens) * segment.head_dim + first_dim;
      const Element* value = elements(segment.blocks[key / kPageTokens]) + row;
      const F weight = V::broadcast(weights[key]);
      MLXD_UNROLL
      for (int v = 0; v < kVectors; ++v)
        sums[v] = V::fma(weight, Elements::load(value + v * kLanes), sums[v]);
    }
  }
};

template <typename V>
struct AttentionKernelsOf {
  using F = typename V::F;

  static void attend(const AttentionSegment& segment, const AttentionState& out) {
    switch (segment.format) {
      case KvFormat::kFloat16:
        return AttendKernelOf<V, KvFormat::kFloat16>::attend(segment, out);
      case KvFormat::kBFloat16:
        return AttendKernelOf<V, KvFormat::kBFloat16>::attend(segment, out);
      case KvFormat::kInt8:
        return AttendKernelOf<V, KvFormat::kInt8>::attend(segment, out);
      case KvFormat::kFloat32:
        return AttendKernelOf<V, KvFormat::kFloat32>::attend(segment, out);
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
};

}  // namespace mlxd
