// Quantized products with AVX-512 VNNI: lane = output row, one accumulator per activation row of a tile of 8
// and of two activation groups in turn.
// Several tiles take turns on a part of the weights that stays in the first-level cache, so that memory is
// read once whatever the number of rows.
#include "backends/cpu/linear_affine_zmm.h"

namespace mlxd {
namespace {

constexpr int kPrefetchBytes = 4608;  // 8 groups of 64 at 4 bits

/// The part of the weights on which tiles take turns.
struct Panel {
  int features;  // of the input
  int blocks;
};
constexpr Panel kTwoTiles = {1024, 1};   // both tiles and the weights stay in the first-level cache
constexpr Panel kManyTiles = {2048, 4};  // one tile stays there, the weights in the second level

/// One block × one tile over consecutive units: weight groups (affine) or activation groups (e2m1).
struct Pass {
  const std::byte* weights;     // of the block, at the pass's first unit
  const std::byte* scales;      // the same; e2m1 only
  const std::byte* tile;        // at the pass's first unit
  const std::int32_t* offsets;  // the same; e2m1 only
  int num_units;
  int parts;   // activation groups of a weight group
  int planes;  // records of an activation group, 1 or 2
  ScalarType scale_type;
  bool first, last;  // y starts from 0; y is complete and takes the layer's bias
  const float* bias;
  float* y;
  std::ptrdiff_t y_stride;
  __mmask16 mask;  // rows of the block that exist
};

template <int kRows>
inline const float* scales_of(const std::byte* record) {
  return reinterpret_cast<const float*>(record + 32 * kRows);
}
template <int kRows>
inline const float* scaled_sums_of(const std::byte* record) {
  return reinterpret_cast<const float*>(record + 36 * kRows);
}

// The compiler would broadcast by an instruction of its own, and the loop is bound by their number.
/// dot += four codes of each lane · the four int8 at q.
inline __attribute__((always_inline)) void add_dot(__m512i& dot, __m512i four, const int* q) {
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(dot) : "v"(four), "m"(*q));
}
/// a * *b.
inline __attribute__((always_inline)) __m512 scaled(__m512 a, const float* b) {
  __m512 product;
  asm("vmulps %2%{1to16%}, %1, %0" : "=v"(product) : "v"(a), "m"(*b));
  return product;
}
/// y = a * *b + y.
inline __attribute__((always_inline)) void add_scaled(__m512& y, __m512 a, const float* b) {
  asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(y) : "v"(a), "m"(*b));
}

template <int kRows>
inline __attribute__((always_inline)) void set_zero(__m512i (&dots)[kRows]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) dots[r] = _mm512_setzero_si512();
}

/// dots[r] += codes · activations of the steps [first, last) of an activation group.
template <Codes kCodes, int kFirst, int kLast, int kRows>
inline __attribute__((always_inline)) void add_dots(const std::byte* codes, const std::byte* record,
                                                    __m512i (&dots)[kRows]) {
  const int* q = reinterpret_cast<const int*>(record);
#pragma GCC unroll 8
  for (int step = kFirst; step < kLast; ++step) {
    const __m512i four = load_step<kCodes>(codes, step);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) add_dot(dots[r], four, q + step * kRows + r);
  }
}

/// The dots of two activation groups, in turn: 8 rows of one are too few chains for a dot's latency.
template <Codes kCodes, int kRows>
inline __attribute__((always_inline)) void two_dots(const std::byte* const (&codes)[2],
                                                    const std::byte* const (&records)[2],
                                                    __m512i (&dots)[2][kRows]) {
  set_zero(dots[0]);
  set_zero(dots[1]);
  const int* q[2] = {reinterpret_cast<const int*>(records[0]), reinterpret_cast<const int*>(records[1])};
#pragma GCC unroll 8
  for (int step = 0; step < kSteps; ++step) {
    const __m512i four = load_step<kCodes>(codes[0], step);
    const __m512i other_four = load_step<kCodes>(codes[1], step);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) add_dot(dots[0][r], four, q[0] + step * kRows + r);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) add_dot(dots[1][r], other_four, q[1] + step * kRows + r);
  }
}

/// t (+)= a·dot of an activation group; the first of a weight group begins it.
template <int kRows>
inline __attribute__((always_inline)) void add_part(bool begins, const __m512i (&dots)[kRows],
                                                    const std::byte* record, __m512 (&t)[kRows]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const __m512 dot = _mm512_cvtepi32_ps(dots[r]);
    const float* a = scales_of<kRows>(record) + r;
    if (begins) {
      t[r] = scaled(dot, a);
    } else {
      t[r] = _mm512_fmadd_ps(dot, _mm512_set1_ps(*a), t[r]);
    }
  }
}

