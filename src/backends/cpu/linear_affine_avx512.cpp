// Quantized products with AVX-512 VNNI: lane = output row, one accumulator per activation row. Up to 16
// activation rows pass over the weights together, once; more go in tiles of 8 rows by 2 blocks, whose part of
// the weights stays in the first-level cache while all tiles meet it.
#include <immintrin.h>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kLine = 64;
constexpr int kPrefetchBytes = 4608;  // 8 groups of 64 at 4 bits
constexpr int kPassFeatures = 2048;   // of the input, per pass over a pair of blocks

inline __m512 load_scalars(const std::byte* p, ScalarType type) {
  if (type == ScalarType::kBF16) {
    const __m256i bits = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  if (type == ScalarType::kF16)
    return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
  return _mm512_load_ps(p);
}

constexpr int scalars_bytes(ScalarType type) { return type == ScalarType::kF32 ? 64 : 32; }

/// What a row of blocks looks like; constant over a task.
struct Shape {
  ScalarType scale_type;
  int num_groups;
  std::ptrdiff_t block_bytes;
};

/// The groups of one pass and where their activations and results are.
struct Pass {
  const std::byte* weights;  // of the first block, at the pass's first group
  const std::byte* tile;     // at the pass's first group
  const std::byte* tile2;    // rows 8 … 15, or null
  int num_groups;
  bool first, last;  // y starts from 0; y is complete and takes the layer's bias
  const float* bias;
  float* y;
  std::ptrdiff_t y_stride;
  __mmask16 mask;  // rows of the (last) block that exist
};

template <int kRows>
inline __m512 scale_of(const std::byte* record, int row) {
  return _mm512_set1_ps(reinterpret_cast<const float*>(record + 32 * kRows)[row]);
}
template <int kRows>
inline __m512 scaled_sum_of(const std::byte* record, int row) {
  return _mm512_set1_ps(reinterpret_cast<const float*>(record + 36 * kRows)[row]);
}

/// One weight group (of kParts activation groups) against a tile: y += scale * Σ a·dot + bias * Σ a·sum.
template <int kBits, int kParts, int kRows>
inline __attribute__((always_inline)) void add_group(const std::byte* codes, const std::byte* record,
                                                     __m512 scale, __m512 bias, __m512 (&y)[kRows]) {
  const __m512i low_nibbles = _mm512_set1_epi8(15);
  __m512 t[kRows];
#pragma GCC unroll 4
  for (int part = 0; part < kParts; ++part) {
    const std::byte* part_record = record + part * kRecordBytesPerRow * kRows;
    const int* q = reinterpret_cast<const int*>(part_record);
    __m512i dots[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) dots[r] = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int j = 0; j < kSteps / 2; ++j) {
      __m512i even;
      __m512i odd;
      if constexpr (kBits == 4) {
        const __m512i words = _mm512_load_si512(codes + (part * 4 + j) * kLine);
        even = _mm512_and_si512(words, low_nibbles);
        odd = _mm512_and_si512(_mm512_srli_epi16(words, 4), low_nibbles);
      } else {
        even = _mm512_load_si512(codes + (part * 8 + 2 * j) * kLine);
        odd = _mm512_load_si512(codes + (part * 8 + 2 * j + 1) * kLine);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        dots[r] = _mm512_dpbusd_epi32(dots[r], even, _mm512_set1_epi32(q[2 * j * kRows + r]));
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        dots[r] = _mm512_dpbusd_epi32(dots[r], odd, _mm512_set1_epi32(q[(2 * j + 1) * kRows + r]));
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512 dot = _mm512_cvtepi32_ps(dots[r]);
      const __m512 a = scale_of<kRows>(part_record, r);
      t[r] = part == 0 ? _mm512_mul_ps(dot, a) : _mm512_fmadd_ps(dot, a, t[r]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    __m512 c = scaled_sum_of<kRows>(record, r);
#pragma GCC unroll 4
    for (int part = 1; part < kParts; ++part) {
      c = _mm512_add_ps(c, scaled_sum_of<kRows>(record + part * kRecordBytesPerRow * kRows, r));
    }
    y[r] = _mm512_fmadd_ps(scale, t[r], y[r]);
    y[r] = _mm512_fmadd_ps(bias, c, y[r]);
  }
}

template <int kRows>
inline __attribute__((always_inline)) void load_rows(const Pass& pass, const float* from, __mmask16 mask,
                                                     __m512 (&y)[kRows]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    y[r] = pass.first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask, from + r * pass.y_stride);
  }
}

template <int kRows>
inline __attribute__((always_inline)) void store_rows(const Pass& pass, float* to, const float* bias,
                                                      __mmask16 mask, __m512 (&y)[kRows]) {
  if (pass.last && bias != nullptr) {
    const __m512 b = _mm512_loadu_ps(bias);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) y[r] = _mm512_add_ps(y[r], b);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) _mm512_mask_storeu_ps(to + r * pass.y_stride, mask, y[r]);
}

