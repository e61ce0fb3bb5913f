#include "backends/cpu/attention_block.h"

#include <algorithm>
#include <string>

#include "backends/cpu/vector.h"

namespace mlxd {
namespace {

constexpr std::int32_t kRowPadding = 16;  // breaks up strides of powers of two

const DenseNorm* get(const std::optional<DenseNorm>& norm) { return norm ? &*norm : nullptr; }

bool is_wide(const std::optional<HeadNormSpec>& norm) { return norm && norm->over_all_heads; }

}  // namespace

AttentionWorkspace::AttentionWorkspace(const ModelSpec& spec, KvFormat kv_format, bool touch_pages,
                                       std::int32_t num_threads, const StepWorkspace::Options& options)
    : max_rows_(options.max_rows), latent_(spec, num_threads, options) {
  for (const LayerGroup& group : spec.layer_groups) pages_.emplace_back(group, kv_format, touch_pages);
  const auto rows = static_cast<std::size_t>(max_rows_);
  for (const RopeSpec& rope : spec.ropes) {
    ropes_.emplace_back(rope, spec.context_tokens);
    const std::size_t size = rows * rope.inverse_frequencies.size();
    rotations_.push_back({std::vector<float>(size), std::vector<float>(size)});
  }
  std::int32_t queries = 0;
  std::int32_t projected = 0;
  bool gated = false;
  for (const LayerSpec& layer : spec.layers) {
    if (!layer.attention) continue;
    const AttentionSpec& attention = *layer.attention;
    const std::int32_t width = attention.num_heads * attention.head_dim;
    queries = std::max(queries, width);
    gated = gated || attention.gate_proj.has_value();
    if (is_wide(attention.q_norm) || is_wide(attention.k_norm)) {
      const std::int32_t kv = attention.has_kv() ? attention.num_kv_heads * attention.head_dim : 0;
      projected = std::max(projected, width * (attention.gate_proj ? 2 : 1) + 2 * kv);
    }
  }
  query_stride_ = queries + kRowPadding;
  queries_.resize(rows * static_cast<std::size_t>(query_stride_));
  attended_.resize(rows * static_cast<std::size_t>(queries));
  if (gated) gates_.resize(attended_.size());
  projected_stride_ = projected;
  projected_.resize(rows * static_cast<std::size_t>(projected));
  token_pages_.resize(rows * spec.layer_groups.size());
}

void AttentionWorkspace::prepare_token(const StepInput& step, std::size_t token) {
  const std::int32_t position = step.positions[token];
  for (std::size_t i = 0; i < ropes_.size(); ++i) {
    const std::size_t offset = token * static_cast<std::size_t>(ropes_[i].num_pairs());
    ropes_[i].fill(position, rotations_[i].cosines.data() + offset, rotations_[i].sines.data() + offset);
  }
  const BatchSequence& sequence = step.sequences[static_cast<std::size_t>(step.sequence_indices[token])];
  for (std::size_t group = 0; group < pages_.size(); ++group) {
    const auto entry = static_cast<std::size_t>(sequence.page_tables[group].begin + position / kPageTokens);
    token_pages_[group * static_cast<std::size_t>(max_rows_) + token] = step.batch->page_ids[entry];
  }
}

const float* AttentionWorkspace::cosines(std::size_t rope, std::int32_t token) const {
  return rotations_[rope].cosines.data() + static_cast<std::ptrdiff_t>(token) * ropes_[rope].num_pairs();
}

const float* AttentionWorkspace::sines(std::size_t rope, std::int32_t token) const {
  return rotations_[rope].sines.data() + static_cast<std::ptrdiff_t>(token) * ropes_[rope].num_pairs();
}

std::size_t AttentionWorkspace::memory_bytes() const {
  std::size_t bytes =
      (queries_.size() + attended_.size() + gates_.size() + projected_.size()) * sizeof(float) +
      latent_.memory_bytes();
  for (const Rotation& rotation : rotations_) bytes += 2 * rotation.cosines.size() * sizeof(float);
  return bytes;
}

Result<AttentionBlock> AttentionBlock::create(const LayerSpec& spec, const WeightMap& weights) {
  const AttentionSpec& attention = *spec.attention;
  const std::int32_t head_dim = attention.head_dim;
  if (head_dim % kLanes != 0 || head_dim <= 0 || head_dim > kMaxKernelHeadDim) {
    return unsupported("head_dim " + std::to_string(head_dim) + " of " + attention.q_proj.name +
                       " is not supported by the cpu backend: a multiple of 16 up to " +
                       std::to_string(kMaxKernelHeadDim) + " is");
  }
  AttentionBlock block(spec);
  if (spec.attention_norm) block.norm_ = TRY(read_norm(*spec.attention_norm, weights));
  if (spec.attention_post_norm) block.post_norm_ = TRY(read_norm(*spec.attention_post_norm, weights));
  if (attention.q_norm) block.q_norm_ = TRY(read_norm(attention.q_norm->norm, weights));
  if (attention.k_norm) block.k_norm_ = TRY(read_norm(attention.k_norm->norm, weights));
  if (attention.v_norm) block.v_norm_ = TRY(read_norm(attention.v_norm->norm, weights));
  if (attention.latent) block.latent_ = TRY(LatentProjection::create(attention, weights));
  if (!attention.sinks.empty())
    block.sinks_ = TRY(read_vector(attention.sinks, attention.num_heads, weights));
  return block;
}

std::vector<LinearSpec> AttentionBlock::qkv_parts() const {
  std::vector<LinearSpec> parts = {spec_->q_proj};
  if (spec_->has_kv()) parts.insert(parts.end(), {*spec_->k_proj, *spec_->v_proj});
  if (spec_->gate_proj) parts.push_back(*spec_->gate_proj);
  return parts;
}

Result<void> AttentionBlock::order(LinearLoader& loader) {
  loader.add({spec_->o_proj}, &o_proj_);
  if (latent_) return latent_->order(loader);
  qkv_bias_ = TRY(loader.add_without_bias(qkv_parts(), &qkv_));
  return {};
}

Result<void> AttentionBlock::list_products(CpuAdapterBuilder& builder) const {
  TRY(list_product(builder, o_proj_, {&spec_->o_proj, 1}));
  if (latent_) return latent_->list_products(builder);
  return list_product(builder, qkv_, qkv_parts());
}

void AttentionBlock::register_products(StepWorkspace& workspace, AttentionWorkspace& shared) const {
  workspace.attention_activations().serve(o_proj_);
  if (latent_) return latent_->register_products(workspace, shared.latent());
  workspace.hidden_activations().serve(qkv_);
}

void AttentionBlock::count_work(const StepWorkspace& workspace, StepWork& work) const {
  work.add_product(StepStage::kOutput, o_proj_, workspace.passes(o_proj_));
  if (latent_) return latent_->count_work(workspace, work);
  work.add_product(StepStage::kQkv, qkv_, workspace.splits(qkv_) ? 2 : workspace.passes(qkv_));
}

std::size_t AttentionBlock::weight_bytes() const {
  std::size_t floats = sinks_.size() + qkv_bias_.size();
  for (const auto* norm : {&norm_, &post_norm_, &q_norm_, &k_norm_, &v_norm_}) {
    if (*norm) floats += (*norm)->weight.size() + (*norm)->bias.size();
  }
  return (latent_ ? latent_->weight_bytes() : qkv_.memory_bytes()) + o_proj_.memory_bytes() +
         floats * sizeof(float);
}

std::int32_t AttentionBlock::num_heads() const { return qkv_.out_features() / spec_->head_dim; }

AttentionBlock::Head AttentionBlock::head_at(std::int32_t index) const {
  if (index < spec_->num_heads) return {HeadKind::kQuery, index};
  index -= spec_->num_heads;
  if (spec_->has_kv()) {
    if (index < spec_->num_kv_heads) return {HeadKind::kKey, index};
    index -= spec_->num_kv_heads;
    if (index < spec_->num_kv_heads) return {HeadKind::kValue, index};
    index -= spec_->num_kv_heads;
  }
  return {HeadKind::kGate, index};
}

bool AttentionBlock::has_wide_norm() const { return is_wide(spec_->q_norm) || is_wide(spec_->k_norm); }

void AttentionBlock::project(const StepInput& step, StepWorkspace& workspace, AttentionWorkspace& shared,
                             std::int32_t thread) {
  if (latent_) return latent_->project(step, workspace, shared, get(norm_), thread);
  // Errors of queries and keys grow in the exponentials of their scores: these get 16-bit activations.
  const Activations& input = workspace.quantize_normed(get(norm_), workspace.splits(qkv_), thread);
  workspace.begin_adapters_of_norm({&qkv_}, get(norm_), StepStage::kQkv, thread);
  const std::int32_t head_dim = spec_->head_dim;
  const std::int32_t blocks_per_head = head_dim / kBlockRows;
  const std::int32_t rows = workspace.rows();
  const std::int64_t cached = kPieceFloats / (std::int64_t{input.rows()} * head_dim);
  const std::int64_t balanced = num_heads() / (workspace.pool().num_threads() * kPiecesPerThread);
  const bool wide = has_wide_norm();
  std::vector<float>& out = workspace.scratch(thread).first;
  const auto run = [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    const ProductPiece piece(qkv_, static_cast<std::int32_t>(begin) * blocks_per_head,
                             static_cast<std::int32_t>(end) * blocks_per_head);
    workspace.apply_adapted(qkv_, 0, input, piece, out);
    workspace.add_bias(qkv_bias_, rows, piece, out);
    if (wide) {
      for (std::int32_t row = 0; row < rows; ++row) {
        std::copy_n(out.data() + static_cast<std::size_t>(row) * piece.stride, piece.columns,
                    shared.projected(row) + piece.first_column);
      }
      return;
    }
    for (std::int64_t index = begin; index < end; ++index) {
      const Head head = head_at(static_cast<std::int32_t>(index));
      for (std::int32_t row = 0; row < rows; ++row) {
        write_head(step, workspace, shared, head, row,
                   out.data() + static_cast<std::size_t>(row) * piece.stride + (index - begin) * head_dim);
      }
    }
  };
  workspace.pool().share(thread, num_heads(), std::max<std::int64_t>(1, std::min(balanced, cached)), run);
  workspace.end_stage(thread, StepStage::kQkv);
  if (!wide) return;
  workspace.barrier(thread);
  workspace.pool().share(thread, rows, 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    for (auto token = static_cast<std::int32_t>(begin); token < static_cast<std::int32_t>(end); ++token) {
      normalize_wide(workspace, shared, token);
      for (std::int32_t head = 0; head < num_heads(); ++head)
        write_head(step, workspace, shared, head_at(head), token, shared.projected(token) + head * head_dim);
    }
  });
  workspace.end_stage(thread, StepStage::kNorm);
}

