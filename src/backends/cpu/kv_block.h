// What a block of a K/V page looks like: keys and values of kPageTokens positions, of one layer and K/V head.
// Keys come first, as [head_dim, kPageTokens], so that a vector holds one element of 16 keys; then the values
// as [kPageTokens, head_dim]. kInt8 has a scale for each key and after them one for each value, fp32 [2,
// kPageTokens]: element = code · scale. (The reference executor keeps its keys as it does its values.) A
// block's size is a multiple of 64 for all head sizes that the kernels take. Threads may write different
// slots of a block at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace mlxd {

struct VectorKernels;

enum class KvFormat : std::uint8_t {
  kFloat16,   // saturating at ±65504
  kBFloat16,  // the range of fp32, 8 bits of precision
  kInt8,      // codes −127 … 127, one scale for each key and each value
  kFloat32,
};

std::string_view to_string(KvFormat format);  // "fp16", "bf16", "int8", "fp32"
Result<KvFormat> parse_kv_format(std::string_view name);

/// Where the parts of a block lie.
struct KvBlockLayout {
  KvBlockLayout(KvFormat format, std::int32_t head_dim);

  KvFormat format;
  std::int32_t head_dim;
  std::size_t element_bytes;
  std::size_t values_offset;  // of the values, in bytes
  std::size_t scales_offset;  // of the scales; where there are none, the end
  std::size_t num_bytes;
};

/// Write one position's key or value [head_dim] into slot 0 … kPageTokens − 1; head_dim is a multiple of
/// kLanes.
void write_key(const VectorKernels& kernels, const KvBlockLayout& layout, std::byte* block, std::int32_t slot,
               const float* key);
void write_value(const VectorKernels& kernels, const KvBlockLayout& layout, std::byte* block,
                 std::int32_t slot, const float* value);

}  // namespace mlxd