template <int kLines>
inline __attribute__((always_inline)) void prefetch_lines(const std::byte* p) {
#pragma GCC unroll 32
  for (int line = 0; line < kLines; ++line) _mm_prefetch(p + line * kLine, _MM_HINT_T0);
}

/// One block × kRows1 (+ kRows2 in a second tile) activation rows.
template <int kBits, int kParts, int kRows1, int kRows2>
void product_block(const Shape& shape, const Pass& pass) {
  constexpr int kCodeBytes = kBlock * 32 * kBits / 8 * kParts;
  const int scale_bytes = scalars_bytes(shape.scale_type);
  __m512 y1[kRows1];
  __m512 y2[kRows2 == 0 ? 1 : kRows2];
  load_rows<kRows1>(pass, pass.y, pass.mask, y1);
  if constexpr (kRows2 != 0) load_rows<kRows2>(pass, pass.y + kRows1 * pass.y_stride, pass.mask, y2);
  const std::byte* weights = pass.weights;
  const std::byte* tile = pass.tile;
  const std::byte* tile2 = pass.tile2;
  for (int group = 0; group < pass.num_groups; ++group) {
    prefetch_lines<kCodeBytes / kLine + 1>(weights + kPrefetchBytes);
    const __m512 scale = load_scalars(weights + kCodeBytes, shape.scale_type);
    const __m512 bias = load_scalars(weights + kCodeBytes + scale_bytes, shape.scale_type);
    add_group<kBits, kParts, kRows1>(weights, tile, scale, bias, y1);
    if constexpr (kRows2 != 0) {
      add_group<kBits, kParts, kRows2>(weights, tile2, scale, bias, y2);
      tile2 += kParts * kRecordBytesPerRow * kRows2;
    }
    tile += kParts * kRecordBytesPerRow * kRows1;
    weights += kCodeBytes + 2 * scale_bytes;
  }
  store_rows<kRows1>(pass, pass.y, pass.bias, pass.mask, y1);
  if constexpr (kRows2 != 0) {
    store_rows<kRows2>(pass, pass.y + kRows1 * pass.y_stride, pass.bias, pass.mask, y2);
  }
}

/// Two blocks × one whole tile.
template <int kBits, int kParts>
void product_pair(const Shape& shape, const Pass& pass) {
  constexpr int kCodeBytes = kBlock * 32 * kBits / 8 * kParts;
  constexpr __mmask16 kAll = 0xFFFF;
  const int scale_bytes = scalars_bytes(shape.scale_type);
  __m512 y1[kTileRows];
  __m512 y2[kTileRows];
  load_rows<kTileRows>(pass, pass.y, kAll, y1);
  load_rows<kTileRows>(pass, pass.y + kBlock, pass.mask, y2);
  const std::byte* weights1 = pass.weights;
  const std::byte* weights2 = pass.weights + shape.block_bytes;
  const std::byte* tile = pass.tile;
  for (int group = 0; group < pass.num_groups; ++group) {
    const __m512 scale1 = load_scalars(weights1 + kCodeBytes, shape.scale_type);
    const __m512 bias1 = load_scalars(weights1 + kCodeBytes + scale_bytes, shape.scale_type);
    add_group<kBits, kParts, kTileRows>(weights1, tile, scale1, bias1, y1);
    const __m512 scale2 = load_scalars(weights2 + kCodeBytes, shape.scale_type);
    const __m512 bias2 = load_scalars(weights2 + kCodeBytes + scale_bytes, shape.scale_type);
    add_group<kBits, kParts, kTileRows>(weights2, tile, scale2, bias2, y2);
    tile += kParts * kRecordBytesPerRow * kTileRows;
    weights1 += kCodeBytes + 2 * scale_bytes;
    weights2 += kCodeBytes + 2 * scale_bytes;
  }
  store_rows<kTileRows>(pass, pass.y, pass.bias, kAll, y1);
  store_rows<kTileRows>(pass, pass.y + kBlock, pass.bias == nullptr ? nullptr : pass.bias + kBlock, pass.mask,
                        y2);
}

using Product = void (*)(const Shape&, const Pass&);