/// Norms over all heads of a token's queries and keys.
void AttentionBlock::normalize_wide(StepWorkspace& workspace, AttentionWorkspace& shared,
                                    std::int32_t token) const {
  float* queries = shared.projected(token);
  const std::int32_t width = spec_->num_heads * spec_->head_dim;
  if (is_wide(spec_->q_norm)) workspace.normalize_vector(*q_norm_, queries, 0, width, queries);
  if (!is_wide(spec_->k_norm) || !spec_->has_kv()) return;
  float* keys = queries + width;
  workspace.normalize_vector(*k_norm_, keys, 0, spec_->num_kv_heads * spec_->head_dim, keys);
}

/// The norm of one query or key, unless it is over all heads.
void AttentionBlock::normalize_head(const StepWorkspace& workspace, Head head, float* values) const {
  const bool is_query = head.kind == HeadKind::kQuery;
  const auto& spec = is_query ? spec_->q_norm : spec_->k_norm;
  if (!spec || spec->over_all_heads) return;
  const DenseNorm& norm = is_query ? *q_norm_ : *k_norm_;
  const auto size = static_cast<std::size_t>(spec_->head_dim);
  const std::size_t first = norm.weight.size() == size ? 0 : static_cast<std::size_t>(head.index) * size;
  workspace.normalize_vector(norm, values, first, spec_->head_dim, values);
}

