// The attention kernels of vector_kernels.h over a vector type V. Every query row goes through the same
// sequence of operations whatever rows it is tiled with: scores dimension by dimension, the segment's
// maximum, sums of exponentials in 16 lanes, values key by key. Pages are read in whatever format they have:
// an int8 key's scale multiplies its score, an int8 value's scale its weight.
#pragma once

#include <type_traits>

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
  static constexpr bool kUnpacks = kFormat != KvFormat::kFloat32;
  // From so many rows on, a page is unpacked to fp32 once instead of once for each tile.
  static constexpr std::int32_t kUnpackedRows = 2 * V::kTileRows;

  static void attend(const AttentionSegment& segment, const AttentionState& out) {
    const bool unpack = kUnpacks && segment.rows >= kUnpackedRows;
    const PageRange pages = pages_of(segment);
    for (std::int32_t page = pages.begin; page < pages.end; ++page) score_page(segment, page, unpack);
    for (std::int32_t row = 0; row < segment.rows; ++row) {
      float* scores = segment.scores + row * kSegmentKeys;
      if (segment.softcap > 0.0F) cap(segment, row, scores);
      softmax(scores, segment.key_begins[row], segment.key_ends[row], out.maximum[row], out.sum[row]);
      if constexpr (kScaled) scale_weights(segment, row, scores);
    }
    for (std::int32_t i = 0; i < segment.rows * segment.head_dim; i += kLanes) {
      V::store(out.values + i, V::zero());
    }
    for (std::int32_t page = pages.begin; page < pages.end; ++page) {
      weigh_page(segment, page, unpack, out.values);
    }
  }

 private:
  struct PageRange {
    std::int32_t begin, end;
  };
  /// Keys of the segment.
  struct KeyRange {
    std::int32_t begin, end;
  };
  /// The elements of fp32 pages, unpacked ones too.
  using Unpacked = KvElements<V, KvFormat::kFloat32>;

  static std::int32_t larger(std::int32_t a, std::int32_t b) { return a > b ? a : b; }
  static std::int32_t smaller(std::int32_t a, std::int32_t b) { return a < b ? a : b; }

  static const Element* elements(const std::byte* block) { return reinterpret_cast<const Element*>(block); }
  static const float* key_scales(const std::byte* block, std::int32_t head_dim) {
    return reinterpret_cast<const float*>(elements(block) + 2 * kPageTokens * head_dim);
  }
  /// Begins and ends of rows ascend.
  static PageRange pages_of(const AttentionSegment& segment) {
    return {segment.key_begins[0] / kPageTokens,
            (segment.key_ends[segment.rows - 1] + kPageTokens - 1) / kPageTokens};
  }

  /// count elements of a page in fp32; fetches as many of the next page.
  static const float* unpack_elements(const Element* from, const Element* next, std::int32_t count,
                                      float* to) {
    for (std::int32_t i = 0; i < count; i += kLineElements) {
      __builtin_prefetch(next + i);
      MLXD_UNROLL
      for (int v = 0; v < kLineElements; v += kLanes) V::store(to + i + v, Elements::load(from + i + v));
    }
    return to;
  }

  static void score_page(const AttentionSegment& segment, std::int32_t page, bool unpack) {
    const Element* keys = elements(segment.blocks[page]);
    const Element* next = elements(segment.blocks[page + 1]);
    if (unpack) {
      const float* all = unpack_elements(keys, next, kPageTokens * segment.head_dim, segment.unpacked);
      score_page_rows<Unpacked>(segment, page, all, all);
    } else {
      score_page_rows<Elements>(segment, page, keys, next);
    }
  }

  template <typename Source>
  static void score_page_rows(const AttentionSegment& segment, std::int32_t page,
                              const typename Source::Element* keys, const typename Source::Element* next) {
    const KeyRange all{page * kPageTokens, (page + 1) * kPageTokens};
    std::int32_t row = 0;
    while (row < segment.rows && segment.key_ends[row] <= all.begin) ++row;
    std::int32_t end = row;
    while (end < segment.rows && segment.key_begins[end] < all.end) ++end;
    for (; row < end; row += V::kTileRows) {
      score_rows<Source, V::kTileRows>(segment, page, row, end - row, keys, next);
    }
  }

  /// The largest tile of at most kRows that `rows` fill.
  template <typename Source, int kRows>
  static void score_rows(const AttentionSegment& segment, std::int32_t page, std::int32_t row,
                         std::int32_t rows, const typename Source::Element* keys,
                         const typename Source::Element* next) {
    if constexpr (kRows > 1) {
      if (rows < kRows) return score_rows<Source, kRows - 1>(segment, page, row, rows, keys, next);
    }
    score_tile<Source, kRows>(segment, page, row, keys, next);
  }

  template <typename Source, int kRows>
  static void score_tile(const AttentionSegment& segment, std::int32_t page, std::int32_t first_row,
                         const typename Source::Element* page_keys, const typename Source::Element* next) {
    constexpr int kVectors = V::kTileVectors;
    const std::int32_t head_dim = segment.head_dim;
    const float* queries = segment.queries + first_row * head_dim;
    float* scores = segment.scores + first_row * kSegmentKeys + page * kPageTokens;
    for (int key = 0; key < kPageTokens; key += kVectors * kLanes) {
      const auto* keys = page_keys + key;
      F sums[kRows][kVectors];
      MLXD_UNROLL
      for (int r = 0; r < kRows; ++r) {
        MLXD_UNROLL
        for (int v = 0; v < kVectors; ++v) sums[r][v] = V::zero();
      }
      for (std::int32_t d = 0; d < head_dim; ++d) {
        if constexpr (std::is_same_v<Source, Elements>) {
          if (key == 0) __builtin_prefetch(next + d * kPageTokens);
        }
        F k[kVectors];
        MLXD_UNROLL
        for (int v = 0; v < kVectors; ++v) k[v] = Source::load(keys + d * kPageTokens + v * kLanes);
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
          V::store(scores + r * kSegmentKeys + key + v * kLanes, sums[r][v]);
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

  static void weigh_page(const AttentionSegment& segment, std::int32_t page, bool unpack, float* out) {
    const std::int32_t count = kPageTokens * segment.head_dim;
    const Element* values = elements(segment.blocks[page]) + count;
    const Element* next = elements(segment.blocks[page + 1]) + count;
    if (unpack) {
      const float* all = unpack_elements(values, next, count, segment.unpacked);
      weigh_page_rows<Unpacked>(segment, page, all, all, out);
    } else {
      weigh_page_rows<Elements>(segment, page, values, next, out);
    }
  }

  template <typename Source>
  static void weigh_page_rows(const AttentionSegment& segment, std::int32_t page,
                              const typename Source::Element* values, const typename Source::Element* next,
                              float* out) {
    constexpr int kRows = V::kValueTileRows;
    constexpr int kVectors = V::kValueTileVectors;
    const KeyRange all{page * kPageTokens, (page + 1) * kPageTokens};
    for (std::int32_t row = 0; row < segment.rows; row += kRows) {
      const std::int32_t rows = smaller(kRows, segment.rows - row);
      if (segment.key_ends[row + rows - 1] <= all.begin || segment.key_begins[row] >= all.end) continue;
      const bool whole = rows == kRows && segment.key_begins[row + rows - 1] <= all.begin &&
                         segment.key_ends[row] >= all.end;
      for (std::int32_t d = 0; d < segment.head_dim;) {
        const bool wide = d + kVectors * kLanes <= segment.head_dim;
        if (wide && whole) {
          weigh_whole_tile<Source, kRows, kVectors>(segment, page, row, d, values, next, out);
        } else if (wide) {
          weigh_rows<Source, kRows, kVectors>(segment, page, row, rows, d, values, next, out);
        } else {
          weigh_rows<Source, kRows, 1>(segment, page, row, rows, d, values, next, out);
        }
        d += wide ? kVectors * kLanes : kLanes;
      }
    }
  }

  /// As weigh_tile, for rows that see all keys of the page.
  template <typename Source, int kRows, int kVectors>
  static void weigh_whole_tile(const AttentionSegment& segment, std::int32_t page, std::int32_t first_row,
                               std::int32_t first_dim, const typename Source::Element* values,
                               const typename Source::Element* next, float* out) {
    const std::int32_t head_dim = segment.head_dim;
    const float* weights = segment.scores + first_row * kSegmentKeys + page * kPageTokens;
    float* to = out + first_row * head_dim + first_dim;
    F sums[kRows][kVectors];
    load_sums<kRows, kVectors>(to, head_dim, sums);
    weigh_shared<Source, kRows, kVectors>(weights, head_dim, values + first_dim, next + first_dim,
                                          kPageTokens, sums);
    store_sums<kRows, kVectors>(sums, to, head_dim);
  }

  template <typename Source, int kRows, int kVectors>
  static void weigh_rows(const AttentionSegment& segment, std::int32_t page, std::int32_t row,
                         std::int32_t rows, std::int32_t first_dim, const typename Source::Element* values,
                         const typename Source::Element* next, float* out) {
    if constexpr (kRows > 1) {
      if (rows < kRows) {
        return weigh_rows<Source, kRows - 1, kVectors>(segment, page, row, rows, first_dim, values, next,
                                                       out);
      }
    }
    weigh_tile<Source, kRows, kVectors>(segment, page, row, first_dim, values, next, out);
  }

  /// out += the weighted values of a page's keys, for some rows and dimensions.
  template <typename Source, int kRows, int kVectors>
  static void weigh_tile(const AttentionSegment& segment, std::int32_t page, std::int32_t first_row,
                         std::int32_t first_dim, const typename Source::Element* values,
                         const typename Source::Element* next, float* out) {
    const std::int32_t head_dim = segment.head_dim;
    const KeyRange all{page * kPageTokens, (page + 1) * kPageTokens};
    const std::int32_t* begins = segment.key_begins + first_row;
    const std::int32_t* ends = segment.key_ends + first_row;
    const float* weights = segment.scores + first_row * kSegmentKeys;
    float* to = out + first_row * head_dim + first_dim;
    F sums[kRows][kVectors];
    load_sums<kRows, kVectors>(to, head_dim, sums);
    // All rows share the keys from the last one's begin to the first one's end. Keys that only some rows see
    // are never multiplied by zero, they may hold anything.
    const std::int32_t shared_begin = larger(all.begin, smaller(begins[kRows - 1], all.end));
    const std::int32_t shared_end = larger(shared_begin, smaller(ends[0], all.end));
    MLXD_UNROLL
    for (int r = 0; r < kRows; ++r) {
      weigh_keys<Source, kVectors>(weights + r * kSegmentKeys, head_dim, values + first_dim, all.begin,
                                   {larger(begins[r], all.begin), smaller(ends[r], shared_begin)}, sums[r]);
    }
    const std::int32_t offset = (shared_begin - all.begin) * head_dim + first_dim;
    weigh_shared<Source, kRows, kVectors>(weights + shared_begin, head_dim, values + offset, next + offset,
                                          shared_end - shared_begin, sums);
    MLXD_UNROLL
    for (int r = 0; r < kRows; ++r) {
      weigh_keys<Source, kVectors>(
          weights + r * kSegmentKeys, head_dim, values + first_dim, all.begin,
          {larger(larger(begins[r], all.begin), shared_end), smaller(ends[r], all.end)}, sums[r]);
    }
    store_sums<kRows, kVectors>(sums, to, head_dim);
  }

  template <int kRows, int kVectors>
  [[gnu::always_inline]] static inline void load_sums(const float* from, std::int32_t stride,
                                                      F (&sums)[kRows][kVectors]) {
    MLXD_UNROLL
    for (int r = 0; r < kRows; ++r) {
      MLXD_UNROLL
      for (int v = 0; v < kVectors; ++v) sums[r][v] = V::load(from + r * stride + v * kLanes);
    }
  }

  template <int kRows, int kVectors>
  [[gnu::always_inline]] static inline void store_sums(const F (&sums)[kRows][kVectors], float* to,
                                                       std::int32_t stride) {
    MLXD_UNROLL
    for (int r = 0; r < kRows; ++r) {
      MLXD_UNROLL
      for (int v = 0; v < kVectors; ++v) V::store(to + r * stride + v * kLanes, sums[r][v]);
    }
  }

  /// sums += the values of `count` keys that all rows see.
  template <typename Source, int kRows, int kVectors>
  [[gnu::always_inline]] static inline void weigh_shared(const float* weights, std::int32_t head_dim,
                                                         const typename Source::Element* values,
                                                         const typename Source::Element* next,
                                                         std::int32_t count, F (&sums)[kRows][kVectors]) {
    for (std::int32_t key = 0; key < count; ++key) {
      F value[kVectors];
      MLXD_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        if constexpr (std::is_same_v<Source, Elements>) {
          if (v * kLanes % kLineElements == 0) __builtin_prefetch(next + key * head_dim + v * kLanes);
        }
        value[v] = Source::load(values + key * head_dim + v * kLanes);
      }
      MLXD_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const F weight = V::broadcast(weights[r * kSegmentKeys + key]);
        MLXD_UNROLL
        for (int v = 0; v < kVectors; ++v) sums[r][v] = V::fma(weight, value[v], sums[r][v]);
      }
    }
  }

  /// sums += the values of some keys of the page that begins with `first_key`, for one row.
  template <typename Source, int kVectors>
  [[gnu::always_inline]] static inline void weigh_keys(const float* weights, std::int32_t head_dim,
                                                       const typename Source::Element* values,
                                                       std::int32_t first_key, KeyRange keys, F* sums) {
    for (std::int32_t key = keys.begin; key < keys.end; ++key) {
      const auto* value = values + (key - first_key) * head_dim;
      const F weight = V::broadcast(weights[key]);
      MLXD_UNROLL
      for (int v = 0; v < kVectors; ++v) sums[v] = V::fma(weight, Source::load(value + v * kLanes), sums[v]);
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
