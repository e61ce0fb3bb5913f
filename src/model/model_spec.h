// A model's architecture as data: what a backend computes, with the names of the weights it needs. An
// architecture file (model/architectures/) turns config.json and tensor names into one of these; a backend
// reads nothing else. Sizes are counts of elements; names are full tensor-name prefixes without ".weight".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlxd {

enum class QuantizationMode : std::uint8_t { kNone, kAffine, kMxfp4, kMxfp8, kNvfp4 };

/// MLX's formats. All: weight uint32 [out, in * bits / 32], element k of a row at bits k * bits, little end
/// first; one scale for group_size elements, [out, in / group_size].
/// - affine: 2, 3, 4, 5, 6 or 8 bits in groups of 32, 64 or 128; scales and biases F16, BF16 or F32;
///   value = code * scale + bias.
/// - mxfp4, mxfp8: codes are e2m1 (4 bits) or e4m3 (8 bits) numbers in groups of 32, scales U8 that hold e8m0
///   (OCP Microscaling Formats 1.0); value = number * scale.
/// - nvfp4: e2m1 in groups of 16, scales U8 that hold e4m3; value = number * scale.
struct Quantization {
  QuantizationMode mode = QuantizationMode::kNone;
  std::int32_t bits = 0;
  std::int32_t group_size = 0;
  bool operator==(const Quantization&) const = default;
};

std::string_view to_string(QuantizationMode mode);  // MLX's names: "affine", "mxfp4", …; kNone: "none"

/// y[out] = W[out, in] x[in] (+ bias[out]). Tensors NAME.weight, and if quantized NAME.scales, if affine
/// NAME.biases; if has_bias NAME.bias. Dense weights are F16, BF16 or F32.
struct LinearSpec {
  std::string name;
  std::int32_t in_features = 0;
  std::int32_t out_features = 0;
  Quantization quantization;
  bool has_bias = false;
};

/// y = x / sqrt(mean(x²) + eps) * (w + weight_offset); tensor NAME.weight [size].
struct NormSpec {
  std::string name;
  std::int32_t size = 0;
  float eps = 1e-5F;
  float weight_offset = 0.0F;
};

/// Rotary position embedding over the first `rotary_dim` elements of each head. Scaling variants (linear,
/// llama3, …) are already folded into the frequencies.
struct RopeSpec {
  /// Angle per position of each pair, radians; size rotary_dim / 2.
  std::vector<float> inverse_frequencies;
  std::int32_t rotary_dim = 0;
  /// true: pairs are (2i, 2i+1); false: (i, i + rotary_dim/2), as Hugging Face's llama does.
  bool traditional = false;
  /// Factor on cos and sin (yarn, longrope); 1 otherwise.
  float attention_factor = 1.0F;
};

struct AttentionSpec {
  LinearSpec q_proj, k_proj, v_proj, o_proj;
  std::int32_t num_heads = 0;
  std::int32_t num_kv_heads =
      0;  // divides num_heads; query head h reads kv head h / (num_heads / num_kv_heads)
  std::int32_t head_dim = 0;
  float scale = 1.0F;                // on q·k
  std::optional<std::int32_t> rope;  // index into ModelSpec::ropes; absent: no positions
  std::int32_t layer_group = 0;      // index into ModelSpec::layer_groups
  std::int32_t index_in_group = 0;   // which K/V slab of the group's pages
};

enum class Activation : std::uint8_t { kSilu, kGeluTanh };

/// down(activation(gate(x)) * up(x))
struct MlpSpec {
  LinearSpec gate_proj, up_proj, down_proj;
  Activation activation = Activation::kSilu;
};

/// h = x + attention(norm(x)); out = h + mlp(norm(h))
struct LayerSpec {
  NormSpec attention_norm;
  AttentionSpec attention;
  NormSpec mlp_norm;
  MlpSpec mlp;
};

enum class LayerGroupKind : std::uint8_t { kAttention };

/// Layers whose K/V live in the same pages: one page table per sequence and group.
struct LayerGroup {
  LayerGroupKind kind = LayerGroupKind::kAttention;
  std::int32_t num_layers = 0;
  std::int32_t num_kv_heads = 0;
  std::int32_t head_dim = 0;
  /// A token at position p attends to positions max(0, p − window_tokens + 1) … p; 0: to all up to p.
  std::int32_t window_tokens = 0;
};

/// Token embedding; tensors as in LinearSpec with out_features = vocab_size and in_features = hidden_size
/// (rows are tokens).
struct ModelSpec {
  std::string model_type;
  std::int32_t hidden_size = 0;
  std::int32_t vocab_size = 0;
  std::int32_t context_tokens = 0;  // max_position_embeddings
  LinearSpec embedding;
  std::vector<LayerSpec> layers;
  NormSpec final_norm;
  /// Logits of the vocabulary; equals `embedding` if the weights are tied.
  LinearSpec lm_head;
  bool tied_embeddings = false;
  std::vector<RopeSpec> ropes;
  std::vector<LayerGroup> layer_groups;
};

}  // namespace mlxd
