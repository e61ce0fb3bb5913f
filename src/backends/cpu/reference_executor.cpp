#include "backends/cpu/reference_executor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/cpu/dense_weights.h"
#include "backends/cpu/vector.h"

namespace mlxd {
namespace {

// Output rows that a piece of a product covers: their weights stay in cache while all tokens pass.
constexpr std::int64_t kPieceRows = 32;

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

float activate(Activation activation, float x) {
  if (activation == Activation::kSilu) return x / (1.0F + std::exp(-x));
  return 0.5F * x * (1.0F + std::tanh(0.7978845608F * (x + 0.044715F * x * x * x)));
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
    : spec_(spec), pool_(pool), kernels_(vector_kernels(options.isa)), kv_format_(options.kv_format) {
  for (const LayerGroup& group : spec.layer_groups)
    pages_.emplace_back(group, KvFormat::kFloat32, options.touch_pages);
  for (const RopeSpec& rope : spec.ropes) ropes_.emplace_back(rope, spec.context_tokens);
  std::int32_t q = 0;
  std::int32_t kv = 0;
  std::int32_t intermediate = 0;
  for (const LayerSpec& layer : spec.layers) {
    q = std::max(q, layer.attention.q_proj.out_features);
    kv = std::max(kv, layer.attention.k_proj.out_features);
    intermediate = std::max(intermediate, layer.mlp.gate_proj.out_features);
  }
  const auto rows = static_cast<std::size_t>(std::max<std::int32_t>(options.max_batch_tokens, kLogitRows));
  for (std::vector<float>* buffer : {&x_, &normed_, &y_}) {
    buffer->resize(rows * static_cast<std::size_t>(spec.hidden_size));
  }
  for (std::vector<float>* buffer : {&q_, &attended_}) buffer->resize(rows * static_cast<std::size_t>(q));
  for (std::vector<float>* buffer : {&k_, &v_}) buffer->resize(rows * static_cast<std::size_t>(kv));
  for (std::vector<float>* buffer : {&gate_, &up_})
    buffer->resize(rows * static_cast<std::size_t>(intermediate));
  scores_.resize(static_cast<std::size_t>(pool.num_threads()));
  for (std::vector<float>& scores : scores_) scores.resize(static_cast<std::size_t>(spec.context_tokens));
}

Result<ReferenceExecutor::DenseLinear> ReferenceExecutor::read(const LinearSpec& spec,
                                                               const WeightMap& weights) {
  DenseLinear linear;
  linear.in_features = spec.in_features;
  linear.out_features = spec.out_features;
  linear.weights = TRY(read_linear(spec, weights));
  linear.bias = TRY(read_bias(spec, weights));
  return linear;
}

Result<std::unique_ptr<ReferenceExecutor>> ReferenceExecutor::load(const ModelSpec& spec,
                                                                   const WeightMap& weights, ThreadPool& pool,
                                                                   const Options& options) {
  std::unique_ptr<ReferenceExecutor> executor(new ReferenceExecutor(spec, pool, options));
  executor->embedding_ = TRY(read_linear(spec.embedding, weights));
  for (const LayerSpec& layer_spec : spec.layers) {
    Layer layer;
    layer.attention_norm = TRY(read_norm(layer_spec.attention_norm, weights));
    layer.mlp_norm = TRY(read_norm(layer_spec.mlp_norm, weights));
    const AttentionSpec& attention = layer_spec.attention;
    layer.q_proj = TRY(read(attention.q_proj, weights));
    layer.k_proj = TRY(read(attention.k_proj, weights));
    layer.v_proj = TRY(read(attention.v_proj, weights));
    layer.o_proj = TRY(read(attention.o_proj, weights));
    layer.gate_proj = TRY(read(layer_spec.mlp.gate_proj, weights));
    layer.up_proj = TRY(read(layer_spec.mlp.up_proj, weights));
    layer.down_proj = TRY(read(layer_spec.mlp.down_proj, weights));
    executor->layers_.push_back(std::move(layer));
    if (options.progress) {
      options.progress(static_cast<float>(executor->layers_.size()) /
                       static_cast<float>(spec.layers.size() + 1));
    }
  }
  executor->final_norm_ = TRY(read_norm(spec.final_norm, weights));
  if (!spec.tied_embeddings) executor->lm_head_ = TRY(read(spec.lm_head, weights));
  if (options.progress) options.progress(1.0F);
  return executor;
}

std::size_t ReferenceExecutor::weight_bytes() const {
  std::size_t count = embedding_.size() + lm_head_.weights.size() + final_norm_.size();
  for (const Layer& layer : layers_) {
    for (const DenseLinear* linear : {&layer.q_proj, &layer.k_proj, &layer.v_proj, &layer.o_proj,
                                      &layer.gate_proj, &layer.up_proj, &layer.down_proj}) {
      count += linear->weights.size() + linear->bias.size();
    }
    count += layer.attention_norm.size() + layer.mlp_norm.size();
  }
  return count * sizeof(float);
}

std::size_t ReferenceExecutor::scratch_bytes() const {
  std::size_t count = scores_.size() * static_cast<std::size_t>(spec_.context_tokens);
  for (const std::vector<float>* buffer : {&x_, &normed_, &q_, &k_, &v_, &attended_, &gate_, &up_, &y_}) {
    count += buffer->size();
  }
  return count * sizeof(float);
}

void ReferenceExecutor::apply(const DenseLinear& linear, const std::vector<float>& x, std::size_t rows,
                              std::vector<float>& y) {
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
}

void ReferenceExecutor::normalize(const std::vector<float>& x, std::size_t rows,
                                  const std::vector<float>& weight, float eps, std::vector<float>& y) {
  const std::size_t n = weight.size();
  for (std::size_t row = 0; row < rows; ++row) {
    const float* from = x.data() + row * n;
    const float factor = 1.0F / std::sqrt(dot(from, from, n) / static_cast<float>(n) + eps);
    for (std::size_t i = 0; i < n; ++i) y[row * n + i] = from[i] * factor * weight[i];
  }
}

float* ReferenceExecutor::kv_block(const StepInput& step, const AttentionSpec& attention, std::size_t token,
                                   std::int32_t position, std::int32_t kv_head) const {
  const auto group = static_cast<std::size_t>(attention.layer_group);
  const BatchSequence& sequence =
      step.batch->sequences[static_cast<std::size_t>(step.sequence_indices[token])];
  const auto entry = static_cast<std::size_t>(sequence.page_tables[group].begin + position / kPageTokens);
  const PageId page = step.batch->page_ids[entry];
  return reinterpret_cast<float*>(pages_[group].block(page, attention.index_in_group, kv_head));
}

void ReferenceExecutor::rotate_and_store(const StepInput& step, const AttentionSpec& attention) {
  const auto head_dim = static_cast<std::size_t>(attention.head_dim);
  pool_.parallel_for(
      static_cast<std::int64_t>(step.tokens.size()), 8,
      [&](std::int64_t begin, std::int64_t end, std::int32_t) {
        float cosines[256];
        float sines[256];
        for (auto token = static_cast<std::size_t>(begin); token < static_cast<std::size_t>(end); ++token) {
          const std::int32_t position = step.positions[token];
          float* q = q_.data() + token * static_cast<std::size_t>(attention.num_heads) * head_dim;
          float* k = k_.data() + token * static_cast<std::size_t>(attention.num_kv_heads) * head_dim;
          const float* v = v_.data() + token * static_cast<std::size_t>(attention.num_kv_heads) * head_dim;
          if (attention.rope) {
            const RopeTable& rope = ropes_[static_cast<std::size_t>(*attention.rope)];
            rope.fill(position, cosines, sines);
            const auto pairs = static_cast<std::size_t>(rope.num_pairs());
            for (std::int32_t h = 0; h < attention.num_heads + attention.num_kv_heads; ++h) {
              float* head = h < attention.num_heads
                                ? q + static_cast<std::size_t>(h) * head_dim
                                : k + static_cast<std::size_t>(h - attention.num_heads) * head_dim;
              for (std::size_t i = 0; i < pairs; ++i) {
                float& a = rope.traditional() ? head[2 * i] : head[i];
                float& b = rope.traditional() ? head[2 * i + 1] : head[i + pairs];
                const float rotated = a * cosines[i] - b * sines[i];
                b = b * cosines[i] + a * sines[i];
                a = rotated;
              }
            }
          }
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

void ReferenceExecutor::attend(const StepInput& step, const AttentionSpec& attention) {
  const std::int64_t heads = attention.num_heads;
  pool_.parallel_for(static_cast<std::int64_t>(step.tokens.size()) * heads, 8,
                     [&](std::int64_t begin, std::int64_t end, std::int32_t thread) {
                       for (std::int64_t item = begin; item < end; ++item) {
                         attend_row(step, attention, static_cast<std::size_t>(item / heads),
                                    static_cast<std::int32_t>(item % heads),
                                    scores_[static_cast<std::size_t>(thread)]);
                       }
                     });
}

void ReferenceExecutor::attend_row(const StepInput& step, const AttentionSpec& attention, std::size_t token,
                                   std::int32_t head, std::vector<float>& scores) {
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

  float maximum = -INFINITY;
  for (std::int32_t key = first_key; key < keys; ++key) {
    const float* k = kv_block(step, attention, token, key, kv_head) +
                     static_cast<std::size_t>(key % kPageTokens) * head_dim;
    const float score = dot(q, k, head_dim) * attention.scale;
    scores[static_cast<std::size_t>(key)] = score;
    maximum = std::max(maximum, score);
  }
  std::fill(out, out + head_dim, 0.0F);
  float sum = 0.0F;
  for (std::int32_t key = first_key; key < keys; ++key) {
    const float* v = kv_block(step, attention, token, key, kv_head) +
                     static_cast<std::size_t>(kPageTokens + key % kPageTokens) * head_dim;
    const float weight = std::exp(scores[static_cast<std::size_t>(key)] - maximum);
    sum += weight;
    for (std::size_t d = 0; d < head_dim; ++d) out[d] += weight * v[d];
  }
  for (std::size_t d = 0; d < head_dim; ++d) out[d] /= sum;
}

void ReferenceExecutor::forward(const StepInput& step) {
  const std::size_t rows = step.tokens.size();
  const auto hidden = static_cast<std::size_t>(spec_.hidden_size);
  for (std::size_t row = 0; row < rows; ++row) {
    std::copy_n(embedding_.data() + static_cast<std::size_t>(step.tokens[row]) * hidden, hidden,
                x_.data() + row * hidden);
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const LayerSpec& spec = spec_.layers[i];
    normalize(x_, rows, layer.attention_norm, spec.attention_norm.eps, normed_);
    apply(layer.q_proj, normed_, rows, q_);
    apply(layer.k_proj, normed_, rows, k_);
    apply(layer.v_proj, normed_, rows, v_);
    rotate_and_store(step, spec.attention);
    attend(step, spec.attention);
    apply(layer.o_proj, attended_, rows, y_);
    for (std::size_t j = 0; j < rows * hidden; ++j) x_[j] += y_[j];

    normalize(x_, rows, layer.mlp_norm, spec.mlp_norm.eps, normed_);
    apply(layer.gate_proj, normed_, rows, gate_);
    apply(layer.up_proj, normed_, rows, up_);
    const auto intermediate = static_cast<std::size_t>(layer.gate_proj.out_features);
    pool_.parallel_for(static_cast<std::int64_t>(rows), 8,
                       [&](std::int64_t begin, std::int64_t end, std::int32_t) {
                         const std::size_t last = static_cast<std::size_t>(end) * intermediate;
                         for (std::size_t j = static_cast<std::size_t>(begin) * intermediate; j < last; ++j) {
                           gate_[j] = activate(spec.mlp.activation, gate_[j]) * up_[j];
                         }
                       });
    apply(layer.down_proj, gate_, rows, y_);
    for (std::size_t j = 0; j < rows * hidden; ++j) x_[j] += y_[j];
  }
}

void ReferenceExecutor::compute_logits(std::span<const std::int32_t> token_indices, float* logits,
                                       std::span<Peak> peaks, bool /*only_peaks*/) {
  const auto hidden = static_cast<std::size_t>(spec_.hidden_size);
  const auto vocab = static_cast<std::size_t>(spec_.vocab_size);
  const std::size_t rows = token_indices.size();
  for (std::size_t i = 0; i < rows; ++i) {
    std::copy_n(x_.data() + static_cast<std::size_t>(token_indices[i]) * hidden, hidden,
                y_.data() + i * hidden);
  }
  normalize(y_, rows, final_norm_, spec_.final_norm.eps, normed_);
  const std::vector<float>& vocabulary = spec_.tied_embeddings ? embedding_ : lm_head_.weights;
  pool_.parallel_for(spec_.vocab_size, kPieceRows, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    kernels_.product(normed_.data(), spec_.hidden_size, static_cast<std::int32_t>(rows),
                     vocabulary.data() + static_cast<std::size_t>(begin) * hidden, spec_.hidden_size,
                     static_cast<std::int32_t>(end - begin), logits + begin, spec_.vocab_size);
    if (lm_head_.bias.empty()) return;
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::int64_t o = begin; o < end; ++o) {
        logits[i * vocab + static_cast<std::size_t>(o)] += lm_head_.bias[static_cast<std::size_t>(o)];
      }
    }
  });
  for (std::size_t i = 0; i < rows; ++i) {
    const std::int32_t token = kernels_.peak(logits + i * vocab, spec_.vocab_size);
    peaks[i] = token < 0 ? Peak{} : Peak{logits[i * vocab + static_cast<std::size_t>(token)], token};
  }
}

}  // namespace mlxd