/// Takes a head of one token: norms and rotates queries and keys, scales queries, and stores queries and
/// gates for the attention, keys and values in their pages.
void AttentionBlock::write_head(const StepInput& step, const StepWorkspace& workspace,
                                AttentionWorkspace& shared, Head head, std::int32_t token,
                                float* values) const {
  const VectorKernels& kernels = workspace.kernels();
  const std::int32_t head_dim = spec_->head_dim;
  if (head.kind == HeadKind::kGate) {
    const std::ptrdiff_t row = std::ptrdiff_t{token} * spec_->num_heads + head.index;
    std::copy_n(values, head_dim, shared.gates() + row * head_dim);
    return;
  }
  const std::int32_t position = step.positions[static_cast<std::size_t>(token)];
  if (head.kind != HeadKind::kValue) {
    if (!spec_->norm_after_rope) normalize_head(workspace, head, values);
    if (spec_->rope) {
      const auto rope = static_cast<std::size_t>(*spec_->rope);
      const RopeTable& table = shared.rope(rope);
      kernels.rotate(values, shared.cosines(rope, token), shared.sines(rope, token), table.num_pairs(),
                     table.traditional());
    }
    if (spec_->norm_after_rope) normalize_head(workspace, head, values);
  } else if (v_norm_) {
    workspace.normalize_vector(*v_norm_, values, 0, head_dim, values);
  }
  if (head.kind == HeadKind::kQuery) {
    float scale = spec_->scale;
    if (spec_->position_scaling) scale *= position_factor(*spec_->position_scaling, position);
    kernels.scale(values, scale, shared.queries(token) + head.index * head_dim, head_dim);
    return;
  }
  const auto group = static_cast<std::size_t>(spec_->layer_group);
  const KvPages& kv = shared.pages()[group];
  std::byte* block = kv.block(shared.token_pages(group)[token], spec_->index_in_group, head.index);
  const std::int32_t slot = position % kPageTokens;
  if (head.kind == HeadKind::kKey) {
    write_key(kernels, kv.layout(), block, slot, values);
  } else {
    write_value(kernels, kv.layout(), block, slot, values);
  }
}

