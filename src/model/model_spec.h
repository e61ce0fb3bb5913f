// A model's architecture as data: what a backend computes, with the names of the weights it needs. An
// architecture file (model/architectures/) turns config.json and tensor names into one of these; a backend
// reads nothing else. Sizes are counts of elements; names are full tensor-name prefixes without ".weight".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tensor.h"

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

/// Which rows of the stored tensors are a layer's, where one tensor holds several layers (fused projections,
/// stacked experts): row r is stored row first + r / run * period + r % run. total 0: exactly the layer's.
struct StoredRows {
  std::int64_t total = 0;
  std::int64_t first = 0;
  std::int64_t run = 1;
  std::int64_t period = 1;
  bool operator==(const StoredRows&) const = default;

  std::int64_t at(std::int64_t row) const {
    return total == 0 ? row : first + row / run * period + row % run;
  }
};

/// How files hold a layer's weights. Of all but kMlx, model/weight_rows.h makes what Quantization describes.
enum class WeightStorage : std::uint8_t {
  kMlx,         // as Quantization describes
  kTransposed,  // dense: NAME.weight [in, out], or of stacked experts [experts, in, out of each]
  // Integers of other tools, affine here, with NAME.scales and NAME.qzeros [groups, out]:
  kAwq,     // AutoAWQ: NAME.qweight [in, out · 4 / 32]
  kGptq,    // AutoGPTQ: NAME.qweight [in · bits / 32, out], zeros less 1
  kGptqV2,  // GPTQModel: the same with zeros as they are
  // compressed-tensors: NAME.weight_packed [out, in · bits / 32], NAME.weight_scale [out, groups]
  kCompressedInt,
  // e4m3, dense BF16 here: NAME.weight and NAME.weight_scale_inv or NAME.weight_scale, one for each block
  kFp8,
};

/// Of a matrix, what one scale of kFp8 is for where there is not one for each row or for all.
struct ScaleBlock {
  std::int32_t rows = 128;
  std::int32_t columns = 128;
  bool operator==(const ScaleBlock&) const = default;
};

/// y[out] = W[out, in] x[in] (+ bias[out]). Tensors NAME.weight, and if quantized NAME.scales, if affine
/// NAME.biases; if has_bias NAME.bias. Dense weights are F16, BF16 or F32. Tensors of stacked experts have
/// one dimension more in front.
struct LinearSpec {
  std::string name;
  std::int32_t in_features = 0;
  std::int32_t out_features = 0;
  Quantization quantization;  // in which it is computed with
  bool has_bias = false;
  StoredRows rows;
  WeightStorage storage = WeightStorage::kMlx;
  ScaleBlock scale_block;  // of kFp8
  /// Dense in its tensors, quantized when it is loaded: of values rounded to this type, as by mlxd convert.
  std::optional<DType> quantize_from;

  bool is_quantized_in_file() const { return quantization.mode != QuantizationMode::kNone && !quantize_from; }
  std::int64_t stored_rows() const { return rows.total == 0 ? out_features : rows.total; }
};

enum class NormKind : std::uint8_t {
  kRms,    // y = x / sqrt(mean(x²) + eps) · w
  kLayer,  // y = (x − mean(x)) / sqrt(variance(x) + eps) · w + b
};

/// w is tensor NAME.weight [size] plus weight_offset, or 1 if there is none; b is NAME.bias [size], or 0.
struct NormSpec {
  std::string name;
  std::int32_t size = 0;
  float eps = 1e-5F;
  float weight_offset = 0.0F;
  NormKind kind = NormKind::kRms;
  bool has_weight = true;
  bool has_bias = false;
};

