#include "backends/cpu/reference_weights.h"

#include <utility>

namespace mlxd {
namespace {

class Reader {
 public:
  explicit Reader(const WeightMap& weights) : weights_(weights) {}

  std::size_t num_floats() const { return num_floats_; }

  Result<DenseLinear> read(const LinearSpec& spec) {
    DenseLinear linear;
    linear.in_features = spec.in_features;
    linear.out_features = spec.out_features;
    linear.weights = TRY(read_linear(spec, weights_));
    linear.bias = TRY(read_bias(spec, weights_));
    num_floats_ += linear.weights.size() + linear.bias.size();
    return linear;
  }

  Result<DenseNorm> read(const NormSpec& spec) {
    DenseNorm norm = TRY(read_norm(spec, weights_));
    num_floats_ += norm.weight.size() + norm.bias.size();
    return norm;
  }

  Result<std::optional<DenseLinear>> read(const std::optional<LinearSpec>& spec) {
    if (!spec) return std::optional<DenseLinear>();
    return std::optional(TRY(read(*spec)));
  }

  Result<std::optional<DenseNorm>> read(const std::optional<NormSpec>& spec) {
    if (!spec) return std::optional<DenseNorm>();
    return std::optional(TRY(read(*spec)));
  }

  Result<DenseMlp> read(const MlpSpec& spec) {
    DenseMlp mlp;
    mlp.gate_proj = TRY(read(spec.gate_proj));
    mlp.up_proj = TRY(read(spec.up_proj));
    mlp.down_proj = TRY(read(spec.down_proj));
    return mlp;
  }

  Result<DenseMoe> read(const MoeSpec& spec) {
    DenseMoe moe;
    moe.routing = TRY(RouterWeights::read(spec.router, weights_));
    num_floats_ += moe.routing.num_floats();
    moe.router.in_features = spec.router.gate.in_features;
    moe.router.out_features = spec.router.gate.out_features;
    moe.router.weights = std::exchange(moe.routing.gate, {});
    moe.router.bias = std::exchange(moe.routing.bias, {});
    moe.shared_norm = TRY(read(spec.shared_norm));
    moe.shared_post_norm = TRY(read(spec.shared_post_norm));
    moe.experts_post_norm = TRY(read(spec.experts_post_norm));
    for (const MlpSpec& expert : spec.experts) moe.experts.push_back(TRY(read(expert)));
    if (spec.shared) moe.shared = TRY(read(*spec.shared));
    moe.shared_gate = TRY(read(spec.shared_gate));
    return moe;
  }

  Result<DenseLatent> read(const LatentSpec& spec, std::int32_t heads) {
    DenseLatent latent;
    latent.q_a_proj = TRY(read(spec.q_a_proj));
    latent.q_a_norm = TRY(read(spec.q_a_norm));
    latent.kv_a_proj = TRY(read(spec.kv_a_proj));
    latent.kv_a_norm = TRY(read(spec.kv_a_norm));
    latent.unembed_out = TRY(read(spec.unembed_out));
    if (!spec.embed_q_transposed) {
      latent.embed_q = TRY(read(spec.embed_q));
      return latent;
    }
    latent.embed_q.in_features = spec.nope_dim;
    latent.embed_q.out_features = heads * spec.latent_dim;
    latent.embed_q.weights = TRY(read_transposed_heads(spec.embed_q, heads, weights_));
    num_floats_ += latent.embed_q.weights.size();
    return latent;
  }