void AttentionBlock::attend(const StepInput& step, StepWorkspace& workspace, AttentionWorkspace& shared,
                            std::int32_t thread) {
  const AttentionLayer work{.spec = spec_,
                            .queries = shared.queries(0),
                            .query_stride = shared.query_stride(),
                            .out = shared.attended(),
                            .sinks = sinks_.empty() ? nullptr : sinks_.data()};
  workspace.pool().share(thread, attention_->num_items(), 1,
                         [&](std::int64_t item, std::int64_t, std::int32_t) {
                           attention_->run(static_cast<std::int32_t>(item), step, work, thread);
                         });
  workspace.end_stage(thread, StepStage::kAttention);
}

void AttentionBlock::add_output(StepWorkspace& workspace, AttentionWorkspace& shared, std::int32_t thread) {
  const std::int32_t width = spec_->num_heads * spec_->head_dim;
  if (spec_->gate_proj) {
    workspace.pool().share(
        thread, workspace.rows(), 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
          float* attended = shared.attended() + begin * width;
          workspace.kernels().gate(Activation::kSigmoid, shared.gates() + begin * width, attended, attended,
                                   static_cast<std::int32_t>(end - begin) * width);
        });
    workspace.barrier_after(thread, StepStage::kAttention);
  }
  if (latent_) {
    latent_->project_back(workspace, shared, thread);
    workspace.barrier(thread);
  }
  const float* values = latent_ ? LatentProjection::outputs(shared) : shared.attended();
  const Activations& input =
      workspace.quantize(values, spec_->o_proj.in_features, workspace.attention_activations(), thread);
  workspace.begin_adapters_of({&o_proj_}, values, spec_->o_proj.in_features, StepStage::kOutput, thread);
  workspace.add_product(o_proj_, input, get(post_norm_), layer_->residual_scale, StepStage::kOutput, thread);
}

}  // namespace mlxd
