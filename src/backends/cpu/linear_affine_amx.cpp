// Quantized products of many rows with AMX tiles: a tile of 16 activation rows × a block of 16 output rows,
// one tile product per activation group, whose 256 integers then go through memory to the fused multiply-adds
// of AVX-512.
//
// The two kinds of work take turns, a chunk of groups each: while tile products are under way the core's
// second 512-bit port is closed to vector arithmetic, so mixing them finely costs more than it hides.
#include <immintrin.h>

#include "backends/cpu/linear_affine_zmm.h"
#include "backends/cpu/linear_amx.h"

namespace mlxd {
namespace {

constexpr int kPanelBlocks = 2;
constexpr int kPrefetchBytes = 4608;
constexpr int kPanelFeatures = 1024;  // of the input: with two blocks, most of the first-level cache
constexpr int kPanelGroups = kPanelFeatures / 32;
constexpr int kChunkGroups = 8;  // activation groups: their integers, 16 KB, stay in the first-level cache
constexpr int kCodeBytes = 32 * kBlock;                        // of an activation group, a byte each
constexpr int kScalarBytes = 2 * kBlock * int(sizeof(float));  // of a weight group
constexpr int kDotsBytes = kAmxTileRows * kBlock * int(sizeof(std::int32_t));
static_assert(kPanelGroups % kChunkGroups == 0 && kChunkGroups % 4 == 0);  // whole weight groups of 128

/// What LDTILECFG reads (Intel's Architecture Instruction Set Extensions, "TILECFG").
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

// Tile registers, by number, as the intrinsics want them.
#define DOTS_0 0
#define DOTS_1 1
#define DOTS_2 2
#define DOTS_3 3
#define ROWS_0 4
#define CODES_0 5
#define CODES_1 6
#define ROWS_1 7

/// The tile registers of this thread, while it lives.
class Tiles {
 public:
  Tiles() {
    TileConfig config;
    for (int tile = 0; tile < 8; ++tile) {
      const bool codes = tile == CODES_0 || tile == CODES_1;
      const bool rows = tile == ROWS_0 || tile == ROWS_1;
      config.rows[tile] = codes ? kSteps : kAmxTileRows;
      config.row_bytes[tile] = rows ? 32 : kLine;
    }
    // Not the intrinsic, of which GCC 12 believes that it reads eight bytes.
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

/// A part of two blocks' weights: codes as bytes, a tile per activation group, scales and biases in fp32.
struct Panel {
  alignas(64) std::byte codes[kPanelBlocks][kPanelGroups * kCodeBytes];
  alignas(64) std::byte scalars[kPanelBlocks][kPanelGroups * kScalarBytes];
};

/// Between the tile products and the sums: for each activation group of a chunk, block, row and lane.
struct Chunk {
  alignas(64) std::byte dots[kChunkGroups][kPanelBlocks][kDotsBytes];
  alignas(64) float sums[kChunkGroups][kAmxTileRows];  // per weight group and row, Σ a·sum
};

/// y of a row tile, [block][row][lane].
struct Sums {
  alignas(64) float y[kPanelBlocks][kAmxTileRows][kBlock];
};

/// Codes of an activation group, [step][lane][4].
template <Codes kCodes>
inline __attribute__((always_inline)) void unpack_codes(const std::byte* packed, std::byte* codes) {
#pragma GCC unroll 8
  for (int step = 0; step < kSteps; ++step)
    _mm512_store_si512(codes + step * kLine, load_step<kCodes>(packed, step));
}

/// `num_groups` weight groups of a block.
template <Codes kCodes, int kParts>
void unpack(const std::byte* packed, int num_groups, ScalarType scale_type, std::byte* codes,
            std::byte* scalars) {
  constexpr int kPackedBytes = bytes_of(kCodes);
  const int scale_bytes = scalars_bytes(scale_type);
  for (int group = 0; group < num_groups; ++group) {
#pragma GCC unroll 4
    for (int part = 0; part < kParts; ++part) {
#pragma GCC unroll 8
      for (int line = 0; line < kPackedBytes / kLine; ++line) {
        _mm_prefetch(packed + kPrefetchBytes + line * kLine, _MM_HINT_T0);
      }
      unpack_codes<kCodes>(packed, codes);
      packed += kPackedBytes;
      codes += kCodeBytes;
    }
    _mm512_store_ps(scalars, load_scalars(packed, scale_type));
    _mm512_store_ps(scalars + kLine, load_scalars(packed + scale_bytes, scale_type));
    packed += 2 * scale_bytes;
    scalars += kScalarBytes;
  }
}

/// dots = rows · codes for `num_groups` activation groups of both blocks (of one if there is no second).
inline void multiply(const std::byte* records, int record_bytes, const std::byte* codes_0,
                     const std::byte* codes_1, int num_groups, Chunk& chunk) {
  for (int group = 0; group < num_groups; group += 2) {
    const std::byte* record = records + group * record_bytes;
    const std::byte* next_record = record + record_bytes;
    const int codes = group * kCodeBytes;
    const bool pair = group + 1 < num_groups;
    _tile_loadd(ROWS_0, record, 32);
    _tile_loadd(CODES_0, codes_0 + codes, kLine);
    _tile_zero(DOTS_0);
    _tile_dpbsud(DOTS_0, ROWS_0, CODES_0);
    _tile_loadd(CODES_1, codes_1 + codes, kLine);
    _tile_zero(DOTS_1);
    _tile_dpbsud(DOTS_1, ROWS_0, CODES_1);
    if (pair) {
      _tile_loadd(ROWS_1, next_record, 32);
      _tile_loadd(CODES_0, codes_0 + codes + kCodeBytes, kLine);
      _tile_zero(DOTS_2);
      _tile_dpbsud(DOTS_2, ROWS_1, CODES_0);
      _tile_loadd(CODES_1, codes_1 + codes + kCodeBytes, kLine);
      _tile_zero(DOTS_3);
      _tile_dpbsud(DOTS_3, ROWS_1, CODES_1);
    }
    _tile_stored(DOTS_0, chunk.dots[group][0], kLine);
    _tile_stored(DOTS_1, chunk.dots[group][1], kLine);
    if (pair) {
      _tile_stored(DOTS_2, chunk.dots[group + 1][0], kLine);
      _tile_stored(DOTS_3, chunk.dots[group + 1][1], kLine);
    }
  }
}

/// What the fused multiply-adds of a chunk read and write.
struct ChunkSums {
  const Chunk* chunk;
  const std::byte* records;  // at the chunk's first group
  const std::byte* scalars;  // the same
  int block;                 // of the panel
  int num_groups;            // weight groups
  bool first;                // y starts from 0
  float* y;                  // [row][lane]
};

/// y += scale * Σ a·dot + bias * Σ a·sum, weight group after weight group.
template <int kParts, int kRows>
void add_groups(const ChunkSums& task) {
  __m512 y[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    y[r] = task.first ? _mm512_setzero_ps() : _mm512_load_ps(task.y + r * kBlock);
  }
  const std::byte* record = task.records;
  const std::byte* scalars = task.scalars;
  for (int group = 0; group < task.num_groups; ++group) {
    const __m512 scale = _mm512_load_ps(scalars);
    const __m512 bias = _mm512_load_ps(scalars + kLine);
    const float* sums =
        kParts == 1 ? reinterpret_cast<const float*>(record + 36 * kRows) : task.chunk->sums[group];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      __m512 t;
#pragma GCC unroll 4
      for (int part = 0; part < kParts; ++part) {
        const std::byte* part_record = record + part * kRecordBytesPerRow * kRows;
        const __m512 a = _mm512_set1_ps(reinterpret_cast<const float*>(part_record + 32 * kRows)[r]);
        const __m512 dot = _mm512_cvtepi32_ps(
            _mm512_load_si512(task.chunk->dots[group * kParts + part][task.block] + r * kLine));
        t = part == 0 ? _mm512_mul_ps(dot, a) : _mm512_fmadd_ps(dot, a, t);
      }
      y[r] = _mm512_fmadd_ps(scale, t, y[r]);
      y[r] = _mm512_fmadd_ps(bias, _mm512_set1_ps(sums[r]), y[r]);
    }
    record += kParts * kRecordBytesPerRow * kRows;
    scalars += kScalarBytes;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) _mm512_store_ps(task.y + r * kBlock, y[r]);
}

/// Σ a·sum of each weight group and row, which both blocks read.
template <int kParts>
void add_sums(const std::byte* records, int rows, int num_groups, Chunk& chunk) {
  const auto mask = static_cast<__mmask16>((1U << static_cast<unsigned>(rows)) - 1U);
  for (int group = 0; group < num_groups; ++group) {
    __m512 c = _mm512_maskz_loadu_ps(mask, records + 36 * rows);
#pragma GCC unroll 4
    for (int part = 1; part < kParts; ++part) {
      c = _mm512_add_ps(c, _mm512_maskz_loadu_ps(mask, records + (part * kRecordBytesPerRow + 36) * rows));
    }
    _mm512_store_ps(chunk.sums[group], c);
    records += kParts * kRecordBytesPerRow * rows;
  }
}

using AddGroups = void (*)(const ChunkSums&);

/// By number of rows, 1 … 16.
template <int kParts>
constexpr AddGroups kAddGroups[kAmxTileRows + 1] = {
    nullptr,
    add_groups<kParts, 1>,
    add_groups<kParts, 2>,
    add_groups<kParts, 3>,
    add_groups<kParts, 4>,
    add_groups<kParts, 5>,
    add_groups<kParts, 6>,
    add_groups<kParts, 7>,
    add_groups<kParts, 8>,
    add_groups<kParts, 9>,
    add_groups<kParts, 10>,
    add_groups<kParts, 11>,
    add_groups<kParts, 12>,
    add_groups<kParts, 13>,
    add_groups<kParts, 14>,
    add_groups<kParts, 15>,
    add_groups<kParts, 16>,
};

/// The part of y that a panel and a row tile meet in.
struct Output {
  float* y;  // of the tile's first row and the panel's first block
  std::ptrdiff_t stride;
  int rows;
  int num_blocks;
  __mmask16 last_mask;  // rows of the last block that exist
  const float* bias;    // null before the last pass
};

void load(const Output& output, Sums& sums) {
  for (int block = 0; block < output.num_blocks; ++block) {
    const __mmask16 mask = block + 1 == output.num_blocks ? output.last_mask : 0xFFFF;
    for (int r = 0; r < output.rows; ++r) {
      _mm512_store_ps(sums.y[block][r],
                      _mm512_maskz_loadu_ps(mask, output.y + r * output.stride + block * kBlock));
    }
  }
}

void store(const Output& output, const Sums& sums) {
  for (int block = 0; block < output.num_blocks; ++block) {
    const __mmask16 mask = block + 1 == output.num_blocks ? output.last_mask : 0xFFFF;
    for (int r = 0; r < output.rows; ++r) {
      __m512 y = _mm512_load_ps(sums.y[block][r]);
      if (output.bias != nullptr) y = _mm512_add_ps(y, _mm512_loadu_ps(output.bias + block * kBlock));
      _mm512_mask_storeu_ps(output.y + r * output.stride + block * kBlock, mask, y);
    }
  }
}

/// One row tile × a panel. `records`: the tile's, at the panel's first group.
template <int kParts>
void run_tile(const std::byte* records, const Panel& panel, int num_groups, bool first,
              const Output& output) {
  Chunk chunk;
  Sums sums;
  const int record_bytes = kRecordBytesPerRow * output.rows;
  if (!first) load(output, sums);
  for (int group = 0; group < num_groups; group += kChunkGroups) {
    const int groups = num_groups - group < kChunkGroups ? num_groups - group : kChunkGroups;
    const std::byte* chunk_records = records + group * record_bytes;
    multiply(chunk_records, record_bytes, panel.codes[0] + group * kCodeBytes,
             panel.codes[output.num_blocks - 1] + group * kCodeBytes, groups, chunk);
    if constexpr (kParts > 1) add_sums<kParts>(chunk_records, output.rows, groups / kParts, chunk);
    for (int block = 0; block < output.num_blocks; ++block) {
      kAddGroups<kParts>[output.rows]({
          .chunk = &chunk,
          .records = chunk_records,
          .scalars = panel.scalars[block] + group / kParts * kScalarBytes,
          .block = block,
          .num_groups = groups / kParts,
          .first = first && group == 0,
          .y = sums.y[block][0],
      });
    }
  }
  store(output, sums);
}

template <Codes kCodes, int kParts>
void run(const AffineTask& task) {
  constexpr int kPanelWeightGroups = kPanelGroups / kParts;
  const std::ptrdiff_t group_bytes = static_cast<std::ptrdiff_t>(bytes_of(kCodes)) * kParts +
                                     2 * static_cast<std::ptrdiff_t>(scalars_bytes(task.scale_type));
  const std::ptrdiff_t block_bytes = task.num_groups * group_bytes;
  const Tiles tiles;
  Panel panel;
  for (int first_block = 0; first_block < task.num_blocks; first_block += kPanelBlocks) {
    const int left_blocks = task.num_blocks - first_block;
    Output output = {};
    output.stride = task.y_stride;
    output.num_blocks = left_blocks < kPanelBlocks ? left_blocks : kPanelBlocks;
    output.last_mask = left_blocks > kPanelBlocks
                           ? 0xFFFF
                           : static_cast<__mmask16>((1U << static_cast<unsigned>(task.last_block_rows)) - 1U);
    for (int group = 0; group < task.num_groups; group += kPanelWeightGroups) {
      const int left = task.num_groups - group;
      const int groups = left < kPanelWeightGroups ? left : kPanelWeightGroups;
      for (int block = 0; block < output.num_blocks; ++block) {
        unpack<kCodes, kParts>(task.weights + (first_block + block) * block_bytes + group * group_bytes,
                               groups, task.scale_type, panel.codes[block], panel.scalars[block]);
      }
      // The tile loads' operands say nothing of the memory they read.
      asm volatile("" : : : "memory");
      if (left <= kPanelWeightGroups && task.bias != nullptr) {
        output.bias = task.bias + static_cast<std::ptrdiff_t>(first_block) * kBlock;
      }
      for (int row = 0; row < task.rows; row += kAmxTileRows) {
        output.rows = task.rows - row < kAmxTileRows ? task.rows - row : kAmxTileRows;
        output.y = task.y + row * task.y_stride + first_block * kBlock;
        const std::byte* records = task.tiles + (static_cast<std::ptrdiff_t>(row) * task.num_groups +
                                                 static_cast<std::ptrdiff_t>(group) * output.rows) *
                                                    kParts * kRecordBytesPerRow;
        run_tile<kParts>(records, panel, groups * kParts, group == 0, output);
      }
    }
  }
}

template <Codes kCodes>
void run_parts(const AffineTask& task) {
  switch (task.group_size) {
    case 32:
      return run<kCodes, 1>(task);
    case 64:
      return run<kCodes, 2>(task);
    default:
      return run<kCodes, 4>(task);
  }
}

}  // namespace

void affine_amx(const AffineTask& task) {
  if (task.planes > 1 || !has_amx_tiles(task.rows, task.offsets)) return affine_avx512(task);
  switch (task.code_bits) {
    case 2:
      return run_parts<Codes::k2>(task);
    case 3:
      return run_parts<Codes::k3>(task);
    case 4:
      return run_parts<Codes::k4>(task);
    case 5:
      return run_parts<Codes::k5>(task);
    case 6:
      return run_parts<Codes::k6>(task);
    default:
      return run_parts<Codes::k8>(task);
  }
}

}  // namespace mlxd