/// A norm of all heads' queries or keys.
struct HeadNormSpec {
  /// Its size is head_dim (one weight for all heads) or that of all heads together.
  NormSpec norm;
  /// Mean and variance are of all heads together, not of each.
  bool over_all_heads = false;
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

/// Queries at position p are multiplied by 1 + beta · ln(1 + ⌊p / original_tokens⌋) (llama 4's temperature).
struct PositionScaling {
  float beta = 0.0F;
  std::int32_t original_tokens = 1;
};

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): the keys and values of all heads
/// are linear in a token's latent, so that only this is cached, and beside it one rotated key that all heads
/// share. Computed as one K/V head with keys [latent, shared key] and values [latent]: a head's query is
/// taken into the latents' space by embed_q, what it attends to is brought back by unembed_out.
struct LatentSpec {
  /// q_proj reads q_a_norm(q_a_proj(x)), or x where these are absent.
  std::optional<LinearSpec> q_a_proj;
  std::optional<NormSpec> q_a_norm;
  LinearSpec kv_a_proj;  // latent and shared key
  NormSpec kv_a_norm;    // of the latent
  /// Of all heads, stacked: [latent_dim, nope_dim] each, or if transposed [nope_dim, latent_dim].
  LinearSpec embed_q;
  bool embed_q_transposed = false;
  LinearSpec unembed_out;  // of all heads, stacked: [value_dim, latent_dim] each
  std::int32_t latent_dim = 0;
  std::int32_t nope_dim = 0;  // of a query, without position; rope_dim more that rotate follow them
  std::int32_t rope_dim = 0;
  std::int32_t value_dim = 0;
};

struct AttentionSpec {
  LinearSpec q_proj, o_proj;
  /// Absent, unless `latent` has them: the layer reads the K/V of an earlier one, which has its layer_group
  /// and index_in_group.
  std::optional<LinearSpec> k_proj, v_proj;
  /// Then head_dim is latent_dim + rope_dim, of the one K/V head; the rope is of the last rope_dim.
  std::optional<LatentSpec> latent;
  /// The attention's output is multiplied by sigmoid(gate_proj(input)) before o_proj.
  std::optional<LinearSpec> gate_proj;
  std::int32_t num_heads = 0;
  std::int32_t num_kv_heads =
      0;  // divides num_heads; query head h reads kv head h / (num_heads / num_kv_heads)
  std::int32_t head_dim = 0;
  std::optional<HeadNormSpec> q_norm, k_norm, v_norm;
  bool norm_after_rope = false;
  float scale = 1.0F;    // on q·k
  float softcap = 0.0F;  // scores become softcap · tanh(score / softcap); 0: they stay
  std::string sinks;     // tensor [num_heads]: a score more in each softmax, of no value; empty: none
  std::optional<std::int32_t> rope;  // index into ModelSpec::ropes; absent: no positions
  std::optional<PositionScaling> position_scaling;
  std::int32_t layer_group = 0;     // index into ModelSpec::layer_groups
  std::int32_t index_in_group = 0;  // which K/V slab of the group's pages

  bool has_kv() const { return k_proj || latent; }
};

enum class Activation : std::uint8_t {
  kSilu,
  kGeluTanh,  // the approximation by tanh
  kGelu,      // exact, by erf
  kRelu,
  kRelu2,          // max(x, 0)²
  kSigmoid,        // of gates
  kClampedSwiGlu,  // gpt-oss: gate ≤ 7, −7 ≤ up ≤ 7; gate · sigmoid(1.702 · gate) · (up + 1)
};

/// down(activation(gate(x)) * up(x)), or without a gate down(activation(up(x)))
struct MlpSpec {
  std::optional<LinearSpec> gate_proj;
  LinearSpec up_proj, down_proj;
  Activation activation = Activation::kSilu;
};

enum class RecurrentKind : std::uint8_t {
  kShortConv,   // y = gate ∘ u
  kGatedDelta,  // gated delta rule (Yang et al., arXiv 2412.06464, equation 10)
  kMamba2,      // state space duality (Dao and Gu, arXiv 2405.21060, section 6)
};

/// u_t[c] = Σ_j w[c, j] · x_(t − kernel + 1 + j)[c] + b[c]; x before the first position is 0. Tensors
/// NAME.weight, [channels, kernel] with a dimension of 1 somewhere, and if has_bias NAME.bias [channels].
struct ConvSpec {
  std::string name;
  std::int32_t channels = 0;
  std::int32_t kernel = 0;
  bool has_bias = false;
  bool activated = true;  // SiLU follows
};

