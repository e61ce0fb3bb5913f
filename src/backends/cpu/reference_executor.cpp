#include "backends/cpu/reference_executor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "backends/cpu/reference_adapters.h"
#include "backends/cpu/vector.h"

namespace mlxd {
namespace {

// Output rows that a piece of a product covers: their weights stay in cache while all tokens pass.
constexpr std::int64_t kPieceRows = 32;
constexpr std::size_t kMaxPairs = 512;  // of the widest head

std::size_t most_experts(const ModelSpec& spec) {
  std::size_t most = 0;
  for (const LayerSpec& layer : spec.layers) {
    if (layer.moe) most = std::max(most, layer.moe->experts.size());
  }
  return most;
}

/// Σ a[i] · b[i] in 16 partial sums, which compilers turn into vectors.
float dot(const float* a, const float* b, std::size_t n) {
  float sums[16] = {};
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (std::size_t l = 0; l < 16; ++l) sums[l] += a[i + l] * b[i + l];
  }
  float total = 0.0F;
  for (; i < n; ++i) total += a[i] * b[i];
  for (const float sum : sums) total += sum;
  return total;
}

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kGeluTanh:
      return 0.5F * x * (1.0F + std::tanh(0.7978845608F * (x + 0.044715F * x * x * x)));
    case Activation::kGelu:
      return 0.5F * x * (1.0F + std::erf(x * 0.7071067812F));
    case Activation::kRelu:
      return std::max(x, 0.0F);
    case Activation::kRelu2:
      return std::max(x, 0.0F) * std::max(x, 0.0F);
    case Activation::kSigmoid:
      return sigmoid(x);
    case Activation::kClampedSwiGlu:
      return std::min(x, 7.0F) * sigmoid(1.702F * std::min(x, 7.0F));
  }
  return x;
}

float gate(Activation activation, float gate, float up) {
  if (activation == Activation::kClampedSwiGlu) up = std::clamp(up, -7.0F, 7.0F) + 1.0F;
  return activate(activation, gate) * up;
}

float softcap(float x, float cap) { return cap > 0.0F ? cap * std::tanh(x / cap) : x; }

/// y [n] = norm of x [n], whose weights begin at `weight` (and biases at the same place).
void normalize_row(const DenseNorm& norm, const float* x, std::size_t weight, std::size_t n, float* y) {
  const auto count = static_cast<float>(n);
  float mean = 0.0F;
  if (norm.kind == NormKind::kLayer) {
    for (std::size_t i = 0; i < n; ++i) mean += x[i];
    mean /= count;
  }
  float sum = 0.0F;
  for (std::size_t i = 0; i < n; ++i) sum += (x[i] - mean) * (x[i] - mean);
  const float factor = 1.0F / std::sqrt(sum / count + norm.eps);
  for (std::size_t i = 0; i < n; ++i) {
    y[i] = (x[i] - mean) * factor * norm.weight[weight + i];
    if (!norm.bias.empty()) y[i] += norm.bias[weight + i];
  }
}

/// Norm of the heads of one token, in place.
void normalize_heads(const HeadNormSpec& spec, const DenseNorm& norm, std::size_t num_heads,
                     std::size_t head_dim, float* heads) {
  if (spec.over_all_heads) return normalize_row(norm, heads, 0, num_heads * head_dim, heads);
  for (std::size_t h = 0; h < num_heads; ++h) {
    const std::size_t weight = norm.weight.size() == head_dim ? 0 : h * head_dim;
    normalize_row(norm, heads + h * head_dim, weight, head_dim, heads + h * head_dim);
  }
}

/// x [n] becomes what a block of the format gives back of it.
void round_to(KvFormat format, float* x, std::size_t n) {
  float largest = 0.0F;
  for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  const float scale = largest / 127.0F;
  for (std::size_t i = 0; i < n; ++i) {
    switch (format) {
      case KvFormat::kFloat16:
        x[i] = ScalarVector::half_to_float(ScalarVector::float_to_half(x[i]));
        break;
      case KvFormat::kBFloat16:
        x[i] = ScalarVector::bfloat_to_float(ScalarVector::float_to_bfloat(x[i]));
        break;
      case KvFormat::kInt8:
        x[i] = scale > 0.0F ? std::nearbyint(x[i] / scale) * scale : 0.0F;
        break;
      case KvFormat::kFloat32:
        break;
    }
  }
}

}  // namespace