  Result<void> read(const AttentionSpec& attention, DenseLayer& layer) {
    if (attention.q_norm) layer.q_norm = TRY(read(attention.q_norm->norm));
    if (attention.k_norm) layer.k_norm = TRY(read(attention.k_norm->norm));
    if (attention.v_norm) layer.v_norm = TRY(read(attention.v_norm->norm));
    layer.q_proj = TRY(read(attention.q_proj));
    layer.k_proj = TRY(read(attention.k_proj));
    layer.v_proj = TRY(read(attention.v_proj));
    layer.gate_proj = TRY(read(attention.gate_proj));
    layer.o_proj = TRY(read(attention.o_proj));
    if (attention.latent) layer.latent = TRY(read(*attention.latent, attention.num_heads));
    if (!attention.sinks.empty())
      layer.sinks = TRY(read_vector(attention.sinks, attention.num_heads, weights_));
    return {};
  }

  Result<DenseRecurrent> read(const RecurrentSpec& spec) {
    DenseRecurrent recurrent;
    for (const LinearSpec& input : spec.inputs) recurrent.inputs.push_back(TRY(read(input)));
    recurrent.input_gate_proj = TRY(read(spec.input_gate_proj));
    recurrent.decay_proj = TRY(read(spec.decay_proj));
    recurrent.beta_proj = TRY(read(spec.beta_proj));
    recurrent.gate_proj = TRY(read(spec.gate_proj));
    recurrent.out_proj = TRY(read(spec.out_proj));
    recurrent.rest = TRY(RecurrentWeights::read(spec, weights_));
    num_floats_ += recurrent.rest.num_floats();
    return recurrent;
  }

  Result<DenseLayer> read(const LayerSpec& spec) {
    DenseLayer layer;
    layer.attention_norm = TRY(read(spec.attention_norm));
    layer.attention_post_norm = TRY(read(spec.attention_post_norm));
    layer.mlp_norm = TRY(read(spec.mlp_norm));
    layer.mlp_post_norm = TRY(read(spec.mlp_post_norm));
    if (spec.attention) TRY(read(*spec.attention, layer));
    if (spec.recurrent) layer.recurrent = TRY(read(*spec.recurrent));
    if (spec.mlp) layer.mlp = TRY(read(*spec.mlp));
    if (spec.moe) layer.moe = TRY(read(*spec.moe));
    if (spec.per_layer_input) {
      DensePerLayerInput& input = layer.per_layer_input.emplace();
      input.gate = TRY(read(spec.per_layer_input->gate));
      input.projection = TRY(read(spec.per_layer_input->projection));
      input.post_norm = TRY(read(spec.per_layer_input->post_norm));
    }
    if (!spec.output_scale.empty())
      layer.output_scale = TRY(read_vector(spec.output_scale, 1, weights_)).front();
    return layer;
  }

 private:
  const WeightMap& weights_;
  std::size_t num_floats_ = 0;
};

}  // namespace

Result<DenseModel> DenseModel::read(const ModelSpec& spec, const WeightMap& weights,
                                    const LoadProgress& progress) {
  Reader reader(weights);
  DenseModel model;
  model.embedding = TRY(reader.read(spec.embedding));
  model.position_embedding = TRY(reader.read(spec.position_embedding));
  model.embedding_norm = TRY(reader.read(spec.embedding_norm));
  if (spec.per_layer_embedding) {
    DensePerLayerEmbedding& inputs = model.per_layer_embedding.emplace();
    inputs.embedding = TRY(reader.read(spec.per_layer_embedding->embedding));
    inputs.projection = TRY(reader.read(spec.per_layer_embedding->projection));
    inputs.projection_norm = TRY(reader.read(spec.per_layer_embedding->projection_norm));
  }
  for (const LayerSpec& layer : spec.layers) {
    model.layers.push_back(TRY(reader.read(layer)));
    if (progress &&
        !progress(static_cast<float>(model.layers.size()) / static_cast<float>(spec.layers.size() + 1)))
      return load_stopped();
  }
  model.final_norm = TRY(reader.read(spec.final_norm));
  if (!spec.tied_embeddings) model.lm_head = TRY(reader.read(spec.lm_head));
  model.num_floats = reader.num_floats();
  if (progress && !progress(1.0F)) return load_stopped();
  return model;
}

}  // namespace mlxd
