#include "backends/cpu/reference_adapters.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <optional>

namespace mlxd {
namespace {

/// Keys' part of what makes keys and values of latents; its weights are kept transposed, head by head.
Result<void> list_embed_q(CpuAdapterBuilder& builder, const DenseLinear& embed_q, const LatentSpec& spec) {
  const auto nope = static_cast<std::size_t>(spec.nope_dim);
  const auto latent = static_cast<std::size_t>(spec.latent_dim);
  return builder.add({.address = &embed_q,
                      .parts = {&spec.embed_q, 1},
                      .read_row = [&embed_q, nope, latent](std::int32_t row, float* out) {
                        const auto index = static_cast<std::size_t>(row);
                        const float* head = embed_q.weights.data() + index / nope * latent * nope;
                        for (std::size_t i = 0; i < latent; ++i) out[i] = head[i * nope + index % nope];
                      }});
}

}  // namespace

Result<void> list_products(CpuAdapterBuilder& builder, const DenseModel& model, const ModelSpec& spec) {
  const auto list = [&](const DenseLinear& linear, const LinearSpec& linear_spec) {
    return list_product(builder, &linear, linear.weights, linear.bias, linear_spec);
  };
  const auto list_if = [&](const std::optional<DenseLinear>& linear,
                           const std::optional<LinearSpec>& linear_spec) {
    return linear ? list(*linear, *linear_spec) : Result<void>();
  };
  const auto list_mlp = [&](const DenseMlp& mlp, const MlpSpec& mlp_spec) -> Result<void> {
    TRY(list_if(mlp.gate_proj, mlp_spec.gate_proj));
    TRY(list(mlp.up_proj, mlp_spec.up_proj));
    return list(mlp.down_proj, mlp_spec.down_proj);
  };
  // Without biases, which compute_logits adds later.
  TRY(list_product(builder, &model.embedding, model.embedding.weights, {}, spec.embedding));
  if (model.lm_head) TRY(list_product(builder, &*model.lm_head, model.lm_head->weights, {}, spec.lm_head));
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const DenseLayer& layer = model.layers[i];
    const LayerSpec& layer_spec = spec.layers[i];
    const AttentionSpec& attention = layer_spec.attention;
    TRY(list(layer.q_proj, attention.q_proj));
    TRY(list_if(layer.k_proj, attention.k_proj));
    TRY(list_if(layer.v_proj, attention.v_proj));
    TRY(list_if(layer.gate_proj, attention.gate_proj));
    TRY(list(layer.o_proj, attention.o_proj));
    if (layer.latent) {
      TRY(list_if(layer.latent->q_a_proj, attention.latent->q_a_proj));
      TRY(list(layer.latent->kv_a_proj, attention.latent->kv_a_proj));
      if (attention.latent->embed_q_transposed) {
        TRY(list_embed_q(builder, layer.latent->embed_q, *attention.latent));
        TRY(list(layer.latent->unembed_out, attention.latent->unembed_out));
      }
    }
    if (layer.mlp) TRY(list_mlp(*layer.mlp, *layer_spec.mlp));
    if (layer.moe) {
      TRY(list(layer.moe->router, layer_spec.moe->router.gate));
      TRY(list_if(layer.moe->shared_gate, layer_spec.moe->shared_gate));
      if (layer.moe->shared) TRY(list_mlp(*layer.moe->shared, *layer_spec.moe->shared));
      for (std::size_t e = 0; e < layer.moe->experts.size(); ++e)
        TRY(list_mlp(layer.moe->experts[e], layer_spec.moe->experts[e]));
    }
    if (layer.per_layer_input) {
      TRY(list(layer.per_layer_input->gate, layer_spec.per_layer_input->gate));
      TRY(list(layer.per_layer_input->projection, layer_spec.per_layer_input->projection));
    }
  }
  return {};
}

const LowRankProduct* find_product(const CpuAdapter* adapter, const DenseLinear* linear) {
  return adapter == nullptr ? nullptr : adapter->find(linear);
}

std::vector<float> inner_values(const LowRankProduct& low, const float* x) {
  const auto in = static_cast<std::size_t>(low.in_features);
  std::vector<float> inner(static_cast<std::size_t>(low.num_ranks));
  for (std::size_t k = 0; k < inner.size(); ++k)
    inner[k] = std::inner_product(x, x + in, low.down.begin() + static_cast<std::ptrdiff_t>(k * in), 0.0F);
  return inner;
}

/// Outputs [first, last) of y, a whole row, become those with the adapter.
void add_outer(const LowRankProduct& low, const std::vector<float>& inner, std::int32_t first,
               std::int32_t last, float* y) {
  for (const LowRankPart& part : low.parts) {
    for (std::int32_t o = std::max(first, part.first_output);
         o < std::min(last, part.first_output + part.num_outputs); ++o) {
      const auto index = static_cast<std::size_t>(o - part.first_output);
      float sum = part.gain.empty() ? y[o] : y[o] * part.gain[index];
      for (std::size_t k = 0; k < static_cast<std::size_t>(part.rank); ++k) {
        sum += inner[static_cast<std::size_t>(part.first_rank) + k] *
               part.up[k * static_cast<std::size_t>(part.num_outputs) + index];
      }
      y[o] = part.offset.empty() ? sum : sum + part.offset[index];
    }
  }
}

/// x [hidden], the embedding of a token, becomes that with the adapter.
void adapt_embedding(const LowRankProduct& low, TokenId token, float* x) {
  const LowRankPart& part = low.parts.front();
  const auto in = static_cast<std::size_t>(low.in_features);
  const auto index = static_cast<std::size_t>(token);
  for (std::size_t d = 0; d < in; ++d) {
    if (!part.gain.empty()) x[d] *= part.gain[index];
    for (std::size_t k = 0; k < static_cast<std::size_t>(part.rank); ++k)
      x[d] += part.up[k * static_cast<std::size_t>(part.num_outputs) + index] * low.down[k * in + d];
  }
}

std::vector<float> take_backwards(const LowRankProduct& low, std::int32_t first, std::int32_t last,
                                  float* x) {
  const LowRankPart& part = low.parts.front();
  const auto begin = static_cast<std::size_t>(first);
  const auto count = static_cast<std::size_t>(last - first);
  std::vector<float> inner(static_cast<std::size_t>(part.rank));
  for (std::size_t k = 0; k < inner.size(); ++k) {
    const float* up = part.up.data() + k * static_cast<std::size_t>(part.num_outputs) + begin;
    inner[k] = std::inner_product(x, x + count, up, 0.0F);
  }
  for (std::size_t i = 0; i < count && !part.gain.empty(); ++i) x[i] *= part.gain[begin + i];
  return inner;
}

void add_backwards(const LowRankProduct& low, const std::vector<float>& inner, float* y) {
  const auto in = static_cast<std::size_t>(low.in_features);
  for (std::size_t k = 0; k < inner.size(); ++k) {
    for (std::size_t i = 0; i < in; ++i) y[i] += inner[k] * low.down[k * in + i];
  }
}

}  // namespace mlxd