ReferenceExecutor::ReferenceExecutor(const ModelSpec& spec, ThreadPool& pool, const Options& options)
    : spec_(spec),
      pool_(pool),
      kernels_(vector_kernels(options.isa)),
      kv_format_(options.kv_format),
      kept_rows_(options.max_batch_tokens, spec.hidden_size),
      routing_(most_experts(spec)) {
  for (const LayerGroup& group : spec.layer_groups)
    pages_.emplace_back(group, KvFormat::kFloat32, options.touch_pages);
  for (const RopeSpec& rope : spec.ropes) ropes_.emplace_back(rope, spec.context_tokens);
  std::int32_t q = 0;
  std::int32_t kv = 0;
  std::int32_t intermediate = 0;
  std::int32_t compressed = 0;
  std::int32_t head_queries = 0;
  std::int32_t head_outputs = 0;
  for (const LayerSpec& layer : spec.layers) {
    if (layer.attention) {
      const AttentionSpec& attention = *layer.attention;
      q = std::max(q, attention.num_heads * attention.head_dim);
      if (const auto& latent = attention.latent) {
        if (latent->q_a_proj) compressed = std::max(compressed, latent->q_a_proj->out_features);
        head_queries = std::max(head_queries, attention.q_proj.out_features);
        head_outputs = std::max(head_outputs, attention.o_proj.in_features);
      }
      kv = std::max(kv, attention.num_kv_heads * attention.head_dim);
    }
    if (layer.mlp) intermediate = std::max(intermediate, layer.mlp->up_proj.out_features);
    if (layer.moe) {
      intermediate = std::max(intermediate, layer.moe->experts.front().up_proj.out_features);
      if (layer.moe->shared) intermediate = std::max(intermediate, layer.moe->shared->up_proj.out_features);
    }
  }
  const auto rows = static_cast<std::size_t>(std::max<std::int32_t>(options.max_batch_tokens, kLogitRows));
  const auto hidden = static_cast<std::size_t>(spec.hidden_size);
  for (Rows* buffer : {&x_, &normed_, &y_}) buffer->resize(rows * hidden);
  for (Rows* buffer : {&q_, &attended_, &head_gates_}) buffer->resize(rows * static_cast<std::size_t>(q));
  for (Rows* buffer : {&k_, &v_}) buffer->resize(rows * static_cast<std::size_t>(kv));
  for (Rows* buffer : {&gate_, &up_}) buffer->resize(rows * static_cast<std::size_t>(intermediate));
  if (spec.per_layer_embedding) {
    layer_inputs_.resize(rows * static_cast<std::size_t>(spec.per_layer_embedding->embedding.in_features));
    layer_gates_.resize(rows * static_cast<std::size_t>(spec.per_layer_embedding->dim));
  }
  compressed_.resize(rows * static_cast<std::size_t>(compressed));
  head_queries_.resize(rows * static_cast<std::size_t>(head_queries));
  head_outputs_.resize(rows * static_cast<std::size_t>(head_outputs));
  if (const std::size_t experts = most_experts(spec); experts > 0) {
    router_logits_.resize(rows * experts);
    shared_gates_.resize(rows);
    for (Rows* buffer : {&expert_input_, &expert_output_}) buffer->resize(rows * hidden);
  }
  recurrence_.reserve(spec, rows);
  scores_.resize(static_cast<std::size_t>(pool.num_threads()));
  for (std::vector<float>& scores : scores_) scores.resize(static_cast<std::size_t>(spec.context_tokens));
}

Result<std::unique_ptr<ReferenceExecutor>> ReferenceExecutor::load(const ModelSpec& spec,
                                                                   const WeightMap& weights, ThreadPool& pool,
                                                                   const Options& options) {
  std::unique_ptr<ReferenceExecutor> executor(new ReferenceExecutor(spec, pool, options));
  executor->model_ = TRY(DenseModel::read(spec, weights, options.progress));
  return executor;
}

std::size_t ReferenceExecutor::weight_bytes() const { return model_.num_floats * sizeof(float); }

std::size_t ReferenceExecutor::scratch_bytes() const {
  std::size_t count = scores_.size() * static_cast<std::size_t>(spec_.context_tokens);
  for (const Rows* buffer : {&x_, &normed_, &q_, &k_, &v_, &attended_, &head_gates_, &gate_, &up_, &y_,
                             &layer_inputs_, &layer_gates_, &compressed_, &head_queries_, &head_outputs_,
                             &router_logits_, &expert_input_, &expert_output_, &shared_gates_}) {
    count += buffer->size();
  }
  return count * sizeof(float) + kept_rows_.memory_bytes() + recurrence_.memory_bytes();
}

void ReferenceExecutor::apply(const DenseLinear& linear, const Rows& x, std::size_t rows, Rows& y) {
  const auto out = static_cast<std::size_t>(linear.out_features);
  const auto in = static_cast<std::size_t>(linear.in_features);
  pool_.parallel_for(
      linear.out_features, kPieceRows, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
        kernels_.product(x.data(), linear.in_features, static_cast<std::int32_t>(rows),
                         linear.weights.data() + static_cast<std::size_t>(begin) * in, linear.in_features,
                         static_cast<std::int32_t>(end - begin), y.data() + begin, linear.out_features);
        if (linear.bias.empty()) return;
        for (std::size_t row = 0; row < rows; ++row) {
          for (auto o = static_cast<std::size_t>(begin); o < static_cast<std::size_t>(end); ++o) {
            y[row * out + o] += linear.bias[o];
          }
        }
      });
  adapt(linear, x, rows, y);
}