/// y += scale · t + bias · Σ a·sum over the records of a weight group.
template <int kRows>
inline __attribute__((always_inline)) void add_scaled_group(const std::byte* record, int records,
                                                            __m512 scale, __m512 bias,
                                                            const __m512 (&t)[kRows], __m512 (&y)[kRows]) {
  const float* sums = scaled_sums_of<kRows>(record);
  alignas(32) float added[kTileRows];
  if (records > 1) {
    // Of 8 rows at once; what is read beyond the last is not used.
    __m256 c = _mm256_loadu_ps(sums);
#pragma GCC unroll 4
    for (int i = 1; i < records; ++i)
      c = _mm256_add_ps(c, _mm256_loadu_ps(sums + i * kRecordBytesPerRow / 4 * kRows));
    _mm256_store_ps(added, c);
    sums = added;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    y[r] = _mm512_fmadd_ps(scale, t[r], y[r]);
    add_scaled(y[r], bias, sums + r);
  }
}

/// One weight group against a tile: y += scale * Σ a·dot + bias * Σ a·sum. kParts: activation groups of a
/// weight group if each has one record, else 0.
template <Codes kCodes, int kParts, int kRows>
inline __attribute__((always_inline)) void add_group(const Pass& pass, const std::byte* codes,
                                                     const std::byte* record, __m512 scale, __m512 bias,
                                                     __m512 (&y)[kRows]) {
  constexpr int kRecordBytes = kRecordBytesPerRow * kRows;
  const int parts = kParts > 0 ? kParts : pass.parts;
  const int planes = kParts > 0 ? 1 : pass.planes;
  __m512 t[kRows];
  __m512i dots[2][kRows];
  if (planes == 2) {
    // Both planes of a part meet the same codes.
    for (int part = 0; part < parts; ++part) {
      const std::byte* const same = codes + part * bytes_of(kCodes);
      const std::byte* const first = record + 2 * part * kRecordBytes;
      two_dots<kCodes, kRows>({same, same}, {first, first + kRecordBytes}, dots);
      add_part<kRows>(part == 0, dots[0], first, t);
      add_part<kRows>(false, dots[1], first + kRecordBytes, t);
    }
  } else if (parts % 2 == 0) {
#pragma GCC unroll 2
    for (int part = 0; part < parts; part += 2) {
      const std::byte* const first_codes = codes + part * bytes_of(kCodes);
      const std::byte* const first = record + part * kRecordBytes;
      two_dots<kCodes, kRows>({first_codes, first_codes + bytes_of(kCodes)}, {first, first + kRecordBytes},
                              dots);
      add_part<kRows>(part == 0, dots[0], first, t);
      add_part<kRows>(false, dots[1], first + kRecordBytes, t);
    }
  } else {
    set_zero(dots[0]);
    add_dots<kCodes, 0, kSteps, kRows>(codes, record, dots[0]);
    add_part<kRows>(true, dots[0], record, t);
  }
  add_scaled_group<kRows>(record, parts * planes, scale, bias, t, y);
}

/// Steps [kFirst, kLast) of one activation group, a whole weight group, against a tile: y += scale * Σ a·dot.
template <int kFirst, int kLast, int kRows>
inline __attribute__((always_inline)) void add_e2m1_group(const Pass& pass, const std::byte* codes,
                                                          const std::byte* record,
                                                          const std::int32_t* offsets, __m512 scale,
                                                          __m512 (&y)[kRows]) {
  constexpr int kOffsets = kLast - kFirst == kSteps ? 0 : kFirst == 0 ? 1 : 2;  // which of the three
  __m512 t[kRows];
  for (int plane = 0; plane < pass.planes; ++plane) {
    __m512i dots[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) dots[r] = _mm512_set1_epi32(offsets[kOffsets * kRows + r]);
    add_dots<Codes::kE2M1, kFirst, kLast, kRows>(codes, record, dots);
    add_part<kRows>(plane == 0, dots, record, t);
    record += kRecordBytesPerRow * kRows;
    offsets += 3 * kRows;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) y[r] = _mm512_fmadd_ps(scale, t[r], y[r]);
}

template <int kLines>
inline __attribute__((always_inline)) void prefetch_lines(const std::byte* p) {
#pragma GCC unroll 40
  for (int line = 0; line < kLines; ++line) _mm_prefetch(p + line * kLine, _MM_HINT_T0);
}

template <int kRows>
inline __attribute__((always_inline)) void begin(const Pass& pass, __m512 (&y)[kRows]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    y[r] = pass.first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(pass.mask, pass.y + r * pass.y_stride);
  }
}

