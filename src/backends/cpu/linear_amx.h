// How int8 activations lie for the tile instructions (AMX): from kAmxMinRows rows on, tiles of kAmxTileRows
// rows (the last one of what is left); below, and with offsets or two records a group, as QuantizeTask
// describes, for the products of AVX-512. In a tile of R rows, one record per group: int8 [R][32], float
// scale[R], float scale × sum [R]; a row's 32 int8 are its kSteps steps one after another. Included by
// sources compiled for one instruction set.
#pragma once

#include <cstdint>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {

inline constexpr std::int32_t kAmxTileRows = 16;
/// Below, unpacking a panel of weights costs as much as the tiles save.
inline constexpr std::int32_t kAmxMinRows = 28;
/// A whole tile's int8 are read, whatever the number of its rows.
inline constexpr std::int32_t kAmxReadBytes = 32 * kAmxTileRows;

namespace {

/// Whether activations of one record a group lie so. Unnamed namespace: see CMakeLists.txt.
constexpr bool has_amx_tiles(std::int32_t rows, const std::int32_t* offsets) {
  return rows >= kAmxMinRows && offsets == nullptr;
}

}  // namespace

}  // namespace mlxd
