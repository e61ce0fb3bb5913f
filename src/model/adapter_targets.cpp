#include "model/adapter_targets.h"

#include <array>
#include <string_view>
#include <utility>

namespace mlxd {
namespace {

class Collector {
 public:
  AdapterTargets take() { return std::move(targets_); }

  void set_layer(std::size_t layer) { layer_ = layer; }

  void add(const LinearSpec& linear, AdaptedKind kind = AdaptedKind::kLinear) {
    AdapterTarget target;
    target.kind = kind;
    target.in_features = linear.in_features;
    target.out_features = static_cast<std::int32_t>(linear.stored_rows());
    target.quantized = linear.quantization.mode != QuantizationMode::kNone;
    insert(linear.name, std::move(target));
  }

  void add(const std::optional<LinearSpec>& linear) {
    if (linear) add(*linear);
  }

  void add(const MlpSpec& mlp) {
    add(mlp.gate_proj);
    add(mlp.up_proj);
    add(mlp.down_proj);
  }

  void add(const AttentionSpec& attention) {
    add(attention.q_proj);
    add(attention.k_proj);
    add(attention.v_proj);
    add(attention.gate_proj);
    add(attention.o_proj);
    if (!attention.latent) return;
    add(attention.latent->q_a_proj);
    add(attention.latent->kv_a_proj);
    // One module, which makes keys and values of latents; taken apart, it is none that can be adapted.
    if (attention.latent->embed_q_transposed) add(attention.latent->embed_q);
  }

  void add(const RecurrentSpec& recurrent) {
    for (const LinearSpec& input : recurrent.inputs) add(input);
    add(recurrent.input_gate_proj);
    add(recurrent.gate_proj);
    add(recurrent.decay_proj);
    add(recurrent.beta_proj);
    add(recurrent.out_proj);
  }

  void add(const MoeSpec& moe) {
    if (moe.router.input_scales.empty()) add(moe.router.gate);
    add(moe.shared_gate);
    if (moe.shared) add(*moe.shared);
    const MlpSpec& first = moe.experts.front();
    if (first.gate_proj) add_experts(*first.gate_proj, moe.experts.size());
    add_experts(first.up_proj, moe.experts.size());
    add_experts(first.down_proj, moe.experts.size());
  }

 private:
  // The first expert says how all are stored.
  void add_experts(const LinearSpec& expert, std::size_t count) {
    const std::int64_t rows = expert.out_features;
    const bool stacked = expert.rows.first == 0 && expert.rows.run == rows && expert.rows.period == rows &&
                         expert.rows.total == rows * static_cast<std::int64_t>(count);
    if (!stacked) return;
    AdapterTarget target;
    target.kind = AdaptedKind::kExperts;
    target.experts = static_cast<std::int32_t>(count);
    target.in_features = expert.in_features;
    target.out_features = expert.out_features;
    target.quantized = expert.quantization.mode != QuantizationMode::kNone;
    insert(expert.name, std::move(target));
  }

  void insert(const std::string& name, AdapterTarget target) {
    target.layer = layer_;
    if (layer_) {
      const std::string index = "." + std::to_string(*layer_) + ".";
      if (const std::size_t place = name.find(index); place != std::string::npos)
        target.local_name = name.substr(place + index.size());
    }
    targets_.try_emplace(name, std::move(target));
  }

  std::optional<std::size_t> layer_;
  AdapterTargets targets_;
};

}  // namespace

AdapterTargets adapter_targets(const ModelSpec& spec) {
  Collector collector;
  collector.add(spec.embedding, AdaptedKind::kEmbedding);
  if (!spec.tied_embeddings) collector.add(spec.lm_head);
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const LayerSpec& layer = spec.layers[i];
    collector.set_layer(i);
    if (layer.attention) collector.add(*layer.attention);
    if (layer.recurrent) collector.add(*layer.recurrent);
    if (layer.mlp) collector.add(*layer.mlp);
    if (layer.moe) collector.add(*layer.moe);
    if (layer.per_layer_input) {
      collector.add(layer.per_layer_input->gate);
      collector.add(layer.per_layer_input->projection);
    }
  }
  return collector.take();
}

}  // namespace mlxd
