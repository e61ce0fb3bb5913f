// Quantized products over 256-bit vectors, for the sources that include this with their own way to sum
// products of bytes (`Dots`): the block's 16 rows as two halves of 8 lanes, up to 4 activation rows at a time
// (16 registers hold no more). All in an unnamed namespace, see CMakeLists.txt.
//
// A `Dots` has, for codes of at most 8 bits and the steps [kFirst, kLast) of an activation group:
//   template <Codes kCodes, int kFirst, int kLast, int kRows>
//   static void add(const std::byte* codes, const int* q, int tile_rows, __m256i (&dots)[kRows]);
#pragma once

#include <immintrin.h>

#include "backends/cpu/linear_affine_plan.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kLanes = 8;
constexpr int kLine = 64;
constexpr int kPrefetchBytes = 4608;
constexpr int kRowsAtOnce = 4;
constexpr int kPassFeatures = 1024;  // of the input, while groups of rows take turns
constexpr int kPanelBlocks = 2;

inline __m256 load_scalars(const std::byte* p, ScalarType type, int lane) {
  if (type == ScalarType::kF32) return _mm256_load_ps(reinterpret_cast<const float*>(p) + lane);
  const __m128i bits = _mm_load_si128(reinterpret_cast<const __m128i*>(p + 2 * lane));
  if (type == ScalarType::kF16) return _mm256_cvtph_ps(bits);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

/// Half of 8 scales of one byte.
inline __m256 load_half_scales(const std::byte* p, ScalarType type, int lane) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + lane));
  if (type == ScalarType::kE8M0) {
    const __m256i exponents = _mm256_slli_epi32(_mm256_cvtepu8_epi32(bytes), 23);
    const __m256i smallest = _mm256_set1_epi32(0x00400000);  // 2^-127, of exponent 0
    return _mm256_mul_ps(_mm256_castsi256_ps(_mm256_max_epu32(exponents, smallest)), _mm256_set1_ps(0.5F));
  }
  // Sign, exponent and mantissa of e4m3 where a half has them, which makes the number 2^8 times too small.
  const __m128i words = _mm_slli_epi16(_mm_cvtepi8_epi16(bytes), 7);
  const __m128i halves = _mm_and_si128(words, _mm_set1_epi16(static_cast<short>(0xBF80)));
  return _mm256_mul_ps(_mm256_cvtph_ps(halves), _mm256_set1_ps(128.0F));
}

/// Sums the chain up to here now. Left alone, GCC makes a tree of it, or puts it off, and keeps all of its
/// terms in registers that it does not have.
inline __attribute__((always_inline)) void settle(__m256i& sum) { __asm__("" : "+x"(sum)); }

/// Lanes below `count`.
inline __m256i lane_mask(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/// Bytes of a plane's step: bits [position, …) of each byte to [to, …).
inline __attribute__((always_inline)) __m256i shifted(__m256i line, int position, int to) {
  if (position > to) return _mm256_srli_epi16(line, position - to);
  if (position < to) return _mm256_slli_epi16(line, to - position);
  return line;
}

/// The four codes of each of 8 rows that meet step `step` of an activation group, unsigned; e2m1 as twice the
/// number plus kE2M1Offset.
template <Codes kCodes>
inline __attribute__((always_inline)) __m256i load_step(const std::byte* codes, int step) {
  constexpr int kBits = bits_of(kCodes);
  const auto load = [codes](int line) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(codes + line * kLine));
  };
  if constexpr (kBits == 8) {
    return load(step);
  } else {
    constexpr int kLow = kBits >= 4 ? 4 : 2;
    constexpr int kHigh = kBits - kLow;
    constexpr int kLowSteps = 8 / kLow;  // in a line
    const __m256i low = _mm256_and_si256(shifted(load(step / kLowSteps), step % kLowSteps * kLow, 0),
                                         _mm256_set1_epi8(static_cast<char>((1 << kLow) - 1)));
    if constexpr (kCodes == Codes::kE2M1) {
      const __m128i numbers = _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
      return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(numbers), low);
    } else if constexpr (kHigh == 0) {
      return low;
    } else {
      constexpr int kHighSteps = 8 / kHigh;
      const __m256i high = shifted(load(kLow + step / kHighSteps), step % kHighSteps * kHigh, kLow);
      const __m256i mask = _mm256_set1_epi8(static_cast<char>(((1 << kHigh) - 1) << kLow));
      return _mm256_or_si256(low, _mm256_and_si256(high, mask));
    }
  }
}

