#include "backends/cpu/latent_projection.h"

#include <algorithm>
#include <array>

#include "backends/cpu/attention_block.h"

namespace mlxd {
namespace {

// Rows of one head that a product takes: its weights stay in cache meanwhile.
constexpr std::int32_t kHeadRows = 32;
constexpr std::int32_t kPadding = 16;  // breaks up strides of powers of two

std::int32_t chunks_of(std::int32_t rows) { return (rows + kHeadRows - 1) / kHeadRows; }

/// One head's rows of a layer that has those of all heads.
LinearSpec head_part(const LinearSpec& whole, std::int32_t head, std::int32_t rows) {
  LinearSpec part = whole;
  part.out_features = rows;
  part.rows = {.total = whole.stored_rows(),
               .first = whole.rows.at(std::int64_t{head} * rows),
               .run = rows,
               .period = rows};
  return part;
}

std::vector<LinearSpec> head_parts(const LinearSpec& whole, std::int32_t heads) {
  std::vector<LinearSpec> parts;
  for (std::int32_t head = 0; head < heads; ++head)
    parts.push_back(head_part(whole, head, whole.out_features / heads));
  return parts;
}

/// A head's outputs of a layer made of head_parts.
ProductPiece head_piece(const Linear& linear, std::int32_t head, std::int32_t heads) {
  const std::int32_t blocks = linear.num_blocks() / heads;
  return {linear, head * blocks, (head + 1) * blocks};
}

}  // namespace

LatentWorkspace::ThreadScratch::ThreadScratch(std::int32_t max_features, std::int32_t max_outputs,
                                              const StepWorkspace::Options& options)
    : activations(2 * kHeadRows, max_features, options.isa, options.activation_bits),
      halves(2 * static_cast<std::size_t>(kHeadRows) * static_cast<std::size_t>(max_features)),
      outputs(2 * static_cast<std::size_t>(kHeadRows) *
              static_cast<std::size_t>(max_outputs + kBlockRows + kPadding)),
      inner(static_cast<std::size_t>(kHeadRows) * kMaxAdapterRank) {}

LatentWorkspace::LatentWorkspace(const ModelSpec& spec, std::int32_t num_threads,
                                 const StepWorkspace::Options& options) {
  std::int32_t projected = 0;
  std::int32_t compressed = 0;
  std::int32_t queries = 0;
  std::int32_t outputs = 0;
  std::int32_t features = 0;
  for (const LayerSpec& layer : spec.layers) {
    if (!layer.attention) continue;
    const AttentionSpec& attention = *layer.attention;
    if (!attention.latent) continue;
    const LatentSpec& latent = *attention.latent;
    const LinearSpec& first = latent.q_a_proj ? *latent.q_a_proj : attention.q_proj;
    projected = std::max(projected, first.out_features + latent.kv_a_proj.out_features);
    if (latent.q_a_proj) {
      compressed = std::max(compressed, latent.q_a_proj->out_features);
      queries = std::max(queries, attention.q_proj.out_features);
    }
    outputs = std::max(outputs, attention.o_proj.in_features);
    features = std::max({features, latent.latent_dim, latent.nope_dim, latent.value_dim});
  }
  if (projected == 0) return;
  const auto rows = static_cast<std::size_t>(options.max_rows);
  projected_stride_ = projected + kPadding;
  projected_.resize(rows * static_cast<std::size_t>(projected_stride_));
  head_outputs_.resize(rows * static_cast<std::size_t>(outputs));
  if (compressed > 0) {
    queries_stride_ = queries + kPadding;
    head_queries_.resize(rows * static_cast<std::size_t>(queries_stride_));
    query_input_.resize(2 * rows * static_cast<std::size_t>(compressed));
    query_activations_.emplace(2 * options.max_rows, compressed, options.isa, options.activation_bits);
  }
  for (std::int32_t i = 0; i < num_threads; ++i)
    threads_.push_back(std::make_unique<ThreadScratch>(features, features, options));
}

std::size_t LatentWorkspace::memory_bytes() const {
  std::size_t floats = projected_.size() + query_input_.size() + head_queries_.size() + head_outputs_.size();
  std::size_t bytes = query_activations_ ? query_activations_->activations.memory_bytes() : 0;
  for (const auto& thread : threads_) {
    floats += thread->halves.size() + thread->outputs.size() + thread->inner.size();
    bytes += thread->activations.memory_bytes();
  }
  return bytes + floats * sizeof(float);
}

Result<LatentProjection> LatentProjection::create(const AttentionSpec& spec, const WeightMap& weights) {
  LatentProjection projection(spec);
  const LatentSpec& latent = *spec.latent;
  if (latent.q_a_norm) projection.q_norm_ = TRY(read_norm(*latent.q_a_norm, weights));
  projection.kv_norm_ = TRY(read_norm(latent.kv_a_norm, weights));
  if (latent.embed_q_transposed)
    projection.embed_q_dense_ = TRY(read_transposed_heads(latent.embed_q, spec.num_heads, weights));
  return projection;
}

std::vector<LinearSpec> LatentProjection::down_parts() const {
  return {compresses_queries() ? *latent_->q_a_proj : spec_->q_proj, latent_->kv_a_proj};
}

Result<void> LatentProjection::list_products(CpuAdapterBuilder& builder) const {
  if (compresses_queries()) TRY(list_product(builder, q_proj_, {&spec_->q_proj, 1}));
  if (latent_->embed_q_transposed) {
    const auto nope = static_cast<std::size_t>(latent_->nope_dim);
    const auto size = static_cast<std::size_t>(latent_->latent_dim);
    TRY(builder.add({.address = &embed_q_dense_,
                     .parts = {&latent_->embed_q, 1},
                     .read_row = [this, nope, size](std::int32_t row, float* out) {
                       const auto index = static_cast<std::size_t>(row);
                       const float* head = embed_q_dense_.data() + index / nope * size * nope;
                       for (std::size_t i = 0; i < size; ++i) out[i] = head[i * nope + index % nope];
                     }}));
    TRY(list_product(builder, unembed_out_, head_parts(latent_->unembed_out, spec_->num_heads)));
  }
  return list_product(builder, down_, down_parts());
}

Result<void> LatentProjection::order(LinearLoader& loader) {
  down_bias_ = TRY(loader.add_without_bias(down_parts(), &down_));
  if (compresses_queries()) loader.add({spec_->q_proj}, &q_proj_);
  if (embed_q_dense_.empty()) loader.add(head_parts(latent_->embed_q, spec_->num_heads), &embed_q_);
  loader.add(head_parts(latent_->unembed_out, spec_->num_heads), &unembed_out_);
  return {};
}

void LatentProjection::register_products(StepWorkspace& workspace, LatentWorkspace& shared) const {
  workspace.hidden_activations().serve(down_);
  if (compresses_queries()) shared.query_activations_->serve(q_proj_);
}

void LatentProjection::count_work(const StepWorkspace& workspace, StepWork& work) const {
  const auto add = [&](StepStage stage, const Linear& linear, bool is_query) {
    const bool twice = is_query && workspace.splits(linear);
    work.add_product(stage, linear, twice ? 2 : workspace.passes(linear));
  };
  add(StepStage::kQkv, down_, true);
  if (compresses_queries()) add(StepStage::kQkv, q_proj_, true);
  if (embed_q_dense_.empty()) add(StepStage::kQkv, embed_q_, true);
  add(StepStage::kOutput, unembed_out_, false);
}

std::size_t LatentProjection::weight_bytes() const {
  std::size_t floats = down_bias_.size() + embed_q_dense_.size() + kv_norm_.weight.size();
  if (q_norm_) floats += q_norm_->weight.size();
  std::size_t bytes = down_.memory_bytes() + unembed_out_.memory_bytes() + floats * sizeof(float);
  if (compresses_queries()) bytes += q_proj_.memory_bytes();
  if (embed_q_dense_.empty()) bytes += embed_q_.memory_bytes();
  return bytes;
}

/// Norms of a token's compressed query and latent; its key and value go to their page.
void LatentProjection::store_token(const StepInput& step, const StepWorkspace& workspace,
                                   AttentionWorkspace& shared, std::int32_t token) const {
  const VectorKernels& kernels = workspace.kernels();
  LatentWorkspace& own = shared.latent();
  float* projected = own.projected_.data() + token * own.projected_stride_;
  float* latent = projected + down_.out_features() - latent_->kv_a_proj.out_features;
  if (compresses_queries()) {
    const std::int32_t size = latent_->q_a_proj->out_features;
    float* input = own.query_input_.data() + std::ptrdiff_t{token} * size;
    workspace.normalize_vector(*q_norm_, projected, 0, size, input);
    if (workspace.splits(q_proj_))
      kernels.split(input, input, input + std::ptrdiff_t{workspace.rows()} * size, size);
  }
  workspace.normalize_vector(kv_norm_, latent, 0, latent_->latent_dim, latent);
  if (spec_->rope) {
    const auto rope = static_cast<std::size_t>(*spec_->rope);
    kernels.rotate(latent + latent_->latent_dim, shared.cosines(rope, token), shared.sines(rope, token),
                   shared.rope(rope).num_pairs(), shared.rope(rope).traditional());
  }
  const auto group = static_cast<std::size_t>(spec_->layer_group);
  const KvPages& kv = shared.pages()[group];
  std::byte* block = kv.block(shared.token_pages(group)[token], spec_->index_in_group, 0);
  const std::int32_t slot = step.positions[static_cast<std::size_t>(token)] % kPageTokens;
  write_key(kernels, kv.layout(), block, slot, latent);
  std::fill_n(latent + latent_->latent_dim, latent_->rope_dim, 0.0F);
  write_value(kernels, kv.layout(), block, slot, latent);
}

/// Some rows' queries of a head: their position-free part into the latents' space, the rest rotated.
void LatentProjection::embed_queries(const StepInput& step, StepWorkspace& workspace,
                                     AttentionWorkspace& shared, std::int32_t head, std::int32_t first_row,
                                     std::int32_t last_row, std::int32_t thread) const {
  const VectorKernels& kernels = workspace.kernels();
  LatentWorkspace& own = shared.latent();
  LatentWorkspace::ThreadScratch& scratch = *own.threads_[static_cast<std::size_t>(thread)];
  const std::int32_t nope = latent_->nope_dim;
  const std::int32_t rows = last_row - first_row;
  const std::ptrdiff_t stride = compresses_queries() ? own.queries_stride_ : own.projected_stride_;
  float* queries = (compresses_queries() ? own.head_queries_ : own.projected_).data() + first_row * stride +
                   std::ptrdiff_t{head} * query_dim();
  std::ptrdiff_t out_stride = latent_->latent_dim;
  if (!embed_q_dense_.empty()) {
    const std::ptrdiff_t size = std::ptrdiff_t{nope} * latent_->latent_dim;
    const StepAdapters& adapters = workspace.adapters();
    const bool adapts = adapters.any() && adapters.adapts(&embed_q_dense_);
    const auto inner = [&](std::int32_t row) {
      return scratch.inner.data() + std::ptrdiff_t{row} * kMaxAdapterRank;
    };
    std::array<bool, kHeadRows> adapted{};
    for (std::int32_t row = 0; adapts && row < rows; ++row) {
      adapted[static_cast<std::size_t>(row)] = adapters.take_backwards(
          first_row + row, &embed_q_dense_, head * nope, nope, queries + row * stride, inner(row));
    }
    kernels.product(queries, stride, rows, embed_q_dense_.data() + head * size, nope, latent_->latent_dim,
                    scratch.outputs.data(), out_stride);
    for (std::int32_t row = 0; row < rows; ++row) {
      if (adapted[static_cast<std::size_t>(row)])
        adapters.add_backwards(first_row + row, &embed_q_dense_, inner(row),
                               scratch.outputs.data() + row * out_stride);
    }
  } else {
    const bool split = workspace.splits(embed_q_);
    for (std::int32_t row = 0; split && row < rows; ++row) {
      float* high = scratch.halves.data() + std::ptrdiff_t{row} * nope;
      kernels.split(queries + row * stride, high, high + std::ptrdiff_t{rows} * nope, nope);
    }
    scratch.activations.reset(split ? 2 * rows : rows, nope, embed_q_.activation_forms());
    scratch.activations.fill(split ? scratch.halves.data() : queries, split ? nope : stride, 0,
                             num_activation_groups(nope));
    const ProductPiece piece = head_piece(embed_q_, head, spec_->num_heads);
    workspace.apply_piece(embed_q_, scratch.activations, rows, piece, scratch.outputs);
    out_stride = static_cast<std::ptrdiff_t>(piece.stride);
  }
  for (std::int32_t row = 0; row < rows; ++row) {
    const std::int32_t token = first_row + row;
    float factor = spec_->scale;
    if (spec_->position_scaling)
      factor *= position_factor(*spec_->position_scaling, step.positions[static_cast<std::size_t>(token)]);
    float* rotated = queries + row * stride + nope;
    if (spec_->rope) {
      const auto rope = static_cast<std::size_t>(*spec_->rope);
      kernels.rotate(rotated, shared.cosines(rope, token), shared.sines(rope, token),
                     shared.rope(rope).num_pairs(), shared.rope(rope).traditional());
    }
    float* out = shared.queries(token) + std::ptrdiff_t{head} * spec_->head_dim;
    kernels.scale(scratch.outputs.data() + row * out_stride, factor, out, latent_->latent_dim);
    kernels.scale(rotated, factor, out + latent_->latent_dim, latent_->rope_dim);
  }
}

void LatentProjection::project(const StepInput& step, StepWorkspace& workspace, AttentionWorkspace& shared,
                               const DenseNorm* norm, std::int32_t thread) const {
  ThreadPool& pool = workspace.pool();
  LatentWorkspace& own = shared.latent();
  const std::int32_t rows = workspace.rows();
  // As in AttentionBlock: what scores depend on gets 16-bit activations.
  const Activations& input = workspace.quantize_normed(norm, workspace.splits(down_), thread);
  workspace.begin_adapters_of_norm({&down_}, norm, StepStage::kQkv, thread);
  workspace.multiply(down_, down_bias_, input, own.projected_.data(), own.projected_stride_, thread);
  workspace.barrier_after(thread, StepStage::kQkv);

  pool.share(thread, rows, 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    for (auto token = static_cast<std::int32_t>(begin); token < static_cast<std::int32_t>(end); ++token)
      store_token(step, workspace, shared, token);
  });
  if (compresses_queries()) {
    const std::int32_t size = latent_->q_a_proj->out_features;
    // The layer before read them barriers ago.
    if (thread == 0) own.query_activations_->reset(workspace.splits(q_proj_) ? 2 * rows : rows, size);
    workspace.barrier_after(thread, StepStage::kNorm);
    Activations& activations = own.query_activations_->activations;
    pool.share(thread, num_activation_groups(size), 1,
               [&](std::int64_t begin, std::int64_t end, std::int32_t) {
                 activations.fill(own.query_input_.data(), size, static_cast<std::int32_t>(begin),
                                  static_cast<std::int32_t>(end));
               });
    workspace.barrier_after(thread, StepStage::kNorm);
    const std::ptrdiff_t low = workspace.splits(q_proj_) ? std::ptrdiff_t{rows} * size : 0;
    workspace.begin_adapters({&q_proj_}, StepStage::kQkv, thread, [&](std::int32_t row, float* to) {
      const float* from = own.query_input_.data() + std::ptrdiff_t{row} * size;
      std::copy_n(from, size, to);
      if (low > 0) workspace.kernels().add_to(from + low, to, size);
    });
    workspace.multiply(q_proj_, {}, activations, own.head_queries_.data(), own.queries_stride_, thread);
    workspace.barrier_after(thread, StepStage::kQkv);
  } else {
    workspace.barrier_after(thread, StepStage::kNorm);
  }