/// In place of attention: a layer whose past is a state of fixed size. u = convolution of inputs(x), each
/// multiplied by input_gate(x) if there is one. Then, for a head with keys k, queries q of key_dim, values v
/// of value_dim and a state S [key_dim, value_dim]:
/// - kGatedDelta: u = queries and keys of all key heads, values of all value heads, of which num_heads /
///   num_key_heads in turn share a key head. q = q̂ / key_dim, k = k̂ / √key_dim, x̂ = x / sqrt(mean(x²) +
///   1e-6 / key_dim); g = exp(−exp(A_log) · softplus(decay(x) + dt_bias)), β = sigmoid(beta(x)).
///   S ← g S; S ← S + k ⊗ β (v − kᵀS); o = qᵀS.
/// - kMamba2: u = values of all heads, then keys and then queries of all key heads. Δ = softplus(decay(x) +
///   dt_bias), clamped to [min, max]_time_step; S ← exp(−exp(A_log) Δ) S + k ⊗ Δ v; o = qᵀS + D v.
/// y = norm(o) · silu(gate(x)), or norm_after_gate: norm(o · silu(gate(x))), the norm of norm_size elements
/// each. The layer's output is out_proj(y).
struct RecurrentSpec {
  RecurrentKind kind = RecurrentKind::kShortConv;
  std::vector<LinearSpec> inputs;  // stacked: the convolution's channels
  std::optional<LinearSpec> input_gate_proj;
  LinearSpec gate_proj, out_proj;
  ConvSpec conv;
  // All that follows only where there are heads.
  std::optional<LinearSpec> decay_proj;  // [num_heads, hidden]
  std::optional<LinearSpec> beta_proj;   // [num_heads, hidden]; only kGatedDelta
  std::int32_t num_heads = 0;
  std::int32_t num_key_heads = 0;
  std::int32_t key_dim = 0;
  std::int32_t value_dim = 0;
  std::string a_log, dt_bias;  // tensors [num_heads]
  std::string skip;            // D, tensor [num_heads]; only kMamba2
  float min_time_step = 0.0F;
  float max_time_step = 0.0F;
  /// Of norm_size elements; its weights have that size or that of all heads together.
  std::optional<NormSpec> norm;
  std::int32_t norm_size = 0;
  bool norm_after_gate = false;
  std::int32_t layer_group = 0;     // index into ModelSpec::layer_groups
  std::int32_t index_in_group = 0;  // which state of the group's pages

  /// Elements of y.
  std::int32_t inner() const { return out_proj.in_features; }
  bool has_heads() const { return kind != RecurrentKind::kShortConv; }
  /// The last kernel − 1 inputs of the convolution, oldest first, then S of each head.
  std::int64_t conv_state_floats() const { return std::int64_t{conv.kernel - 1} * conv.channels; }
  std::int64_t head_state_floats() const { return std::int64_t{key_dim} * value_dim; }
  std::int64_t state_floats() const { return conv_state_floats() + num_heads * head_state_floats(); }
};

enum class RouterScoring : std::uint8_t {
  kSoftmax,          // over all experts
  kSoftmaxOfChosen,  // over the chosen ones' logits
  kSigmoid,
  /// Of each in turn a softmax over those not chosen yet whose logits lie within a relative distance of
  /// 2 · jitter (phimoe).
  kSparseMixer,
};

/// Which experts a token goes to, and with what weight. Of equal scores the lower index wins.
struct RouterSpec {
  LinearSpec gate;
  /// Tensor [hidden]; then the gate reads x / sqrt(mean(x²) + input_eps) · input_scales · input_scale, x
  /// being the residual stream. Empty: it reads what the experts read.
  std::string input_scales;
  float input_scale = 1.0F;
  float input_eps = 0.0F;
  RouterScoring scoring = RouterScoring::kSoftmax;
  /// Tensor [experts] added to the scores for choosing, not for weighing; empty: none.
  std::string correction_bias;
  std::int32_t experts_per_token = 1;
  /// Experts are chosen within the best top_groups of num_groups equal groups, whose score is the sum of
  /// their `group_best` best experts.
  std::int32_t num_groups = 1;
  std::int32_t top_groups = 1;
  std::int32_t group_best = 1;
  /// Weights are divided by their sum (plus normalize_eps), then multiplied by `scale`.
  float jitter = 0.0F;
  bool normalize = false;
  float normalize_eps = 0.0F;
  float scale = 1.0F;
  /// The weight multiplies the expert's input, not its output (llama 4).
  bool weigh_input = false;
  std::string expert_scales;  // tensor [experts] that multiplies the weights at last; empty: none
};

/// experts_post(Σ weight_e · expert_e(x)) over the chosen experts, plus shared_post(shared(x)) ·
/// sigmoid(shared_gate(x)). With a shared_norm the shared expert reads that of the residual stream.
struct MoeSpec {
  RouterSpec router;
  std::vector<MlpSpec> experts;  // all of one shape and activation
  std::optional<MlpSpec> shared;
  std::optional<LinearSpec> shared_gate;  // one output
  std::optional<NormSpec> shared_norm, shared_post_norm, experts_post_norm;
};