const LowRankProduct* ReferenceExecutor::row_product(std::size_t row, const DenseLinear& linear) const {
  return row_adapters_.empty() ? nullptr : find_product(row_adapters_[row], &linear);
}

void ReferenceExecutor::adapt(const DenseLinear& linear, const Rows& x, std::size_t rows, Rows& y) const {
  for (std::size_t row = 0; row < rows; ++row) {
    const LowRankProduct* const low = row_product(row, linear);
    if (low == nullptr) continue;
    const float* from = x.data() + row * static_cast<std::size_t>(linear.in_features);
    add_outer(*low, inner_values(*low, from), 0, linear.out_features,
              y.data() + row * static_cast<std::size_t>(linear.out_features));
  }
}

/// y = norm(x), or x if there is none; y may be x.
void ReferenceExecutor::normalize(const Rows& x, std::size_t rows, const std::optional<DenseNorm>& norm,
                                  Rows& y) const {
  const auto n = static_cast<std::size_t>(spec_.hidden_size);
  if (!norm) {
    if (&x != &y) std::copy_n(x.begin(), rows * n, y.begin());
    return;
  }
  for (std::size_t row = 0; row < rows; ++row)
    normalize_row(*norm, x.data() + row * n, 0, n, y.data() + row * n);
}

void ReferenceExecutor::add_to_residual(const std::optional<DenseNorm>& post, float scale, std::size_t rows) {
  normalize(y_, rows, post, y_);
  const std::size_t count = rows * static_cast<std::size_t>(spec_.hidden_size);
  for (std::size_t i = 0; i < count; ++i) x_[i] += y_[i] * scale;
}

float* ReferenceExecutor::kv_block(const StepInput& step, const AttentionSpec& attention, std::size_t token,
                                   std::int32_t position, std::int32_t kv_head) const {
  const auto group = static_cast<std::size_t>(attention.layer_group);
  const BatchSequence& sequence = step.sequences[static_cast<std::size_t>(step.sequence_indices[token])];
  const auto entry = static_cast<std::size_t>(sequence.page_tables[group].begin + position / kPageTokens);
  const PageId page = step.batch->page_ids[entry];
  return reinterpret_cast<float*>(pages_[group].block(page, attention.index_in_group, kv_head));
}

/// Norm, rotation and temperature of one token's queries or keys, in place.
void ReferenceExecutor::prepare_head(const StepInput& step, const AttentionSpec& attention, std::size_t token,
                                     bool is_query, const DenseLayer& layer, float* heads) {
  const auto head_dim = static_cast<std::size_t>(attention.head_dim);
  const auto num_heads = static_cast<std::size_t>(is_query ? attention.num_heads : attention.num_kv_heads);
  const auto& norm_spec = is_query ? attention.q_norm : attention.k_norm;
  const auto& norm = is_query ? layer.q_norm : layer.k_norm;
  if (norm && !attention.norm_after_rope) normalize_heads(*norm_spec, *norm, num_heads, head_dim, heads);
  const std::int32_t position = step.positions[token];
  const auto first_rotated = static_cast<std::size_t>(attention.latent ? attention.latent->latent_dim : 0);
  if (attention.rope) {
    const RopeTable& rope = ropes_[static_cast<std::size_t>(*attention.rope)];
    const auto pairs = static_cast<std::size_t>(rope.num_pairs());
    std::array<float, kMaxPairs> cosines;
    std::array<float, kMaxPairs> sines;
    rope.fill(position, cosines.data(), sines.data());
    for (std::size_t h = 0; h < num_heads; ++h) {
      float* head = heads + h * head_dim + first_rotated;
      for (std::size_t i = 0; i < pairs; ++i) {
        float& a = rope.traditional() ? head[2 * i] : head[i];
        float& b = rope.traditional() ? head[2 * i + 1] : head[i + pairs];
        const float rotated = a * cosines[i] - b * sines[i];
        b = b * cosines[i] + a * sines[i];
        a = rotated;
      }
    }
  }
  if (norm && attention.norm_after_rope) normalize_heads(*norm_spec, *norm, num_heads, head_dim, heads);
  if (is_query && attention.position_scaling) {
    const float factor = position_factor(*attention.position_scaling, position);
    for (std::size_t i = 0; i < num_heads * head_dim; ++i) heads[i] *= factor;
  }
}

