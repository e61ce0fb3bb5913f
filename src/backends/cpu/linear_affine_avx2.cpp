// Quantized products with AVX2: the block's 16 rows as two halves of 8 lanes, up to 4 activation rows at a
// time (16 registers hold no more). Products of a code of 4 bits and an int8 are summed in int16 over a group
// of 32, which cannot overflow: 16 × 15 × 127 < 2^15. Codes of 8 bits are taken as two nibbles.
#include <immintrin.h>

#include "backends/cpu/linear_tasks.h"

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

/// Sums the chain up to here now. Left alone, GCC makes a tree of it, or puts it off, and keeps all of its
/// terms in registers that it does not have.
inline __attribute__((always_inline)) void settle(__m256i& sum) { __asm__("" : "+x"(sum)); }

/// Lanes below `count`.
inline __m256i lane_mask(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/// One block × up to 4 rows of a tile over consecutive weight groups.
struct Pass {
  const std::byte* weights;  // of the block, at the pass's first group
  const std::byte* tile;     // at the pass's first group
  int tile_rows;
  int first_row;  // in the tile
  int num_groups;
  ScalarType scale_type;
  bool first, last;  // y starts from 0; y is complete and takes the layer's bias
  const float* bias;
  float* y;  // first_row's
  std::ptrdiff_t y_stride;
  int lanes;  // rows of the block that exist
};

/// Sums over 32 features, exactly, of 8 output rows × kRows activation rows.
template <int kBits, int kRows>
inline __attribute__((always_inline)) void dot_group(const std::byte* codes, const std::byte* record,
                                                     int tile_rows, __m256i (&dots)[kRows]) {
  const __m256i nibble = _mm256_set1_epi8(15);
  const int* q = reinterpret_cast<const int*>(record);
  __m256i low[kRows];
  __m256i high[kRows];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) low[r] = high[r] = _mm256_setzero_si256();
#pragma GCC unroll 4
  for (int j = 0; j < kSteps / 2; ++j) {
    if constexpr (kBits == 4) {
      const __m256i words = _mm256_load_si256(reinterpret_cast<const __m256i*>(codes + j * kLine));
      const __m256i even = _mm256_and_si256(words, nibble);
      const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(words, 4), nibble);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        low[r] = _mm256_add_epi16(low[r], _mm256_maddubs_epi16(even, _mm256_set1_epi32(q[r])));
        settle(low[r]);
        low[r] = _mm256_add_epi16(low[r], _mm256_maddubs_epi16(odd, _mm256_set1_epi32(q[tile_rows + r])));
        settle(low[r]);
      }
      q += 2 * tile_rows;
    } else {
#pragma GCC unroll 2
      for (int parity = 0; parity < 2; ++parity) {
        const __m256i bytes =
            _mm256_load_si256(reinterpret_cast<const __m256i*>(codes + (2 * j + parity) * kLine));
        const __m256i low_nibbles = _mm256_and_si256(bytes, nibble);
        const __m256i high_nibbles = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          const __m256i four = _mm256_set1_epi32(q[r]);
          low[r] = _mm256_add_epi16(low[r], _mm256_maddubs_epi16(low_nibbles, four));
          settle(low[r]);
          high[r] = _mm256_add_epi16(high[r], _mm256_maddubs_epi16(high_nibbles, four));
          settle(high[r]);
        }
        q += tile_rows;
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    dots[r] = _mm256_madd_epi16(low[r], _mm256_set1_epi16(1));
    if constexpr (kBits == 8) {
      dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(high[r], _mm256_set1_epi16(16)));
    }
  }
}

inline __m256 broadcast(const std::byte* floats, int index) {
  return _mm256_broadcast_ss(reinterpret_cast<const float*>(floats) + index);
}