template <int kRows>
inline __attribute__((always_inline)) void finish(const Pass& pass, __m512 (&y)[kRows]) {
  if (pass.last && pass.bias != nullptr) {
    const __m512 bias = _mm512_loadu_ps(pass.bias);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) y[r] = _mm512_add_ps(y[r], bias);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) _mm512_mask_storeu_ps(pass.y + r * pass.y_stride, pass.mask, y[r]);
}

template <Codes kCodes, int kParts, bool kPrefetch>
inline __attribute__((always_inline)) void prefetch_group([[maybe_unused]] const std::byte* weights,
                                                          [[maybe_unused]] int code_bytes) {
  if constexpr (kPrefetch && kParts > 0) {
    prefetch_lines<kParts * bits_of(kCodes) + 1>(weights + kPrefetchBytes);
  } else if constexpr (kPrefetch) {
    for (int line = 0; line <= code_bytes; line += kLine) {
      _mm_prefetch(weights + kPrefetchBytes + line, _MM_HINT_T0);
    }
  }
}

template <Codes kCodes, int kParts, int kRows, bool kPrefetch>
void product(const Pass& pass) {
  const int parts = kParts > 0 ? kParts : pass.parts;
  const int tile_bytes = (kParts > 0 ? kParts : parts * pass.planes) * kRecordBytesPerRow * kRows;
  const int code_bytes = parts * bytes_of(kCodes);
  const int scale_bytes = scalars_bytes(pass.scale_type);
  const int group_bytes = code_bytes + 2 * scale_bytes;
  const std::byte* weights = pass.weights;
  const std::byte* tile = pass.tile;
  __m512 y[kRows];
  begin<kRows>(pass, y);
  int group = 0;
  if constexpr (kParts == 1) {
    for (; group + 2 <= pass.num_units; group += 2) {
      const std::byte* const codes[2] = {weights, weights + group_bytes};
      const std::byte* const records[2] = {tile, tile + tile_bytes};
      prefetch_group<kCodes, kParts, kPrefetch>(codes[0], code_bytes);
      prefetch_group<kCodes, kParts, kPrefetch>(codes[1], code_bytes);
      __m512i dots[2][kRows];
      two_dots<kCodes, kRows>(codes, records, dots);
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        const __m512 scale = load_scalars(codes[i] + code_bytes, pass.scale_type);
        const __m512 bias = load_scalars(codes[i] + code_bytes + scale_bytes, pass.scale_type);
        __m512 t[kRows];
        add_part<kRows>(true, dots[i], records[i], t);
        add_scaled_group<kRows>(records[i], 1, scale, bias, t, y);
      }
      tile += 2 * tile_bytes;
      weights += 2 * group_bytes;
    }
  }
  for (; group < pass.num_units; ++group) {
    prefetch_group<kCodes, kParts, kPrefetch>(weights, code_bytes);
    const __m512 scale = load_scalars(weights + code_bytes, pass.scale_type);
    const __m512 bias = load_scalars(weights + code_bytes + scale_bytes, pass.scale_type);
    add_group<kCodes, kParts, kRows>(pass, weights, tile, scale, bias, y);
    tile += tile_bytes;
    weights += group_bytes;
  }
  finish<kRows>(pass, y);
}

/// kHalves: weight groups of an activation group.
template <int kHalves, int kRows, bool kPrefetch>
void product_e2m1(const Pass& pass) {
  const std::byte* weights = pass.weights;
  const std::byte* scales = pass.scales;
  const std::byte* tile = pass.tile;
  const std::int32_t* offsets = pass.offsets;
  __m512 y[kRows];
  begin<kRows>(pass, y);
  for (int group = 0; group < pass.num_units; ++group) {
    if constexpr (kPrefetch) {
      prefetch_lines<bits_of(Codes::kE2M1)>(weights + kPrefetchBytes);
      _mm_prefetch(scales + kPrefetchBytes * kHalves / kBlock, _MM_HINT_T0);
    }
    const __m512 scale = load_half_scales(scales, pass.scale_type);
    if constexpr (kHalves == 1) {
      add_e2m1_group<0, kSteps, kRows>(pass, weights, tile, offsets, scale, y);
    } else {
      add_e2m1_group<0, kSteps / 2, kRows>(pass, weights, tile, offsets, scale, y);
      const __m512 second_scale = load_half_scales(scales + kBlock, pass.scale_type);
      add_e2m1_group<kSteps / 2, kSteps, kRows>(pass, weights, tile, offsets, second_scale, y);
    }
    weights += bytes_of(Codes::kE2M1);
    scales += kHalves * kBlock;
    tile += pass.planes * kRecordBytesPerRow * kRows;
    offsets += 3 * pass.planes * kRows;
  }
  finish<kRows>(pass, y);
}