/// q_, k_ and v_ of latent attention, not yet rotated.
void ReferenceExecutor::project_latent(const AttentionSpec& attention, const DenseLayer& layer,
                                       const Rows& input, std::size_t rows) {
  const LatentSpec& spec = *attention.latent;
  const DenseLatent& latent = *layer.latent;
  const auto latent_dim = static_cast<std::size_t>(spec.latent_dim);
  const auto nope = static_cast<std::size_t>(spec.nope_dim);
  const auto rope = static_cast<std::size_t>(spec.rope_dim);
  const auto head_dim = static_cast<std::size_t>(attention.head_dim);
  const auto heads = static_cast<std::size_t>(attention.num_heads);
  if (latent.q_a_proj) {
    apply(*latent.q_a_proj, input, rows, compressed_);
    const auto size = static_cast<std::size_t>(latent.q_a_proj->out_features);
    for (std::size_t row = 0; row < rows; ++row)
      normalize_row(*latent.q_a_norm, &compressed_[row * size], 0, size, &compressed_[row * size]);
  }
  apply(layer.q_proj, latent.q_a_proj ? compressed_ : input, rows, head_queries_);
  for (std::size_t row = 0; row < rows; ++row) {
    const LowRankProduct* const low = row_product(row, latent.embed_q);
    for (std::size_t h = 0; h < heads; ++h) {
      float* from = head_queries_.data() + (row * heads + h) * (nope + rope);
      float* to = q_.data() + (row * heads + h) * head_dim;
      const float* weights = latent.embed_q.weights.data() + h * latent_dim * nope;
      std::vector<float> inner;
      if (low != nullptr) {
        inner = take_backwards(*low, static_cast<std::int32_t>(h * nope),
                               static_cast<std::int32_t>((h + 1) * nope), from);
      }
      for (std::size_t i = 0; i < latent_dim; ++i) to[i] = dot(weights + i * nope, from, nope);
      if (low != nullptr) add_backwards(*low, inner, to);
      std::copy_n(from + nope, rope, to + latent_dim);
    }
  }
  apply(latent.kv_a_proj, input, rows, k_);
  for (std::size_t row = 0; row < rows; ++row) {
    float* key = k_.data() + row * head_dim;
    normalize_row(latent.kv_a_norm, key, 0, latent_dim, key);
    float* value = v_.data() + row * head_dim;
    std::copy_n(key, latent_dim, value);
    std::fill_n(value + latent_dim, rope, 0.0F);
  }
}

/// head_outputs_ of what the heads attended to.
void ReferenceExecutor::unembed_latent(const AttentionSpec& attention, const DenseLatent& latent,
                                       std::size_t rows) {
  const auto latent_dim = static_cast<std::size_t>(attention.latent->latent_dim);
  const auto value_dim = static_cast<std::size_t>(attention.latent->value_dim);
  const auto heads = static_cast<std::size_t>(attention.num_heads);
  for (std::size_t row = 0; row < rows; ++row) {
    const LowRankProduct* const low = row_product(row, latent.unembed_out);
    for (std::size_t h = 0; h < heads; ++h) {
      const float* from = attended_.data() + (row * heads + h) * static_cast<std::size_t>(attention.head_dim);
      float* to = head_outputs_.data() + (row * heads + h) * value_dim;
      const float* weights = latent.unembed_out.weights.data() + h * value_dim * latent_dim;
      for (std::size_t i = 0; i < value_dim; ++i) to[i] = dot(weights + i * latent_dim, from, latent_dim);
      if (low == nullptr) continue;
      add_outer(*low, inner_values(*low, from), static_cast<std::int32_t>(h * value_dim),
                static_cast<std::int32_t>((h + 1) * value_dim),
                head_outputs_.data() + row * heads * value_dim);
    }
  }
}

void ReferenceExecutor::rotate_and_store(const StepInput& step, const AttentionSpec& attention,
                                         const DenseLayer& layer) {
  const auto head_dim = static_cast<std::size_t>(attention.head_dim);
  const std::size_t kv_size = static_cast<std::size_t>(attention.num_kv_heads) * head_dim;
  pool_.parallel_for(
      static_cast<std::int64_t>(step.tokens.size()), 8,
      [&](std::int64_t begin, std::int64_t end, std::int32_t) {
        for (auto token = static_cast<std::size_t>(begin); token < static_cast<std::size_t>(end); ++token) {
          prepare_head(step, attention, token, true, layer,
                       q_.data() + token * static_cast<std::size_t>(attention.num_heads) * head_dim);
          if (!attention.has_kv()) continue;
          float* k = k_.data() + token * kv_size;
          prepare_head(step, attention, token, false, layer, k);
          float* v = v_.data() + token * kv_size;
          if (layer.v_norm) {
            normalize_heads(*attention.v_norm, *layer.v_norm,
                            static_cast<std::size_t>(attention.num_kv_heads), head_dim, v);
          }
          const std::int32_t position = step.positions[token];
          for (std::int32_t h = 0; h < attention.num_kv_heads; ++h) {
            float* block = kv_block(step, attention, token, position, h);
            const auto row = static_cast<std::size_t>(position % kPageTokens);
            float* key = block + row * head_dim;
            float* value = block + (kPageTokens + row) * head_dim;
            std::memcpy(key, k + static_cast<std::size_t>(h) * head_dim, head_dim * sizeof(float));
            std::memcpy(value, v + static_cast<std::size_t>(h) * head_dim, head_dim * sizeof(float));
            round_to(kv_format_, key, head_dim);
            round_to(kv_format_, value, head_dim);
          }
        }
      });
}