/// One block × up to 4 rows of a tile over consecutive units.
struct Pass {
  const std::byte* weights;     // of the block, at the pass's first unit
  const std::byte* scales;      // the same; e2m1 only
  const std::byte* tile;        // at the pass's first unit
  const std::int32_t* offsets;  // the same; e2m1 only
  int tile_rows;
  int first_row;  // in the tile
  int num_units;
  int parts;   // activation groups of a weight group
  int planes;  // records of an activation group
  ScalarType scale_type;
  bool first, last;  // y starts from 0; y is complete and takes the layer's bias
  const float* bias;
  float* y;  // first_row's
  std::ptrdiff_t y_stride;
  int lanes;  // rows of the block that exist
};

inline __m256 broadcast(const std::byte* floats, int index) {
  return _mm256_broadcast_ss(reinterpret_cast<const float*>(floats) + index);
}

/// One weight group against 8 of the block's rows: y += scale * Σ a·dot + bias * Σ a·sum. kParts: activation
/// groups of a weight group if each has one record, else 0.
template <typename Dots, Codes kCodes, int kParts, int kRows>
inline __attribute__((always_inline)) void add_group(const Pass& pass, const std::byte* codes,
                                                     const std::byte* tile, __m256 scale, __m256 bias,
                                                     __m256 (&y)[kRows]) {
  const int planes = kParts > 0 ? 1 : pass.planes;
  const int records = kParts > 0 ? kParts : pass.parts * planes;
  const int record_bytes = kRecordBytesPerRow * pass.tile_rows;
  const std::byte* scales = tile + 32 * pass.tile_rows + 4 * pass.first_row;
  const std::byte* scaled_sums = scales + 4 * pass.tile_rows;
  __m256 t[kRows];
#pragma GCC unroll 4
  for (int i = 0; i < records; ++i) {
    const int part = kParts > 0 ? i : i / planes;
    __m256i dots[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) dots[r] = _mm256_setzero_si256();
    const int* q = reinterpret_cast<const int*>(tile + i * record_bytes) + pass.first_row;
    Dots::template add<kCodes, 0, kSteps, kRows>(codes + part * bytes_of(kCodes), q, pass.tile_rows, dots);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m256 dot = _mm256_cvtepi32_ps(dots[r]);
      const __m256 a = broadcast(scales + i * record_bytes, r);
      t[r] = i == 0 ? _mm256_mul_ps(dot, a) : _mm256_fmadd_ps(dot, a, t[r]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    __m256 c = broadcast(scaled_sums, r);
#pragma GCC unroll 4
    for (int i = 1; i < records; ++i) c = _mm256_add_ps(c, broadcast(scaled_sums + i * record_bytes, r));
    y[r] = _mm256_fmadd_ps(scale, t[r], y[r]);
    y[r] = _mm256_fmadd_ps(bias, c, y[r]);
  }
}

/// Steps [kFirst, kLast) of one activation group, a whole weight group, against 8 of the block's rows:
/// y += scale * Σ a·dot.
template <typename Dots, int kFirst, int kLast, int kRows>
inline __attribute__((always_inline)) void add_e2m1_group(const Pass& pass, const std::byte* codes,
                                                          const std::byte* tile, const std::int32_t* offsets,
                                                          __m256 scale, __m256 (&y)[kRows]) {
  constexpr int kOffsets = kLast - kFirst == kSteps ? 0 : kFirst == 0 ? 1 : 2;  // which of the three
  const int record_bytes = kRecordBytesPerRow * pass.tile_rows;
  const std::byte* scales = tile + 32 * pass.tile_rows + 4 * pass.first_row;
  const std::int32_t* starts = offsets + kOffsets * pass.tile_rows + pass.first_row;
  __m256 t[kRows];
  for (int plane = 0; plane < pass.planes; ++plane) {
    __m256i dots[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) dots[r] = _mm256_set1_epi32(starts[3 * plane * pass.tile_rows + r]);
    const int* q = reinterpret_cast<const int*>(tile + plane * record_bytes) + pass.first_row;
    Dots::template add<Codes::kE2M1, kFirst, kLast, kRows>(codes, q, pass.tile_rows, dots);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m256 dot = _mm256_cvtepi32_ps(dots[r]);
      const __m256 a = broadcast(scales + plane * record_bytes, r);
      t[r] = plane == 0 ? _mm256_mul_ps(dot, a) : _mm256_fmadd_ps(dot, a, t[r]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) y[r] = _mm256_fmadd_ps(scale, t[r], y[r]);
}

template <int kRows>
inline __attribute__((always_inline)) void load_half(const Pass& pass, int half, __m256 (&y)[kRows]) {
  const __m256i mask = lane_mask(pass.lanes - half * kLanes);
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    y[r] = pass.first ? _mm256_setzero_ps()
                      : _mm256_maskload_ps(pass.y + r * pass.y_stride + half * kLanes, mask);
  }
}

template <int kRows>
inline __attribute__((always_inline)) void store_half(const Pass& pass, int half, __m256 (&y)[kRows]) {
  const __m256i mask = lane_mask(pass.lanes - half * kLanes);
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    if (pass.last && pass.bias != nullptr) {
      y[r] = _mm256_add_ps(y[r], _mm256_loadu_ps(pass.bias + half * kLanes));
    }
    _mm256_maskstore_ps(pass.y + r * pass.y_stride + half * kLanes, mask, y[r]);
  }
}