/// Products of one format by number of activation rows, 1 … 16.
template <int kBits, int kParts>
constexpr Product kRowProducts[2 * kTileRows + 1] = {
    nullptr,
    product_block<kBits, kParts, 1, 0>,
    product_block<kBits, kParts, 2, 0>,
    product_block<kBits, kParts, 3, 0>,
    product_block<kBits, kParts, 4, 0>,
    product_block<kBits, kParts, 5, 0>,
    product_block<kBits, kParts, 6, 0>,
    product_block<kBits, kParts, 7, 0>,
    product_block<kBits, kParts, 8, 0>,
    product_block<kBits, kParts, 8, 1>,
    product_block<kBits, kParts, 8, 2>,
    product_block<kBits, kParts, 8, 3>,
    product_block<kBits, kParts, 8, 4>,
    product_block<kBits, kParts, 8, 5>,
    product_block<kBits, kParts, 8, 6>,
    product_block<kBits, kParts, 8, 7>,
    product_block<kBits, kParts, 8, 8>,
};

__mmask16 row_mask(const AffineTask& task, int block) {
  if (block + 1 != task.num_blocks) return 0xFFFF;
  return static_cast<__mmask16>((1U << static_cast<unsigned>(task.last_block_rows)) - 1U);
}

/// Up to 16 rows: each block once, all of its groups in one pass.
void few_rows(const AffineTask& task, const Shape& shape, Product product, std::ptrdiff_t tile_bytes) {
  Pass pass = {};
  pass.tile = task.tiles;
  pass.tile2 = task.tiles + tile_bytes;
  pass.num_groups = shape.num_groups;
  pass.first = true;
  pass.last = true;
  pass.y_stride = task.y_stride;
  for (int block = 0; block < task.num_blocks; ++block) {
    pass.weights = task.weights + block * shape.block_bytes;
    pass.bias = task.bias == nullptr ? nullptr : task.bias + block * kBlock;
    pass.y = task.y + block * kBlock;
    pass.mask = row_mask(task, block);
    product(shape, pass);
  }
}

/// More: for each pair of blocks and each pass over part of the input, all tiles.
void many_rows(const AffineTask& task, const Shape& shape, const Product* products, Product pair,
               std::ptrdiff_t tile_bytes) {
  const std::ptrdiff_t group_bytes = shape.block_bytes / shape.num_groups;
  const int pass_groups = kPassFeatures / task.group_size;
  const int parts = task.group_size / 32;
  for (int block = 0; block < task.num_blocks; block += 2) {
    const int blocks = block + 1 < task.num_blocks ? 2 : 1;
    for (int first_group = 0; first_group < shape.num_groups; first_group += pass_groups) {
      Pass pass = {};
      const int left = shape.num_groups - first_group;
      pass.num_groups = left < pass_groups ? left : pass_groups;
      pass.first = first_group == 0;
      pass.last = left <= pass_groups;
      pass.y_stride = task.y_stride;
      for (int row = 0; row < task.rows; row += kTileRows) {
        const int rows = task.rows - row < kTileRows ? task.rows - row : kTileRows;
        pass.tile = task.tiles + row / kTileRows * tile_bytes +
                    static_cast<std::ptrdiff_t>(first_group) * parts * kRecordBytesPerRow * rows;
        for (int b = 0; b < blocks; ++b) {
          const int this_block = block + b;
          pass.weights = task.weights + this_block * shape.block_bytes + first_group * group_bytes;
          pass.bias = task.bias == nullptr ? nullptr : task.bias + this_block * kBlock;
          pass.y = task.y + row * task.y_stride + this_block * kBlock;
          if (blocks == 2 && rows == kTileRows) {
            pass.mask = row_mask(task, block + 1);
            pair(shape, pass);
            break;
          }
          pass.mask = row_mask(task, this_block);
          products[rows](shape, pass);
        }
      }
    }
  }
}

template <int kBits, int kParts>
void run(const AffineTask& task) {
  const std::ptrdiff_t group_bytes =
      kBlock * 32 * kBits / 8 * kParts + 2 * static_cast<std::ptrdiff_t>(scalars_bytes(task.scale_type));
  const Shape shape = {task.scale_type, task.num_groups, task.num_groups * group_bytes};
  const std::ptrdiff_t tile_bytes =
      static_cast<std::ptrdiff_t>(task.num_groups) * kParts * kRecordBytesPerRow * kTileRows;
  if (task.rows <= 2 * kTileRows) {
    few_rows(task, shape, kRowProducts<kBits, kParts>[task.rows], tile_bytes);
  } else {
    many_rows(task, shape, kRowProducts<kBits, kParts>, product_pair<kBits, kParts>, tile_bytes);
  }
}

}  // namespace

void affine_avx512(const AffineTask& task) {
  if (task.rows == 0) return;
  const bool four = task.code_bits == 4;
  switch (task.group_size) {
    case 32:
      return four ? run<4, 1>(task) : run<8, 1>(task);
    case 64:
      return four ? run<4, 2>(task) : run<8, 2>(task);
    default:
      return four ? run<4, 4>(task) : run<8, 4>(task);
  }
}

}  // namespace mlxd