void ReferenceExecutor::attend(const StepInput& step, const AttentionSpec& attention,
                               const DenseLayer& layer) {
  const std::int64_t heads = attention.num_heads;
  pool_.parallel_for(static_cast<std::int64_t>(step.tokens.size()) * heads, 8,
                     [&](std::int64_t begin, std::int64_t end, std::int32_t thread) {
                       for (std::int64_t item = begin; item < end; ++item) {
                         attend_row(step, attention, layer, static_cast<std::size_t>(item / heads),
                                    static_cast<std::int32_t>(item % heads),
                                    scores_[static_cast<std::size_t>(thread)]);
                       }
                     });
}

void ReferenceExecutor::attend_row(const StepInput& step, const AttentionSpec& attention,
                                   const DenseLayer& layer, std::size_t token, std::int32_t head,
                                   std::vector<float>& scores) {
  const auto head_dim = static_cast<std::size_t>(attention.head_dim);
  const std::int32_t kv_head = head / (attention.num_heads / attention.num_kv_heads);
  const std::int32_t keys = step.positions[token] + 1;
  const std::int32_t window =
      spec_.layer_groups[static_cast<std::size_t>(attention.layer_group)].window_tokens;
  const std::int32_t first_key = window > 0 ? std::max(0, keys - window) : 0;
  const std::size_t row =
      token * static_cast<std::size_t>(attention.num_heads) + static_cast<std::size_t>(head);
  const float* q = q_.data() + row * head_dim;
  float* out = attended_.data() + row * head_dim;

  const bool has_sink = !layer.sinks.empty();
  const float sink = has_sink ? layer.sinks[static_cast<std::size_t>(head)] : 0.0F;
  float maximum = has_sink ? sink : -INFINITY;
  for (std::int32_t key = first_key; key < keys; ++key) {
    const float* k = kv_block(step, attention, token, key, kv_head) +
                     static_cast<std::size_t>(key % kPageTokens) * head_dim;
    const float score = softcap(dot(q, k, head_dim) * attention.scale, attention.softcap);
    scores[static_cast<std::size_t>(key)] = score;
    maximum = std::max(maximum, score);
  }
  std::fill(out, out + head_dim, 0.0F);
  float sum = has_sink ? std::exp(sink - maximum) : 0.0F;
  for (std::int32_t key = first_key; key < keys; ++key) {
    const float* v = kv_block(step, attention, token, key, kv_head) +
                     static_cast<std::size_t>(kPageTokens + key % kPageTokens) * head_dim;
    const float weight = std::exp(scores[static_cast<std::size_t>(key)] - maximum);
    sum += weight;
    for (std::size_t d = 0; d < head_dim; ++d) out[d] += weight * v[d];
  }
  for (std::size_t d = 0; d < head_dim; ++d) out[d] /= sum;
}

/// y_ = attention(input), the step's K/V written.
void ReferenceExecutor::run_attention(const StepInput& step, const AttentionSpec& spec,
                                      const DenseLayer& layer, const Rows& input) {
  const std::size_t rows = step.tokens.size();
  if (layer.latent) {
    project_latent(spec, layer, input, rows);
    rotate_and_store(step, spec, layer);
    attend(step, spec, layer);
    unembed_latent(spec, *layer.latent, rows);
    return apply(layer.o_proj, head_outputs_, rows, y_);
  }
  apply(layer.q_proj, input, rows, q_);
  if (layer.k_proj) apply(*layer.k_proj, input, rows, k_);
  if (layer.v_proj) apply(*layer.v_proj, input, rows, v_);
  rotate_and_store(step, spec, layer);
  attend(step, spec, layer);
  if (layer.gate_proj) {
    apply(*layer.gate_proj, input, rows, head_gates_);
    const std::size_t count = rows * static_cast<std::size_t>(layer.gate_proj->out_features);
    for (std::size_t i = 0; i < count; ++i) attended_[i] *= sigmoid(head_gates_[i]);
  }
  apply(layer.o_proj, attended_, rows, y_);
}