template <typename Dots, Codes kCodes, int kParts, int kRows>
void product(const Pass& pass) {
  const int parts = kParts > 0 ? kParts : pass.parts;
  const int code_bytes = parts * bytes_of(kCodes);
  const int scale_bytes = pass.scale_type == ScalarType::kF32 ? 64 : 32;
  const int tile_bytes = (kParts > 0 ? kParts : parts * pass.planes) * kRecordBytesPerRow * pass.tile_rows;
  const std::byte* weights = pass.weights;
  const std::byte* tile = pass.tile;
  __m256 y0[kRows];
  __m256 y1[kRows];
  load_half<kRows>(pass, 0, y0);
  load_half<kRows>(pass, 1, y1);
  for (int unit = 0; unit < pass.num_units; ++unit) {
    const std::byte* scales = weights + code_bytes;
    const std::byte* biases = scales + scale_bytes;
    for (int line = 0; line <= code_bytes; line += kLine) {
      _mm_prefetch(weights + kPrefetchBytes + line, _MM_HINT_T0);
    }
    add_group<Dots, kCodes, kParts, kRows>(pass, weights, tile, load_scalars(scales, pass.scale_type, 0),
                                           load_scalars(biases, pass.scale_type, 0), y0);
    add_group<Dots, kCodes, kParts, kRows>(pass, weights + kLine / 2, tile,
                                           load_scalars(scales, pass.scale_type, kLanes),
                                           load_scalars(biases, pass.scale_type, kLanes), y1);
    tile += tile_bytes;
    weights = biases + scale_bytes;
  }
  store_half<kRows>(pass, 0, y0);
  store_half<kRows>(pass, 1, y1);
}

/// One activation group, kHalves weight groups, against 8 of the block's rows.
template <typename Dots, int kHalves, int kRows>
inline __attribute__((always_inline)) void add_e2m1_unit(const Pass& pass, const std::byte* codes,
                                                         const std::byte* scales, int lane,
                                                         const std::byte* tile, const std::int32_t* offsets,
                                                         __m256 (&y)[kRows]) {
  const __m256 scale = load_half_scales(scales, pass.scale_type, lane);
  if constexpr (kHalves == 1) {
    add_e2m1_group<Dots, 0, kSteps, kRows>(pass, codes, tile, offsets, scale, y);
  } else {
    add_e2m1_group<Dots, 0, kSteps / 2, kRows>(pass, codes, tile, offsets, scale, y);
    const __m256 second_scale = load_half_scales(scales + kBlock, pass.scale_type, lane);
    add_e2m1_group<Dots, kSteps / 2, kSteps, kRows>(pass, codes, tile, offsets, second_scale, y);
  }
}

