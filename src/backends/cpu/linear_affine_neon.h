// Quantized products with NEON, for the sources that include this with their own way to sum products of bytes
// (`Dots`): the block's 16 rows as four vectors of 4 lanes, up to 4 activation rows at a time, each a lane of
// the vectors of activations. Vectors of 4 rows are read even where fewer exist: the activations' memory is
// padded, and what such lanes hold is not used. All in an unnamed namespace, see CMakeLists.txt.
//
// A `Dots` has, for the steps [kFirst, kLast) of an activation group and 4 rows of the block:
//   static constexpr bool kSignedOnly;  // codes of 8 bits are taken less 128; what that lacks is added
//   before template <Codes kCodes, int kFirst, int kLast, int kRows> static void add(const std::byte* codes,
//   const int* q, int tile_rows, int32x4_t (&dots)[kRows]);
#pragma once

#include <arm_neon.h>

#include "backends/cpu/linear_affine_plan.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kLanes = 4;
constexpr int kVectors = kBlock / kLanes;
constexpr int kLine = 64;
constexpr int kPrefetchBytes = 4608;
constexpr int kRowsAtOnce = 4;
constexpr int kPassFeatures = 1024;  // of the input, while groups of rows take turns
constexpr int kPanelBlocks = 2;
constexpr int kMaxRecords = 8;  // of a weight group: 4 activation groups of 2

inline float32x4_t load_scalars(const std::byte* p, ScalarType type, int lane) {
  if (type == ScalarType::kF32) return vld1q_f32(reinterpret_cast<const float*>(p) + lane);
  const uint16x4_t bits = vld1_u16(reinterpret_cast<const std::uint16_t*>(p) + lane);
  if (type == ScalarType::kF16) return vcvt_f32_f16(vreinterpret_f16_u16(bits));
  return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}

/// Half of 4 scales of one byte.
inline float32x4_t load_half_scales(const std::byte* p, ScalarType type, int lane) {
  std::uint32_t four = 0;
  __builtin_memcpy(&four, p + lane, sizeof four);
  const uint8x8_t bytes = vreinterpret_u8_u32(vdup_n_u32(four));
  if (type == ScalarType::kE8M0) {
    const uint32x4_t exponents = vshlq_n_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))), 23);
    const uint32x4_t smallest = vdupq_n_u32(0x00400000);  // 2^-127, of exponent 0
    return vmulq_n_f32(vreinterpretq_f32_u32(vmaxq_u32(exponents, smallest)), 0.5F);
  }
  // Sign, exponent and mantissa of e4m3 where a half has them, which makes the number 2^8 times too small.
  const int16x8_t words = vshlq_n_s16(vmovl_s8(vreinterpret_s8_u8(bytes)), 7);
  const uint16x8_t halves = vandq_u16(vreinterpretq_u16_s16(words), vdupq_n_u16(0xBF80));
  return vmulq_n_f32(vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(halves))), 128.0F);
}

inline int8x16_t load_activations(const int* q) { return vreinterpretq_s8_s32(vld1q_s32(q)); }

inline float32x4_t load_floats(const std::byte* p) { return vld1q_f32(reinterpret_cast<const float*>(p)); }

/// Bytes of a plane's step: bits [position, …) of each byte to [to, …).
inline __attribute__((always_inline)) uint8x16_t shifted(uint8x16_t line, int position, int to) {
  return vshlq_u8(line, vdupq_n_s8(static_cast<std::int8_t>(to - position)));
}