/// x += post_norm(projection(activation(gate(x)) · input)), the input being the layer's own
/// (PerLayerEmbeddingSpec).
struct PerLayerInputSpec {
  LinearSpec gate;        // [dim, hidden]
  LinearSpec projection;  // [hidden, dim]
  NormSpec post_norm;
  Activation activation = Activation::kGeluTanh;
};

/// h = x + r · post(attention(norm(x))); out = h + r · post(mlp(norm(h))), where a norm that is absent
/// changes nothing and r is residual_scale. parallel: out = x + r · attention(norm(x)) + r · mlp(norm(x)),
/// with the same norm if mlp_norm is absent. A layer without attention or recurrence has h = x, one without
/// MLP or experts out = h.
struct LayerSpec {
  std::optional<NormSpec> attention_norm;
  std::optional<AttentionSpec> attention;  // either this
  std::optional<RecurrentSpec> recurrent;  // or this, or both, added; not parallel to an MLP
  std::optional<NormSpec> attention_post_norm;
  std::optional<NormSpec> mlp_norm;
  std::optional<MlpSpec> mlp;  // either this
  std::optional<MoeSpec> moe;  // or this
  std::optional<NormSpec> mlp_post_norm;
  bool parallel = false;
  float residual_scale = 1.0F;
  /// At the end of the layer, in this order; not of layers that are parallel.
  std::optional<PerLayerInputSpec> per_layer_input;
  std::string output_scale;  // tensor [1] that multiplies the residual stream; empty: none

  bool mixes() const { return attention || recurrent; }
};

enum class LayerGroupKind : std::uint8_t {
  kAttention,
  kRecurrent,  // pages hold states (PageGroupInfo::is_state)
};

/// window_tokens of recurrent layers: the state behind a token's predecessor is all that it needs.
inline constexpr std::int32_t kStateWindow = 2;

/// Layers whose K/V or states live in the same pages: one page table per sequence and group.
struct LayerGroup {
  LayerGroupKind kind = LayerGroupKind::kAttention;
  std::int32_t num_layers = 0;
  std::int64_t state_floats = 0;  // fp32 of one layer's state; only recurrent
  std::int32_t num_kv_heads = 0;
  std::int32_t head_dim = 0;
  /// A token at position p attends to positions max(0, p − window_tokens + 1) … p; 0: to all up to p.
  std::int32_t window_tokens = 0;
};

/// Inputs of a layer's own, [layers, dim] for each token of id t and (scaled) embedding x:
/// scale · (embedding_scale · embedding[t] + projection_norm(projection_scale · projection(x))), the norm of
/// each layer's part.
struct PerLayerEmbeddingSpec {
  LinearSpec embedding;   // rows are tokens, [layers · dim]
  LinearSpec projection;  // [layers · dim, hidden]
  NormSpec projection_norm;
  std::int32_t dim = 0;
  float embedding_scale = 1.0F;
  float projection_scale = 1.0F;
  float scale = 1.0F;
};

/// Token embedding; tensors as in LinearSpec with out_features = vocab_size and in_features = hidden_size
/// (rows are tokens).
struct ModelSpec {
  std::string model_type;
  std::int32_t hidden_size = 0;
  std::int32_t vocab_size = 0;
  std::int32_t context_tokens = 0;  // max_position_embeddings
  LinearSpec embedding;
  float embedding_scale = 1.0F;
  /// Learned positions [positions, hidden_size] that are added to the embeddings.
  std::optional<LinearSpec> position_embedding;
  std::optional<NormSpec> embedding_norm;
  /// Then every layer has a per_layer_input.
  std::optional<PerLayerEmbeddingSpec> per_layer_embedding;
  std::vector<LayerSpec> layers;
  NormSpec final_norm;
  /// Logits of the vocabulary; equals `embedding` if the weights are tied.
  LinearSpec lm_head;
  bool tied_embeddings = false;
  float logits_scale = 1.0F;
  float logits_softcap = 0.0F;  // after the scale, as in AttentionSpec; 0: none
  std::vector<RopeSpec> ropes;
  std::vector<LayerGroup> layer_groups;
};

}  // namespace mlxd