template <typename Dots, int kHalves, int kRows>
void product_e2m1(const Pass& pass) {
  const std::byte* weights = pass.weights;
  const std::byte* scales = pass.scales;
  const std::byte* tile = pass.tile;
  const std::int32_t* offsets = pass.offsets;
  __m256 y0[kRows];
  __m256 y1[kRows];
  load_half<kRows>(pass, 0, y0);
  load_half<kRows>(pass, 1, y1);
  for (int unit = 0; unit < pass.num_units; ++unit) {
    for (int line = 0; line < bytes_of(Codes::kE2M1); line += kLine) {
      _mm_prefetch(weights + kPrefetchBytes + line, _MM_HINT_T0);
    }
    _mm_prefetch(scales + kPrefetchBytes * kHalves / kBlock, _MM_HINT_T0);
    add_e2m1_unit<Dots, kHalves, kRows>(pass, weights, scales, 0, tile, offsets, y0);
    add_e2m1_unit<Dots, kHalves, kRows>(pass, weights + kLine / 2, scales, kLanes, tile, offsets, y1);
    weights += bytes_of(Codes::kE2M1);
    scales += kHalves * kBlock;
    tile += pass.planes * kRecordBytesPerRow * pass.tile_rows;
    offsets += 3 * pass.planes * pass.tile_rows;
  }
  store_half<kRows>(pass, 0, y0);
  store_half<kRows>(pass, 1, y1);
}

using Product = void (*)(const Pass&);

/// Products of one format by number of activation rows, 1 … 4.
struct Products {
  Product of_rows[kRowsAtOnce + 1];
};

template <typename Dots, Codes kCodes, int kParts>
constexpr Products kProducts = {{nullptr, product<Dots, kCodes, kParts, 1>, product<Dots, kCodes, kParts, 2>,
                                 product<Dots, kCodes, kParts, 3>, product<Dots, kCodes, kParts, 4>}};
template <typename Dots, int kHalves>
constexpr Products kE2M1Products = {{nullptr, product_e2m1<Dots, kHalves, 1>, product_e2m1<Dots, kHalves, 2>,
                                     product_e2m1<Dots, kHalves, 3>, product_e2m1<Dots, kHalves, 4>}};

template <typename Dots>
struct ChooseProducts {
  template <Codes kCodes, int kParts>
  const Products* affine() const {
    return &kProducts<Dots, kCodes, kParts>;
  }
  template <int kHalves>
  const Products* e2m1() const {
    return &kE2M1Products<Dots, kHalves>;
  }
};

template <typename Dots>
void run(const AffineTask& task) {
  const Products& products = *choose_kernels(task, ChooseProducts<Dots>());
  const AffinePlan plan = plan_of(task);
  Pass pass = {};
  pass.parts = plan.unit_features / 32;
  pass.planes = task.planes;
  pass.scale_type = task.scale_type;
  pass.y_stride = task.y_stride;
  const int pass_units = task.rows <= kRowsAtOnce ? plan.num_units : kPassFeatures / plan.unit_features;
  const int panel = task.rows <= 2 * kTileRows ? 1 : kPanelBlocks;
  for (int first_block = 0; first_block < task.num_blocks; first_block += panel) {
    const int last_block = at_most(first_block + panel, task.num_blocks);
    for (int unit = 0; unit < plan.num_units; unit += pass_units) {
      pass.num_units = at_most(plan.num_units - unit, pass_units);
      pass.first = unit == 0;
      pass.last = unit + pass.num_units == plan.num_units;
      for (int row = 0; row < task.rows; row += kRowsAtOnce) {
        const int tile_row = row / kTileRows * kTileRows;
        pass.tile_rows = at_most(task.rows - tile_row, kTileRows);
        pass.first_row = row - tile_row;
        const std::ptrdiff_t cell = (static_cast<std::ptrdiff_t>(tile_row) * plan.num_units +
                                     static_cast<std::ptrdiff_t>(unit) * pass.tile_rows) *
                                    plan.unit_records;
        pass.tile = task.tiles + cell * kRecordBytesPerRow;
        pass.offsets = task.offsets == nullptr ? nullptr : task.offsets + 3 * cell;
        const Product product = products.of_rows[at_most(pass.tile_rows - pass.first_row, kRowsAtOnce)];
        for (int block = first_block; block < last_block; ++block) {
          const std::byte* weights = task.weights + block * plan.block_bytes;
          pass.weights = weights + unit * plan.unit_bytes;
          pass.scales = weights + plan.scales_start + unit * plan.unit_scales;
          pass.bias = task.bias == nullptr ? nullptr : task.bias + block * kBlock;
          pass.y = task.y + row * task.y_stride + block * kBlock;
          pass.lanes = block + 1 == task.num_blocks ? task.last_block_rows : kBlock;
          product(pass);
        }
      }
    }
  }
}

}  // namespace
}  // namespace mlxd
