// The kernels around the weight products (norm, rotary embedding, activation, residual, attention), one set
// for each instruction set, all with the same bits. Written once over the 16-lane vector (vector.h) in
// vector_kernels_impl.h and attention_kernels_impl.h. Pure functions of their arguments; thread-safe on
// disjoint outputs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/isa.h"
#include "backends/cpu/kv_block.h"
#include "engine/step_batch.h"
#include "model/model_spec.h"

namespace mlxd {

/// Attention results are accumulated per segment of this many keys, aligned to absolute positions, and
/// segments are merged in order: so a context may be split over threads at segment bounds without changing a
/// bit.
inline constexpr std::int32_t kSegmentPages = 8;
inline constexpr std::int32_t kSegmentKeys = kSegmentPages * kPageTokens;

/// Elements of the largest head the kernels take: DeepSeek's latents and rotated keys.
inline constexpr std::int32_t kMaxKernelHeadDim = 576;

/// Softmax over some keys, not yet divided: largest score, sum of exponentials against it, weighted values.
struct AttentionState {
  float* maximum = nullptr;  // [rows]
  float* sum = nullptr;      // [rows]
  float* values = nullptr;   // [rows, head_dim]
};

/// Rows of queries that share a K/V head, against the keys of one segment.
struct AttentionSegment {
  const float* queries = nullptr;  // [rows, head_dim], already scaled
  std::int32_t rows = 0;
  std::int32_t head_dim = 0;  // a multiple of kLanes
  /// [rows]: each row sees keys begin … end − 1 of the segment, at least one; both ascending.
  const std::int32_t* key_begins = nullptr;
  const std::int32_t* key_ends = nullptr;
  KvFormat format = KvFormat::kFloat16;
  /// Blocks (kv_block.h) of the segment's pages: those that hold keys which a row sees, and one more: what to
  /// prefetch after the last. Others are not read.
  const std::byte* const* blocks = nullptr;
  float* scores = nullptr;    // scratch [rows, kSegmentKeys]
  float* unpacked = nullptr;  // scratch [kPageTokens, head_dim]
  float softcap = 0.0F;       // scores become softcap · tanh(score / softcap); 0: they stay
};

/// Most taps of a layer's convolution.
inline constexpr std::int32_t kMaxConvKernel = 16;

/// out[i] = Σ_j weights[j · weight_stride + i] · inputs[j][i] (· gates[j][i]) + bias[i], and SiLU of that if
/// activated.
struct Convolution {
  std::int32_t kernel = 0;
  const float* inputs[kMaxConvKernel] = {};
  const float* gates[kMaxConvKernel] = {};  // null: 1
  const float* weights = nullptr;
  std::ptrdiff_t weight_stride = 0;
  const float* bias = nullptr;  // null: 0
  bool activated = false;
};

/// One head of a recurrent layer over some tokens in turn, S being its state [key_dim, value_dim]:
/// S ← decay · S + key ⊗ factor · (value − known); output = Sᵀ query + skip · value, where known is
/// decay · Sᵀ key of the S before if is_delta_rule, else 0.
struct Recurrence {
  std::int32_t rows = 0;  // tokens
  std::int32_t key_dim = 0;
  std::int32_t value_dim = 0;  // a multiple of kLanes
  bool is_delta_rule = false;
  float skip = 0.0F;
  float* state = nullptr;
  const float* keys = nullptr;  // [rows, ...] with `stride` between tokens, as queries and values
  const float* queries = nullptr;
  const float* values = nullptr;
  std::ptrdiff_t stride = 0;
  const float* decays = nullptr;  // [rows] with rate_stride between tokens, as factors
  const float* factors = nullptr;
  std::ptrdiff_t rate_stride = 0;
  float* outputs = nullptr;  // [rows, value_dim] with output_stride between tokens
  std::ptrdiff_t output_stride = 0;
};

struct VectorKernels {
  /// 1 / sqrt(mean(x²) + eps) over x [n].
  float (*inverse_rms)(const float* x, std::int32_t n, float eps);
  /// out = (x · factor) · weight
  void (*normalize)(const float* x, const float* weight, float factor, float* out, std::int32_t n);
  /// Σ x / n
  float (*mean)(const float* x, std::int32_t n);
  /// 1 / sqrt(mean((x − mean)²) + eps) over x [n].
  float (*inverse_deviation)(const float* x, float mean, std::int32_t n, float eps);
  /// out = (x − mean) · factor · weight + bias; bias may be null, out may be x
  void (*normalize_centered)(const float* x, const float* weight, const float* bias, float mean, float factor,
                             float* out, std::int32_t n);
  /// x += y
  void (*add_to)(const float* y, float* x, std::int32_t n);
  /// x += y · factor
  void (*add_scaled)(const float* y, float factor, float* x, std::int32_t n);
  /// y[i] = fma(inner[k], up[k][i], y[i]) for k = 0 … rank - 1 in this order; up [rank, stride]
  void (*add_low_rank)(const float* inner, std::int32_t rank, const float* up, std::ptrdiff_t stride,
                       float* y, std::int32_t n);
  /// x = cap · tanh(x / cap)
  void (*softcap)(float* x, float cap, std::int32_t n);
  /// out = activation(gate) · up (+ 1 and clamped, of kClampedSwiGlu); up may be null: activation(gate). out
  /// may be gate or up
  void (*gate)(Activation activation, const float* gate, const float* up, float* out, std::int32_t n);
  /// Rotates the first 2 · pairs elements of a head in place.
  void (*rotate)(float* head, const float* cosines, const float* sines, std::int32_t pairs, bool traditional);
  /// out = x · factor
  void (*scale)(const float* x, float factor, float* out, std::int32_t n);
  /// Half precision, saturating; n a multiple of kLanes.
  void (*to_half)(const float* x, std::uint16_t* out, std::int32_t n);
  /// Likewise, the upper halves of fp32.
  void (*to_bfloat)(const float* x, std::uint16_t* out, std::int32_t n);
  /// x ≈ codes · scale, which is returned: largest / 127. Elements beyond the largest half count as that, NaN
  /// as the lowest. n a multiple of kLanes.
  float (*to_int8)(const float* x, std::int8_t* codes, std::int32_t n);
  /// x = high + low, exactly but for the last bit: high is what int8 with one scale for each 32 elements
  /// holds of x, low the rest, 1/254 of the group's largest element at most. A product of both has 16-bit
  /// activations. n a multiple of 32; not for NaN or infinity.
  void (*split)(const float* x, float* high, float* low, std::int32_t n);
  /// Index of the largest element, the first of equal ones; -1 if no element is above -infinity.
  std::int32_t (*peak)(const float* x, std::int32_t n);
  void (*attend)(const AttentionSegment& segment, const AttentionState& out);
  /// Takes up the state of the keys that follow.
  void (*merge)(const AttentionState& into, const AttentionState& next, std::int32_t rows,
                std::int32_t head_dim);
  /// out [head_dim] = values / sum of one row.
  void (*finish)(const AttentionState& state, std::int32_t row, float* out, std::int32_t head_dim);
  void (*convolve)(const Convolution& conv, float* out, std::int32_t n);
  void (*recur)(const Recurrence& run);
  /// y[m][o] = Σ x[m][k] · w[o][k] in fp32 with 16 partial sums; w [outputs, features] without gaps.
  void (*product)(const float* x, std::ptrdiff_t x_stride, std::int32_t rows, const float* w,
                  std::int32_t features, std::int32_t outputs, float* y, std::ptrdiff_t y_stride);
};

/// The set for `isa`, which must be available on this machine.
const VectorKernels& vector_kernels(Isa isa);
/// Those available whose sets differ: some instruction sets share one. Best last.
std::vector<Isa> vector_isas();

/// Each instruction set's own set; defined where the architecture has it.
const VectorKernels* scalar_vector_kernels();
const VectorKernels* avx2_vector_kernels();
const VectorKernels* avx512_vector_kernels();
const VectorKernels* neon_vector_kernels();

}  // namespace mlxd