using Product = void (*)(const Pass&);

/// Products of one format by number of activation rows, 1 … 8: over weights that are in the cache, and over
/// those that are not yet.
struct Products {
  Product cached[kTileRows + 1];
  Product streamed[kTileRows + 1];
};

template <Codes kCodes, int kParts>
constexpr Products kProducts = {
    {nullptr, product<kCodes, kParts, 1, false>, product<kCodes, kParts, 2, false>,
     product<kCodes, kParts, 3, false>, product<kCodes, kParts, 4, false>, product<kCodes, kParts, 5, false>,
     product<kCodes, kParts, 6, false>, product<kCodes, kParts, 7, false>, product<kCodes, kParts, 8, false>},
    {nullptr, product<kCodes, kParts, 1, true>, product<kCodes, kParts, 2, true>,
     product<kCodes, kParts, 3, true>, product<kCodes, kParts, 4, true>, product<kCodes, kParts, 5, true>,
     product<kCodes, kParts, 6, true>, product<kCodes, kParts, 7, true>, product<kCodes, kParts, 8, true>},
};

template <int kHalves>
constexpr Products kE2M1Products = {
    {nullptr, product_e2m1<kHalves, 1, false>, product_e2m1<kHalves, 2, false>,
     product_e2m1<kHalves, 3, false>, product_e2m1<kHalves, 4, false>, product_e2m1<kHalves, 5, false>,
     product_e2m1<kHalves, 6, false>, product_e2m1<kHalves, 7, false>, product_e2m1<kHalves, 8, false>},
    {nullptr, product_e2m1<kHalves, 1, true>, product_e2m1<kHalves, 2, true>, product_e2m1<kHalves, 3, true>,
     product_e2m1<kHalves, 4, true>, product_e2m1<kHalves, 5, true>, product_e2m1<kHalves, 6, true>,
     product_e2m1<kHalves, 7, true>, product_e2m1<kHalves, 8, true>},
};

struct ChooseProducts {
  template <Codes kCodes, int kParts>
  const Products* affine() const {
    return &kProducts<kCodes, kParts>;
  }
  template <int kHalves>
  const Products* e2m1() const {
    return &kE2M1Products<kHalves>;
  }
};

__mmask16 row_mask(const AffineTask& task, int block) {
  if (block + 1 != task.num_blocks) return 0xFFFF;
  return static_cast<__mmask16>((1U << static_cast<unsigned>(task.last_block_rows)) - 1U);
}

}  // namespace

void affine_avx512(const AffineTask& task) {
  const Products& products = *choose_kernels(task, ChooseProducts());
  const AffinePlan plan = plan_of(task);
  const Panel panel = task.rows <= 2 * kTileRows ? kTwoTiles : kManyTiles;
  const int pass_units = task.rows <= kTileRows ? plan.num_units : panel.features / plan.unit_features;
  Pass pass = {};
  pass.parts = plan.unit_features / 32;
  pass.planes = task.planes;
  pass.scale_type = task.scale_type;
  pass.y_stride = task.y_stride;
  for (int first_block = 0; first_block < task.num_blocks; first_block += panel.blocks) {
    const int last_block = at_most(first_block + panel.blocks, task.num_blocks);
    for (int unit = 0; unit < plan.num_units; unit += pass_units) {
      pass.num_units = at_most(plan.num_units - unit, pass_units);
      pass.first = unit == 0;
      pass.last = unit + pass.num_units == plan.num_units;
      for (int row = 0; row < task.rows; row += kTileRows) {
        const int rows = at_most(task.rows - row, kTileRows);
        // Only the first tile meets weights that are not in the cache yet.
        const Product product = row == 0 ? products.streamed[rows] : products.cached[rows];
        const std::ptrdiff_t cell =
            (static_cast<std::ptrdiff_t>(row) * plan.num_units + static_cast<std::ptrdiff_t>(unit) * rows) *
            plan.unit_records;
        pass.tile = task.tiles + cell * kRecordBytesPerRow;
        pass.offsets = task.offsets == nullptr ? nullptr : task.offsets + 3 * cell;
        for (int block = first_block; block < last_block; ++block) {
          const std::byte* weights = task.weights + block * plan.block_bytes;
          pass.weights = weights + unit * plan.unit_bytes;
          pass.scales = weights + plan.scales_start + unit * plan.unit_scales;
          pass.bias = task.bias == nullptr ? nullptr : task.bias + block * kBlock;
          pass.y = task.y + row * task.y_stride + block * kBlock;
          pass.mask = row_mask(task, block);
          product(pass);
        }
      }
    }
  }
}

}  // namespace mlxd