/// y_ = attention(input) + recurrence(input), those there are.
void ReferenceExecutor::run_mixers(const StepInput& step, const LayerSpec& spec, const DenseLayer& layer,
                                   const Rows& input) {
  if (spec.attention) run_attention(step, *spec.attention, layer, input);
  if (!spec.recurrent) return;
  const RecurrentSpec& recurrent = *spec.recurrent;
  const DenseRecurrent& weights = *layer.recurrent;
  const std::size_t rows = step.tokens.size();
  recurrence_.begin(recurrent, rows);
  std::size_t column = 0;
  const auto project = [&](const DenseLinear& linear, Rows& to, std::size_t stride, std::size_t first) {
    apply(linear, input, rows, recurrence_.scratch);
    const auto size = static_cast<std::size_t>(linear.out_features);
    for (std::size_t row = 0; row < rows; ++row)
      std::copy_n(&recurrence_.scratch[row * size], size, &to[row * stride + first]);
  };
  const auto channels = static_cast<std::size_t>(recurrent.conv.channels);
  for (const DenseLinear& linear : weights.inputs) {
    project(linear, recurrence_.inputs, channels, column);
    column += static_cast<std::size_t>(linear.out_features);
  }
  if (weights.input_gate_proj) {
    apply(*weights.input_gate_proj, input, rows, recurrence_.scratch);
    for (std::size_t i = 0; i < rows * channels; ++i) recurrence_.inputs[i] *= recurrence_.scratch[i];
  }
  const auto heads = static_cast<std::size_t>(recurrent.num_heads);
  if (weights.decay_proj) project(*weights.decay_proj, recurrence_.decays, heads, 0);
  if (weights.beta_proj) project(*weights.beta_proj, recurrence_.betas, heads, 0);
  project(weights.gate_proj, recurrence_.gates, static_cast<std::size_t>(recurrent.inner()), 0);
  const KvPages& pages = pages_[static_cast<std::size_t>(recurrent.layer_group)];
  for (const BatchSequence& sequence : step.sequences) recurrence_.run(step, sequence, pages, weights.rest);
  if (!spec.attention) return apply(weights.out_proj, recurrence_.outputs, rows, y_);
  const Rows attention_output = y_;
  apply(weights.out_proj, recurrence_.outputs, rows, y_);
  for (std::size_t i = 0; i < rows * static_cast<std::size_t>(spec_.hidden_size); ++i)
    y_[i] += attention_output[i];
}

void ReferenceExecutor::run_mlp(const MlpSpec& spec, const DenseMlp& mlp, const Rows& input, std::size_t rows,
                                Rows& y) {
  apply(mlp.up_proj, input, rows, up_);
  if (mlp.gate_proj) apply(*mlp.gate_proj, input, rows, gate_);
  const auto intermediate = static_cast<std::size_t>(mlp.up_proj.out_features);
  pool_.parallel_for(
      static_cast<std::int64_t>(rows), 8, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
        const std::size_t last = static_cast<std::size_t>(end) * intermediate;
        for (std::size_t j = static_cast<std::size_t>(begin) * intermediate; j < last; ++j) {
          gate_[j] =
              mlp.gate_proj ? gate(spec.activation, gate_[j], up_[j]) : activate(spec.activation, up_[j]);
        }
      });
  apply(mlp.down_proj, gate_, rows, y);
}

/// Logits of the router, and which experts each row goes to.
void ReferenceExecutor::route(const MoeSpec& spec, const DenseMoe& moe, const Rows& input, std::size_t rows,
                              std::vector<ChosenExpert>& chosen) {
  const auto hidden = static_cast<std::size_t>(spec_.hidden_size);
  const std::size_t num_experts = moe.experts.size();
  const auto per_token = static_cast<std::size_t>(spec.router.experts_per_token);
  const bool reads_residual = !spec.router.input_scales.empty();
  apply(moe.router, reads_residual ? x_ : input, rows, router_logits_);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::span<float> logits = std::span(router_logits_).subspan(row * num_experts, num_experts);
    const float* x = x_.data() + row * hidden;
    const float mean = dot(x, x, hidden) / static_cast<float>(hidden);
    for (float& logit : logits)
      logit *= reads_residual ? 1.0F / std::sqrt(mean + spec.router.input_eps) : 1.0F;
    route_token(spec.router, moe.routing, logits, routing_,
                std::span(chosen).subspan(row * per_token, per_token));
  }
}

/// Each expert on the rows that chose it.
void ReferenceExecutor::run_moe(const MoeSpec& spec, const DenseMoe& moe, const Rows& input, std::size_t rows,
                                Rows& y) {
  const auto hidden = static_cast<std::size_t>(spec_.hidden_size);
  const auto per_token = static_cast<std::size_t>(spec.router.experts_per_token);
  std::vector<ChosenExpert> chosen(rows * per_token);
  route(spec, moe, input, rows, chosen);
  Rows sum(rows * hidden);  // of the experts
  for (std::size_t expert = 0; expert < moe.experts.size(); ++expert) {
    std::vector<std::size_t> pairs;  // of token and choice
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      if (static_cast<std::size_t>(chosen[i].expert) == expert) pairs.push_back(i);
    }
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const float factor = spec.router.weigh_input ? chosen[pairs[i]].weight : 1.0F;
      for (std::size_t d = 0; d < hidden; ++d)
        expert_input_[i * hidden + d] = input[pairs[i] / per_token * hidden + d] * factor;
    }
    if (pairs.empty()) continue;
    std::vector<const CpuAdapter*> adapters;
    for (const std::size_t pair : pairs) {
      if (!step_adapters_.empty()) adapters.push_back(step_adapters_[pair / per_token]);
    }
    row_adapters_ = adapters;
    run_mlp(spec.experts[expert], moe.experts[expert], expert_input_, pairs.size(), expert_output_);
    row_adapters_ = step_adapters_;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const float factor = spec.router.weigh_input ? 1.0F : chosen[pairs[i]].weight;
      for (std::size_t d = 0; d < hidden; ++d)
        sum[pairs[i] / per_token * hidden + d] += expert_output_[i * hidden + d] * factor;
    }
  }
  if (moe.experts_post_norm) normalize(sum, rows, moe.experts_post_norm, sum);
  std::fill_n(y.begin(), rows * hidden, 0.0F);
  if (moe.shared) {
    if (moe.shared_norm) normalize(x_, rows, moe.shared_norm, expert_input_);
    const Rows& shared_input = moe.shared_norm ? expert_input_ : input;
    run_mlp(*spec.shared, *moe.shared, shared_input, rows, y);
    if (moe.shared_post_norm) normalize(y, rows, moe.shared_post_norm, y);
    if (moe.shared_gate) apply(*moe.shared_gate, shared_input, rows, shared_gates_);
    for (std::size_t i = 0; moe.shared_gate && i < rows * hidden; ++i)
      y[i] *= sigmoid(shared_gates_[i / hidden]);
  }
  for (std::size_t i = 0; i < rows * hidden; ++i) y[i] += sum[i];
}