/// One weight group against 8 of the block's rows: y += scale * Σ a·dot + bias * Σ a·sum.
template <int kBits, int kParts, int kRows>
inline __attribute__((always_inline)) void add_group(const Pass& pass, const std::byte* codes,
                                                     const std::byte* tile, __m256 scale, __m256 bias,
                                                     __m256 (&y)[kRows]) {
  constexpr int kPartBytes = kBlock * 32 * kBits / 8;
  const int record_bytes = kRecordBytesPerRow * pass.tile_rows;
  const std::byte* scales = tile + 32 * pass.tile_rows + 4 * pass.first_row;
  const std::byte* scaled_sums = scales + 4 * pass.tile_rows;
  __m256 t[kRows];
#pragma GCC unroll 4
  for (int part = 0; part < kParts; ++part) {
    __m256i dots[kRows];
    dot_group<kBits, kRows>(codes + part * kPartBytes, tile + part * record_bytes + 4 * pass.first_row,
                            pass.tile_rows, dots);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m256 dot = _mm256_cvtepi32_ps(dots[r]);
      const __m256 a = broadcast(scales + part * record_bytes, r);
      t[r] = part == 0 ? _mm256_mul_ps(dot, a) : _mm256_fmadd_ps(dot, a, t[r]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    __m256 c = broadcast(scaled_sums, r);
#pragma GCC unroll 4
    for (int part = 1; part < kParts; ++part) {
      c = _mm256_add_ps(c, broadcast(scaled_sums + part * record_bytes, r));
    }
    y[r] = _mm256_fmadd_ps(scale, t[r], y[r]);
    y[r] = _mm256_fmadd_ps(bias, c, y[r]);
  }
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

template <int kBits, int kParts, int kRows>
void product(const Pass& pass) {
  constexpr int kCodeBytes = kBlock * 32 * kBits / 8 * kParts;
  const int scale_bytes = pass.scale_type == ScalarType::kF32 ? 64 : 32;
  const int tile_bytes = kParts * kRecordBytesPerRow * pass.tile_rows;
  const std::byte* weights = pass.weights;
  const std::byte* tile = pass.tile;
  __m256 y0[kRows];
  __m256 y1[kRows];
  load_half<kRows>(pass, 0, y0);
  load_half<kRows>(pass, 1, y1);
  for (int group = 0; group < pass.num_groups; ++group) {
    const std::byte* scales = weights + kCodeBytes;
    const std::byte* biases = scales + scale_bytes;
    for (int line = 0; line <= kCodeBytes; line += kLine) {
      _mm_prefetch(weights + kPrefetchBytes + line, _MM_HINT_T0);
    }
    add_group<kBits, kParts, kRows>(pass, weights, tile, load_scalars(scales, pass.scale_type, 0),
                                    load_scalars(biases, pass.scale_type, 0), y0);
    add_group<kBits, kParts, kRows>(pass, weights + kLine / 2, tile,
                                    load_scalars(scales, pass.scale_type, kLanes),
                                    load_scalars(biases, pass.scale_type, kLanes), y1);
    tile += tile_bytes;
    weights = biases + scale_bytes;
  }
  store_half<kRows>(pass, 0, y0);
  store_half<kRows>(pass, 1, y1);
}

using Product = void (*)(const Pass&);

template <int kBits, int kParts>
constexpr Product kProducts[kRowsAtOnce + 1] = {
    nullptr,
    product<kBits, kParts, 1>,
    product<kBits, kParts, 2>,
    product<kBits, kParts, 3>,
    product<kBits, kParts, 4>,
};

inline int at_most(int value, int limit) { return value < limit ? value : limit; }

template <int kBits, int kParts>
void run(const AffineTask& task) {
  Pass pass = {};
  pass.scale_type = task.scale_type;
  pass.y_stride = task.y_stride;
  const std::ptrdiff_t group_bytes =
      kBlock * 32 * kBits / 8 * kParts + (task.scale_type == ScalarType::kF32 ? 128 : 64);
  const std::ptrdiff_t block_bytes = task.num_groups * group_bytes;
  const std::ptrdiff_t group_record = kParts * kRecordBytesPerRow;  // bytes of a group and row
  const int pass_groups = task.rows <= kRowsAtOnce ? task.num_groups : kPassFeatures / task.group_size;
  const int panel = task.rows <= 2 * kTileRows ? 1 : kPanelBlocks;
  for (int first_block = 0; first_block < task.num_blocks; first_block += panel) {
    const int last_block = at_most(first_block + panel, task.num_blocks);
    for (int group = 0; group < task.num_groups; group += pass_groups) {
      pass.num_groups = at_most(task.num_groups - group, pass_groups);
      pass.first = group == 0;
      pass.last = group + pass.num_groups == task.num_groups;
      for (int row = 0; row < task.rows; row += kRowsAtOnce) {
        const int tile_row = row / kTileRows * kTileRows;
        pass.tile_rows = at_most(task.rows - tile_row, kTileRows);
        pass.first_row = row - tile_row;
        pass.tile = task.tiles + (static_cast<std::ptrdiff_t>(tile_row) * task.num_groups +
                                  static_cast<std::ptrdiff_t>(group) * pass.tile_rows) *
                                     group_record;
        const Product product =
            kProducts<kBits, kParts>[at_most(pass.tile_rows - pass.first_row, kRowsAtOnce)];
        for (int block = first_block; block < last_block; ++block) {
          pass.weights = task.weights + block * block_bytes + group * group_bytes;
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

void affine_avx2(const AffineTask& task) {
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