/// The four codes of each of 4 rows that meet step `step` of an activation group; e2m1 as twice the number,
/// signed.
template <Codes kCodes>
inline __attribute__((always_inline)) uint8x16_t load_step(const std::byte* codes, int step) {
  constexpr int kBits = bits_of(kCodes);
  const auto load = [codes](int line) {
    return vld1q_u8(reinterpret_cast<const std::uint8_t*>(codes + line * kLine));
  };
  if constexpr (kBits == 8) {
    return load(step);
  } else {
    constexpr int kLow = kBits >= 4 ? 4 : 2;
    constexpr int kHigh = kBits - kLow;
    constexpr int kLowSteps = 8 / kLow;  // in a line
    const uint8x16_t low =
        vandq_u8(shifted(load(step / kLowSteps), step % kLowSteps * kLow, 0), vdupq_n_u8((1U << kLow) - 1U));
    if constexpr (kCodes == Codes::kE2M1) {
      constexpr std::int8_t kNumbers[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
      return vreinterpretq_u8_s8(vqtbl1q_s8(vld1q_s8(kNumbers), low));
    } else if constexpr (kHigh == 0) {
      return low;
    } else {
      constexpr int kHighSteps = 8 / kHigh;
      const uint8x16_t high = shifted(load(kLow + step / kHighSteps), step % kHighSteps * kHigh, kLow);
      return vorrq_u8(low, vandq_u8(high, vdupq_n_u8(((1U << kHigh) - 1U) << kLow)));
    }
  }
}

/// accumulators[r] = fma(vectors[r] or `shared`, lane r of factors, accumulators[r]).
template <int kRows>
inline __attribute__((always_inline)) void fma_lanes(const float32x4_t (&vectors)[kRows], float32x4_t factors,
                                                     float32x4_t (&accumulators)[kRows]) {
  accumulators[0] = vfmaq_laneq_f32(accumulators[0], vectors[0], factors, 0);
  if constexpr (kRows > 1) accumulators[1] = vfmaq_laneq_f32(accumulators[1], vectors[1], factors, 1);
  if constexpr (kRows > 2) accumulators[2] = vfmaq_laneq_f32(accumulators[2], vectors[2], factors, 2);
  if constexpr (kRows > 3) accumulators[3] = vfmaq_laneq_f32(accumulators[3], vectors[3], factors, 3);
}

template <int kRows>
inline __attribute__((always_inline)) void multiply_lanes(const float32x4_t (&vectors)[kRows],
                                                          float32x4_t factors,
                                                          float32x4_t (&products)[kRows]) {
  products[0] = vmulq_laneq_f32(vectors[0], factors, 0);
  if constexpr (kRows > 1) products[1] = vmulq_laneq_f32(vectors[1], factors, 1);
  if constexpr (kRows > 2) products[2] = vmulq_laneq_f32(vectors[2], factors, 2);
  if constexpr (kRows > 3) products[3] = vmulq_laneq_f32(vectors[3], factors, 3);
}

/// 128 × the sum of the activations of each row: what codes taken as signed (less 128) fall short of.
inline __attribute__((always_inline)) int32x4_t shortfall(const int* q, int tile_rows) {
  int32x4_t sums = vdupq_n_s32(0);
  const int8x16_t ones = vdupq_n_s8(1);
  for (int step = 0; step < kSteps; ++step)
    sums = vdotq_s32(sums, load_activations(q + step * tile_rows), ones);
  return vshlq_n_s32(sums, 7);
}

/// dots[r] = lane r of `starts`.
template <int kRows>
inline __attribute__((always_inline)) void start_dots(int32x4_t starts, int32x4_t (&dots)[kRows]) {
  dots[0] = vdupq_laneq_s32(starts, 0);
  if constexpr (kRows > 1) dots[1] = vdupq_laneq_s32(starts, 1);
  if constexpr (kRows > 2) dots[2] = vdupq_laneq_s32(starts, 2);
  if constexpr (kRows > 3) dots[3] = vdupq_laneq_s32(starts, 3);
}

/// One block × up to 4 rows of a tile over consecutive units.
struct Pass {
  const std::byte* weights;  // of the block, at the pass's first unit
  const std::byte* scales;   // the same; e2m1 only
  const std::byte* tile;     // at the pass's first unit
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

/// t[r] = dots[r] · a of a group's first record, fma for the others.
template <int kRows>
inline __attribute__((always_inline)) void add_scaled(bool is_first, const int32x4_t (&dots)[kRows],
                                                      float32x4_t a, float32x4_t (&t)[kRows]) {
  float32x4_t values[kRows];
  for (int r = 0; r < kRows; ++r) values[r] = vcvtq_f32_s32(dots[r]);
  if (is_first) {
    multiply_lanes<kRows>(values, a, t);
  } else {
    fma_lanes<kRows>(values, a, t);
  }
}

/// One weight group against one vector of the block's rows. kParts: activation groups of a weight group if
/// each has one record, else 0. `starts`: of the dots of each record.
template <typename Dots, Codes kCodes, int kParts, int kRows>
inline __attribute__((always_inline)) void add_group(const Pass& pass, const std::byte* codes,
                                                     const std::byte* tile, const int32x4_t* starts,
                                                     float32x4_t scale, float32x4_t bias,
                                                     float32x4_t (&y)[kRows]) {
  const int planes = kParts > 0 ? 1 : pass.planes;
  const int records = kParts > 0 ? kParts : pass.parts * planes;
  const int record_bytes = kRecordBytesPerRow * pass.tile_rows;
  const std::byte* scales = tile + 32 * pass.tile_rows + 4 * pass.first_row;
  const std::byte* scaled_sums = scales + 4 * pass.tile_rows;
  float32x4_t t[kRows];
#pragma GCC unroll 4
  for (int i = 0; i < records; ++i) {
    const int part = kParts > 0 ? i : i / planes;
    int32x4_t dots[kRows];
    start_dots<kRows>(starts[i], dots);
    const int* q = reinterpret_cast<const int*>(tile + i * record_bytes) + pass.first_row;
    Dots::template add<kCodes, 0, kSteps, kRows>(codes + part * bytes_of(kCodes), q, pass.tile_rows, dots);
    add_scaled<kRows>(i == 0, dots, load_floats(scales + i * record_bytes), t);
  }
  float32x4_t c = load_floats(scaled_sums);
  for (int i = 1; i < records; ++i) c = vaddq_f32(c, load_floats(scaled_sums + i * record_bytes));
  float32x4_t biases[kRows];
  for (int r = 0; r < kRows; ++r) {
    y[r] = vfmaq_f32(y[r], scale, t[r]);
    biases[r] = bias;
  }
  fma_lanes<kRows>(biases, c, y);
}

/// Steps [kFirst, kLast) of one activation group, a whole weight group, against one vector of the block's
/// rows.
template <typename Dots, int kFirst, int kLast, int kRows>
inline __attribute__((always_inline)) void add_e2m1_group(const Pass& pass, const std::byte* codes,
                                                          const std::byte* tile, float32x4_t scale,
                                                          float32x4_t (&y)[kRows]) {
  const int record_bytes = kRecordBytesPerRow * pass.tile_rows;
  const std::byte* scales = tile + 32 * pass.tile_rows + 4 * pass.first_row;
  float32x4_t t[kRows];
  for (int plane = 0; plane < pass.planes; ++plane) {
    int32x4_t dots[kRows];
    for (int r = 0; r < kRows; ++r) dots[r] = vdupq_n_s32(0);
    const int* q = reinterpret_cast<const int*>(tile + plane * record_bytes) + pass.first_row;
    Dots::template add<Codes::kE2M1, kFirst, kLast, kRows>(codes, q, pass.tile_rows, dots);
    add_scaled<kRows>(plane == 0, dots, load_floats(scales + plane * record_bytes), t);
  }
  for (int r = 0; r < kRows; ++r) y[r] = vfmaq_f32(y[r], scale, t[r]);
}

inline void store_lanes(float* to, float32x4_t v, int count) {
  if (count >= kLanes) {
    vst1q_f32(to, v);
    return;
  }
  float values[kLanes];
  vst1q_f32(values, v);
  for (int i = 0; i < count; ++i) to[i] = values[i];
}

inline float32x4_t load_lanes(const float* from, int count) {
  if (count >= kLanes) return vld1q_f32(from);
  float values[kLanes] = {};
  for (int i = 0; i < count; ++i) values[i] = from[i];
  return vld1q_f32(values);
}

template <int kRows>
inline __attribute__((always_inline)) void begin(const Pass& pass, float32x4_t (&y)[kVectors][kRows]) {
  for (int v = 0; v < kVectors; ++v) {
    for (int r = 0; r < kRows; ++r) {
      y[v][r] = pass.first ? vdupq_n_f32(0)
                           : load_lanes(pass.y + r * pass.y_stride + v * kLanes, pass.lanes - v * kLanes);
    }
  }
}

template <int kRows>
inline __attribute__((always_inline)) void finish(const Pass& pass, float32x4_t (&y)[kVectors][kRows]) {
  for (int v = 0; v < kVectors; ++v) {
    for (int r = 0; r < kRows; ++r) {
      if (pass.last && pass.bias != nullptr) y[v][r] = vaddq_f32(y[v][r], vld1q_f32(pass.bias + v * kLanes));
      store_lanes(pass.y + r * pass.y_stride + v * kLanes, y[v][r], pass.lanes - v * kLanes);
    }
  }
}

template <typename Dots, Codes kCodes, int kParts, int kRows>
void product(const Pass& pass) {
  const int parts = kParts > 0 ? kParts : pass.parts;
  const int records = kParts > 0 ? kParts : parts * pass.planes;
  const int code_bytes = parts * bytes_of(kCodes);
  const int scale_bytes = pass.scale_type == ScalarType::kF32 ? 64 : 32;
  const int record_bytes = kRecordBytesPerRow * pass.tile_rows;
  const std::byte* weights = pass.weights;
  const std::byte* tile = pass.tile;
  float32x4_t y[kVectors][kRows];
  begin<kRows>(pass, y);
  int32x4_t starts[kMaxRecords];
  for (int i = 0; i < records; ++i) starts[i] = vdupq_n_s32(0);
  for (int unit = 0; unit < pass.num_units; ++unit) {
    const std::byte* scales = weights + code_bytes;
    const std::byte* biases = scales + scale_bytes;
    for (int line = 0; line <= code_bytes; line += kLine) __builtin_prefetch(weights + kPrefetchBytes + line);
    if constexpr (kCodes == Codes::k8 && Dots::kSignedOnly) {
      for (int i = 0; i < records; ++i) {
        starts[i] =
            shortfall(reinterpret_cast<const int*>(tile + i * record_bytes) + pass.first_row, pass.tile_rows);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      add_group<Dots, kCodes, kParts, kRows>(pass, weights + 16 * v, tile, starts,
                                             load_scalars(scales, pass.scale_type, v * kLanes),
                                             load_scalars(biases, pass.scale_type, v * kLanes), y[v]);
    }
    tile += records * record_bytes;
    weights = biases + scale_bytes;
  }
  finish<kRows>(pass, y);
}

/// kHalves: weight groups of an activation group.
template <typename Dots, int kHalves, int kRows>
void product_e2m1(const Pass& pass) {
  const std::byte* weights = pass.weights;
  const std::byte* scales = pass.scales;
  const std::byte* tile = pass.tile;
  float32x4_t y[kVectors][kRows];
  begin<kRows>(pass, y);
  for (int unit = 0; unit < pass.num_units; ++unit) {
    for (int line = 0; line < bytes_of(Codes::kE2M1); line += kLine) {
      __builtin_prefetch(weights + kPrefetchBytes + line);
    }
    __builtin_prefetch(scales + kPrefetchBytes * kHalves / kBlock);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const std::byte* codes = weights + 16 * v;
      const float32x4_t scale = load_half_scales(scales, pass.scale_type, v * kLanes);
      if constexpr (kHalves == 1) {
        add_e2m1_group<Dots, 0, kSteps, kRows>(pass, codes, tile, scale, y[v]);
      } else {
        add_e2m1_group<Dots, 0, kSteps / 2, kRows>(pass, codes, tile, scale, y[v]);
        const float32x4_t second_scale = load_half_scales(scales + kBlock, pass.scale_type, v * kLanes);
        add_e2m1_group<Dots, kSteps / 2, kSteps, kRows>(pass, codes, tile, second_scale, y[v]);
      }
    }
    weights += bytes_of(Codes::kE2M1);
    scales += kHalves * kBlock;
    tile += pass.planes * kRecordBytesPerRow * pass.tile_rows;
  }
  finish<kRows>(pass, y);
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