void ReferenceExecutor::make_layer_inputs(const StepInput& step) {
  const PerLayerEmbeddingSpec& spec = *spec_.per_layer_embedding;
  const DensePerLayerEmbedding& weights = *model_.per_layer_embedding;
  const auto width = static_cast<std::size_t>(spec.embedding.in_features);
  const auto dim = static_cast<std::size_t>(spec.dim);
  apply(weights.projection, x_, step.tokens.size(), layer_inputs_);
  for (std::size_t row = 0; row < step.tokens.size(); ++row) {
    float* inputs = layer_inputs_.data() + row * width;
    const float* token =
        weights.embedding.weights.data() + static_cast<std::size_t>(step.tokens[row]) * width;
    for (std::size_t i = 0; i < width; ++i) inputs[i] *= spec.projection_scale;
    for (std::size_t i = 0; i < width; i += dim)
      normalize_row(weights.projection_norm, inputs + i, 0, dim, inputs + i);
    for (std::size_t i = 0; i < width; ++i)
      inputs[i] = (inputs[i] + token[i] * spec.embedding_scale) * spec.scale;
  }
}

void ReferenceExecutor::finish_layer(std::size_t index, std::size_t rows) {
  const DenseLayer& layer = model_.layers[index];
  if (layer.per_layer_input) {
    apply(layer.per_layer_input->gate, x_, rows, layer_gates_);
    const auto dim = static_cast<std::size_t>(spec_.per_layer_embedding->dim);
    const Activation activation = spec_.layers[index].per_layer_input->activation;
    for (std::size_t i = 0; i < rows * dim; ++i) {
      const std::size_t input = i / dim * dim * model_.layers.size() + index * dim + i % dim;
      layer_gates_[i] = gate(activation, layer_gates_[i], layer_inputs_[input]);
    }
    apply(layer.per_layer_input->projection, layer_gates_, rows, y_);
    add_to_residual(layer.per_layer_input->post_norm, 1.0F, rows);
  }
  if (layer.output_scale == 1.0F) return;
  const std::size_t count = rows * static_cast<std::size_t>(spec_.hidden_size);
  for (std::size_t i = 0; i < count; ++i) x_[i] *= layer.output_scale;
}

void ReferenceExecutor::embed(const StepInput& step, std::size_t rows) {
  const auto hidden = static_cast<std::size_t>(spec_.hidden_size);
  for (std::size_t row = 0; row < rows; ++row) {
    const float* token =
        model_.embedding.weights.data() + static_cast<std::size_t>(step.tokens[row]) * hidden;
    float* x = x_.data() + row * hidden;
    std::copy_n(token, hidden, x);
    if (const LowRankProduct* const low = row_product(row, model_.embedding))
      adapt_embedding(*low, step.tokens[row], x);
    for (std::size_t d = 0; d < hidden; ++d) x[d] *= spec_.embedding_scale;
    if (!model_.position_embedding) continue;
    const float* position =
        model_.position_embedding->weights.data() + static_cast<std::size_t>(step.positions[row]) * hidden;
    for (std::size_t d = 0; d < hidden; ++d) x[d] += position[d];
  }
  if (model_.embedding_norm) normalize(x_, rows, model_.embedding_norm, x_);
}

Result<CpuAdapterPtr> ReferenceExecutor::prepare_adapter(const Adapter& adapter) const {
  CpuAdapterBuilder builder(adapter, this, kernels_);
  TRY(list_products(builder, model_, spec_));
  return builder.finish();
}

void ReferenceExecutor::note_adapters(const StepInput& step) {
  step_adapters_.clear();
  const bool any = std::any_of(step.sequences.begin(), step.sequences.end(),
                               [](const BatchSequence& each) { return each.adapter != kNoAdapter; });
  for (const BatchSequence& sequence : step.sequences) {
    if (!any) break;
    step_adapters_.insert(step_adapters_.end(), static_cast<std::size_t>(sequence.num_tokens),
                          adapters_.find(sequence.adapter));
  }
  row_adapters_ = step_adapters_;
}