  const std::int32_t chunks = chunks_of(rows);
  pool.share(thread, std::int64_t{spec_->num_heads} * chunks, 1,
             [&](std::int64_t item, std::int64_t, std::int32_t) {
               const auto first = static_cast<std::int32_t>(item % chunks) * kHeadRows;
               embed_queries(step, workspace, shared, static_cast<std::int32_t>(item / chunks), first,
                             std::min(first + kHeadRows, rows), thread);
             });
  workspace.end_stage(thread, StepStage::kQkv);
}

void LatentProjection::project_back(StepWorkspace& workspace, AttentionWorkspace& shared,
                                    std::int32_t thread) const {
  LatentWorkspace& own = shared.latent();
  LatentWorkspace::ThreadScratch& scratch = *own.threads_[static_cast<std::size_t>(thread)];
  const std::int32_t all_rows = workspace.rows();
  const std::int32_t chunks = chunks_of(all_rows);
  const std::ptrdiff_t in_stride = std::ptrdiff_t{spec_->num_heads} * spec_->head_dim;
  const std::ptrdiff_t out_stride = spec_->o_proj.in_features;
  const StepAdapters& adapters = workspace.adapters();
  const auto run = [&](std::int64_t item, std::int64_t, std::int32_t) {
    const auto head = static_cast<std::int32_t>(item / chunks);
    const auto first = static_cast<std::int32_t>(item % chunks) * kHeadRows;
    const std::int32_t rows = std::min(kHeadRows, all_rows - first);
    scratch.activations.reset(rows, latent_->latent_dim, unembed_out_.activation_forms());
    scratch.activations.fill(shared.attended() + first * in_stride + std::ptrdiff_t{head} * spec_->head_dim,
                             in_stride, 0, num_activation_groups(latent_->latent_dim));
    const ProductPiece piece = head_piece(unembed_out_, head, spec_->num_heads);
    workspace.apply_piece(unembed_out_, scratch.activations, rows, piece, scratch.outputs);
    for (std::int32_t row = 0; row < rows; ++row) {
      if (adapters.any()) {
        adapters.adapt_part(
            first + row, &unembed_out_, head,
            shared.attended() + (first + row) * in_stride + std::ptrdiff_t{head} * spec_->head_dim, 0,
            piece.columns, scratch.outputs.data() + static_cast<std::size_t>(row) * piece.stride);
      }
      std::copy_n(
          scratch.outputs.data() + static_cast<std::size_t>(row) * piece.stride, piece.columns,
          own.head_outputs_.data() + (first + row) * out_stride + std::ptrdiff_t{head} * latent_->value_dim);
    }
  };
  workspace.pool().share(thread, std::int64_t{spec_->num_heads} * chunks, 1, run);
  workspace.end_stage(thread, StepStage::kOutput);
}

const float* LatentProjection::outputs(AttentionWorkspace& shared) {
  return shared.latent().head_outputs_.data();
}

}  // namespace mlxd
