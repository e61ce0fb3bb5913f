// Quantized products with AVX-512 VNNI: lane = output row, one accumulator per activation row of a tile of 8.
// Several tiles take turns on a part of the weights that stays in the first-level cache, so that memory is
// read once whatever the number of rows.
#include <immintrin.h>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kLine = 64;
constexpr int kPrefetchBytes = 4608;  // 8 groups of 64 at 4 bits

/// The part of the weights on which tiles take turns.
struct Panel {
  int features;  // of the input
  int blocks;
};
constexpr Panel kTwoTiles = {1024, 1};   // both tiles and the weights stay in the first-level cache
constexpr Panel kManyTiles = {2048, 4};  // one tile stays there, the weights in the second level

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

/// One block × one tile over consecutive weight groups.
struct Pass {
  const std::byte* weights;  // of the block, at the pass's first group
  const std::byte* tile;     // at the pass's first group
  int num_groups;
  ScalarType scale_type;
  bool first, last;  // y starts from 0; y is complete and takes the layer's bias
  const float* bias;
  float* y;
  std::ptrdiff_t y_stride;
  __mmask16 mask;  // rows of the block that exist
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

template <int kLines>
inline __attribute__((always_inline)) void prefetch_lines(const std::byte* p) {
#pragma GCC unroll 40
  for (int line = 0; line < kLines; ++line) _mm_prefetch(p + line * kLine, _MM_HINT_T0);
}

template <int kBits, int kParts, int kRows, bool kPrefetch>
void product(const Pass& pass) {
  constexpr int kCodeBytes = kBlock * 32 * kBits / 8 * kParts;
  const int scale_bytes = scalars_bytes(pass.scale_type);
  const std::byte* weights = pass.weights;
  const std::byte* tile = pass.tile;
  __m512 y[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    y[r] = pass.first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(pass.mask, pass.y + r * pass.y_stride);
  }
  for (int group = 0; group < pass.num_groups; ++group) {
    if constexpr (kPrefetch) prefetch_lines<kCodeBytes / kLine + 1>(weights + kPrefetchBytes);
    const __m512 scale = load_scalars(weights + kCodeBytes, pass.scale_type);
    const __m512 bias = load_scalars(weights + kCodeBytes + scale_bytes, pass.scale_type);
    add_group<kBits, kParts, kRows>(weights, tile, scale, bias, y);
    tile += kParts * kRecordBytesPerRow * kRows;
    weights += kCodeBytes + 2 * scale_bytes;
  }
  if (pass.last && pass.bias != nullptr) {
    const __m512 bias = _mm512_loadu_ps(pass.bias);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) y[r] = _mm512_add_ps(y[r], bias);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) _mm512_mask_storeu_ps(pass.y + r * pass.y_stride, pass.mask, y[r]);
}

using Product = void (*)(const Pass&);

/// Products of one format by number of activation rows, 1 … 8.
template <int kBits, int kParts, bool kPrefetch>
constexpr Product kProducts[kTileRows + 1] = {
    nullptr,
    product<kBits, kParts, 1, kPrefetch>,
    product<kBits, kParts, 2, kPrefetch>,
    product<kBits, kParts, 3, kPrefetch>,
    product<kBits, kParts, 4, kPrefetch>,
    product<kBits, kParts, 5, kPrefetch>,
    product<kBits, kParts, 6, kPrefetch>,
    product<kBits, kParts, 7, kPrefetch>,
    product<kBits, kParts, 8, kPrefetch>,
};

__mmask16 row_mask(const AffineTask& task, int block) {
  if (block + 1 != task.num_blocks) return 0xFFFF;
  return static_cast<__mmask16>((1U << static_cast<unsigned>(task.last_block_rows)) - 1U);
}

template <int kBits, int kParts>
void run(const AffineTask& task) {
  const std::ptrdiff_t group_bytes =
      kBlock * 32 * kBits / 8 * kParts + 2 * static_cast<std::ptrdiff_t>(scalars_bytes(task.scale_type));
  const std::ptrdiff_t block_bytes = task.num_groups * group_bytes;
  constexpr std::ptrdiff_t kGroupRecord = kParts * kRecordBytesPerRow;  // bytes of a group and row
  const Panel panel = task.rows <= 2 * kTileRows ? kTwoTiles : kManyTiles;
  const int pass_groups = task.rows <= kTileRows ? task.num_groups : panel.features / (32 * kParts);
  for (int first_block = 0; first_block < task.num_blocks; first_block += panel.blocks) {
    const int last_block =
        first_block + panel.blocks < task.num_blocks ? first_block + panel.blocks : task.num_blocks;
    for (int group = 0; group < task.num_groups; group += pass_groups) {
      const int left = task.num_groups - group;
      for (int row = 0; row < task.rows; row += kTileRows) {
        const int rows = task.rows - row < kTileRows ? task.rows - row : kTileRows;
        // Only the first tile meets weights that are not in the cache yet.
        const Product product =
            row == 0 ? kProducts<kBits, kParts, true>[rows] : kProducts<kBits, kParts, false>[rows];
        Pass pass = {};
        pass.tile = task.tiles + (static_cast<std::ptrdiff_t>(row) * task.num_groups +
                                  static_cast<std::ptrdiff_t>(group) * rows) *
                                     kGroupRecord;
        pass.num_groups = left < pass_groups ? left : pass_groups;
        pass.scale_type = task.scale_type;
        pass.first = group == 0;
        pass.last = left <= pass_groups;
        pass.y_stride = task.y_stride;
        for (int block = first_block; block < last_block; ++block) {
          pass.weights = task.weights + block * block_bytes + group * group_bytes;
          pass.bias = task.bias == nullptr ? nullptr : task.bias + block * kBlock;
          pass.y = task.y + row * task.y_stride + block * kBlock;
          pass.mask = row_mask(task, block);
          product(pass);
        }
      }
    }
  }
}

}  // namespace

void affine_avx512(const AffineTask& task) {
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