void ReferenceExecutor::forward(const StepInput& step) {
  const LayerPasses cut(step, model_.layers.size());
  const auto hidden = static_cast<std::size_t>(spec_.hidden_size);
  const bool resumes = step.batch->slice.first_layer > 0;
  note_adapters(step);
  embed(step, resumes ? cut.num_whole_tokens() : step.tokens.size());
  if (model_.per_layer_embedding) make_layer_inputs(step);
  for (std::size_t row = cut.num_whole_tokens(); resumes && row < step.tokens.size(); ++row)
    kept_rows_.restore(step, row, x_.data() + row * hidden);
  for (const LayerPass& pass : cut.passes()) run_pass(pass);
  for (std::size_t row = cut.num_whole_tokens(); row < step.tokens.size(); ++row)
    kept_rows_.keep(step, row, x_.data() + row * hidden);
}

void ReferenceExecutor::run_pass(const LayerPass& pass) {
  const StepInput& step = pass.input;
  const std::size_t rows = step.tokens.size();
  const auto hidden = static_cast<std::size_t>(spec_.hidden_size);
  for (std::size_t i = pass.first_layer; i < pass.last_layer; ++i) {
    const DenseLayer& layer = model_.layers[i];
    const LayerSpec& spec = spec_.layers[i];
    const auto run_second = [&](const std::optional<DenseNorm>& norm, Rows& y) {
      normalize(x_, rows, norm, normed_);
      if (spec.mlp) return run_mlp(*spec.mlp, *layer.mlp, normed_, rows, y);
      run_moe(*spec.moe, *layer.moe, normed_, rows, y);
    };
    if (spec.mixes()) {
      normalize(x_, rows, layer.attention_norm, normed_);
      run_mixers(step, spec, layer, normed_);
    }
    if (spec.parallel) {
      const Rows attention_output = y_;
      run_second(layer.mlp_norm ? layer.mlp_norm : layer.attention_norm, y_);
      for (std::size_t j = 0; j < rows * hidden; ++j) y_[j] += attention_output[j];
    } else {
      if (spec.mixes()) add_to_residual(layer.attention_post_norm, spec.residual_scale, rows);
      if (spec.mlp || spec.moe) run_second(layer.mlp_norm, y_);
    }
    if (spec.mlp || spec.moe) add_to_residual(layer.mlp_post_norm, spec.residual_scale, rows);
    finish_layer(i, rows);
  }
}

void ReferenceExecutor::compute_logits(std::span<const std::int32_t> token_indices, float* logits,
                                       std::span<Peak> peaks, bool /*only_peaks*/) {
  const auto hidden = static_cast<std::size_t>(spec_.hidden_size);
  const auto vocab = static_cast<std::size_t>(spec_.vocab_size);
  const std::size_t rows = token_indices.size();
  for (std::size_t i = 0; i < rows; ++i) {
    normalize_row(model_.final_norm, x_.data() + static_cast<std::size_t>(token_indices[i]) * hidden, 0,
                  hidden, normed_.data() + i * hidden);
  }
  const DenseLinear& head = model_.lm_head ? *model_.lm_head : model_.embedding;
  std::vector<const LowRankProduct*> low(rows);
  std::vector<std::vector<float>> inner(rows);
  for (std::size_t i = 0; i < rows && !step_adapters_.empty(); ++i) {
    low[i] = find_product(step_adapters_[static_cast<std::size_t>(token_indices[i])], &head);
    if (low[i] != nullptr) inner[i] = inner_values(*low[i], normed_.data() + i * hidden);
  }
  pool_.parallel_for(spec_.vocab_size, kPieceRows, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    kernels_.product(normed_.data(), spec_.hidden_size, static_cast<std::int32_t>(rows),
                     head.weights.data() + static_cast<std::size_t>(begin) * hidden, spec_.hidden_size,
                     static_cast<std::int32_t>(end - begin), logits + begin, spec_.vocab_size);
    for (std::size_t i = 0; i < rows; ++i) {
      if (low[i] != nullptr) {
        add_outer(*low[i], inner[i], static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end),
                  logits + i * vocab);
      }
      for (auto o = static_cast<std::size_t>(begin); o < static_cast<std::size_t>(end); ++o) {
        float& logit = logits[i * vocab + o];
        if (!head.bias.empty()) logit += head.bias[o];
        logit = softcap(logit * spec_.logits_scale, spec_.logits_softcap);
      }
    }
  });
  for (std::size_t i = 0; i < rows; ++i) {
    const std::int32_t token = kernels_.peak(logits + i * vocab, spec_.vocab_size);
    peaks[i] = token < 0 ? Peak{} : Peak{logits[i * vocab + static_cast<std::size_t>(token)], token};
  }
}

}  // namespace mlxd
