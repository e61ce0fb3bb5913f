#include "backends/cpu/fast_executor.h"

#include <algorithm>

#include "backends/cpu/dense_weights.h"
#include "base/check.h"

namespace mlxd {
namespace {

constexpr std::int64_t kVocabularyPiecesPerThread = 16;

const DenseNorm* get(const std::optional<DenseNorm>& norm) { return norm ? &*norm : nullptr; }

StepWorkspace::Options workspace_options(const FastExecutor::Options& options) {
  return {.isa = options.isa,
          .max_rows = options.max_batch_tokens,
          .activation_bits = options.activation_bits,
          .profile = options.profile};
}

/// The larger logit, the lower id of equal ones: the same whatever the order of pieces.
void raise(Peak& peak, const Peak& other) {
  if (other.token == kNoToken) return;
  if (peak.token == kNoToken || other.logit > peak.logit ||
      (other.logit == peak.logit && other.token < peak.token)) {
    peak = other;
  }
}

}  // namespace

FastExecutor::FastExecutor(const ModelSpec& spec, ThreadPool& pool, const Options& options)
    : spec_(spec),
      pool_(pool),
      profile_(options.profile),
      workspace_(spec, pool, workspace_options(options)),
      attention_workspace_(spec, options.kv_format, options.touch_pages, pool.num_threads(),
                           workspace_options(options)),
      recurrent_workspace_(spec, pool.num_threads(), workspace_options(options)),
      moe_workspace_(spec, pool.num_threads(), workspace_options(options)),
      kept_rows_(options.max_batch_tokens, spec.hidden_size) {
  if (spec.position_embedding) {
    positions_scratch_.resize(static_cast<std::size_t>(options.max_batch_tokens) *
                              static_cast<std::size_t>(spec.hidden_size));
  }
}

void FastExecutor::plan_attention(const Options& options) {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (!layers_[i].attention) continue;
    const AttentionSpec& attention = *spec_.layers[i].attention;
    const auto same_shape = [&](std::size_t other) {
      const AttentionSpec& known = *spec_.layers[other].attention;
      return known.num_heads == attention.num_heads && known.num_kv_heads == attention.num_kv_heads &&
             known.head_dim == attention.head_dim && known.layer_group == attention.layer_group;
    };
    const auto found = std::find_if(attention_layers_.begin(), attention_layers_.end(), same_shape);
    if (found == attention_layers_.end()) {
      const auto group = static_cast<std::size_t>(attention.layer_group);
      attention_layers_.push_back(i);
      attentions_.push_back(std::make_unique<PagedAttention>(
          PagedAttention::Options{.kernels = &workspace_.kernels(),
                                  .pages = &attention_workspace_.pages()[group],
                                  .window_tokens = spec_.layer_groups[group].window_tokens,
                                  .num_threads = pool_.num_threads(),
                                  .max_batch_tokens = options.max_batch_tokens,
                                  .max_batch_sequences = options.max_batch_sequences,
                                  .context_tokens = spec_.context_tokens,
                                  .num_heads = attention.num_heads,
                                  .num_kv_heads = attention.num_kv_heads,
                                  .head_dim = attention.head_dim}));
      layers_[i].attention->set_attention(attentions_.back().get());
    } else {
      const auto index = static_cast<std::size_t>(found - attention_layers_.begin());
      layers_[i].attention->set_attention(attentions_[index].get());
    }
  }
}

Result<std::unique_ptr<FastExecutor>> FastExecutor::load(const ModelSpec& spec, const WeightMap& weights,
                                                         ThreadPool& pool, const Options& options) {
  std::unique_ptr<FastExecutor> executor(new FastExecutor(spec, pool, options));
  TRY(executor->load_weights(weights, options));
  executor->plan_attention(options);
  if (options.profile != nullptr) executor->plan_profile();
  return executor;
}

void FastExecutor::plan_profile() {
  work_ = StepWork(spec_, attention_workspace_.pages());
  for (const Layer& layer : layers_) {
    if (layer.attention) layer.attention->count_work(workspace_, work_);
    if (layer.recurrent) layer.recurrent->count_work(workspace_, work_);
    if (layer.mlp) layer.mlp->count_work(workspace_, work_);
    if (layer.moe) layer.moe->count_work(workspace_, work_);
  }
  if (per_layer_inputs_) per_layer_inputs_->count_work(workspace_, work_);
  work_.add_product(StepStage::kVocabulary, lm_head_,
                    workspace_.splits(lm_head_) ? 2 : workspace_.passes(lm_head_));
}

Result<void> FastExecutor::make_layer(const LayerSpec& spec, LinearLoader& loader) {
  const WeightMap& weights = loader.weights();
  Layer layer;
  layer.spec = &spec;
  if (spec.mlp_norm) layer.mlp_norm = TRY(read_norm(*spec.mlp_norm, weights));
  if (spec.mlp_post_norm) layer.mlp_post_norm = TRY(read_norm(*spec.mlp_post_norm, weights));
  // Without a norm of its own, the MLP of a parallel layer shares the attention's.
  if (spec.parallel && !spec.mlp_norm && spec.attention_norm)
    layer.mlp_norm = TRY(read_norm(*spec.attention_norm, weights));
  if (spec.moe) {
    layer.moe = std::make_unique<MoeBlock>(TRY(MoeBlock::create(*spec.moe, weights)));
    TRY(layer.moe->order(loader));
  } else if (spec.mlp) {
    layer.mlp = std::make_unique<MlpBlock>(*spec.mlp);
    TRY(layer.mlp->order(loader));
  }
  if (!spec.output_scale.empty())
    layer.output_scale = TRY(read_vector(spec.output_scale, 1, weights)).front();
  if (spec.attention) {
    layer.attention = std::make_unique<AttentionBlock>(TRY(AttentionBlock::create(spec, weights)));
    TRY(layer.attention->order(loader));
  }
  if (spec.recurrent) {
    layer.recurrent = std::make_unique<RecurrentBlock>(TRY(RecurrentBlock::create(spec, weights)));
    TRY(layer.recurrent->order(loader));
  }
  layers_.push_back(std::move(layer));
  return {};
}

Result<void> FastExecutor::load_weights(const WeightMap& weights, const Options& options) {
  LinearLoader loader(weights, options.isa);
  // The largest first, so that the threads end together.
  lm_head_bias_ = TRY(loader.add_without_bias({spec_.lm_head}, &lm_head_));
  if (!spec_.tied_embeddings) loader.add({spec_.embedding}, &embedding_);
  if (spec_.position_embedding) loader.add({*spec_.position_embedding}, &position_embedding_);
  layers_.reserve(spec_.layers.size());
  for (const LayerSpec& layer : spec_.layers) TRY(make_layer(layer, loader));
  if (spec_.embedding_norm) embedding_norm_ = TRY(read_norm(*spec_.embedding_norm, weights));
  final_norm_ = TRY(read_norm(spec_.final_norm, weights));
  if (spec_.per_layer_embedding) {
    per_layer_inputs_ = TRY(PerLayerInputs::create(spec_, weights, workspace_options(options)));
    per_layer_inputs_->order(loader);
  }
  TRY(loader.run(pool_, options.progress));
  workspace_.hidden_activations().serve(lm_head_);
  if (per_layer_inputs_) per_layer_inputs_->register_products(workspace_);
  for (const Layer& layer : layers_) {
    if (layer.attention) layer.attention->register_products(workspace_, attention_workspace_);
    if (layer.recurrent) layer.recurrent->register_products(workspace_);
    if (layer.mlp) layer.mlp->register_products(workspace_);
    if (layer.moe) layer.moe->register_products(workspace_);
  }
  return {};
}

std::size_t FastExecutor::weight_bytes() const {
  std::size_t bytes = lm_head_.memory_bytes() + final_norm_.weight.size() * sizeof(float);
  if (!spec_.tied_embeddings) bytes += embedding_.memory_bytes();
  if (spec_.position_embedding) bytes += position_embedding_.memory_bytes();
  if (per_layer_inputs_) bytes += per_layer_inputs_->weight_bytes();
  for (const Layer& layer : layers_) {
    if (layer.attention) bytes += layer.attention->weight_bytes();
    if (layer.recurrent) bytes += layer.recurrent->weight_bytes();
    if (layer.mlp) bytes += layer.mlp->weight_bytes();
    if (layer.moe) bytes += layer.moe->weight_bytes();
    for (const auto* norm : {&layer.mlp_norm, &layer.mlp_post_norm}) {
      if (*norm) bytes += ((*norm)->weight.size() + (*norm)->bias.size()) * sizeof(float);
    }
  }
  return bytes;
}

std::size_t FastExecutor::scratch_bytes() const {
  std::size_t bytes = workspace_.memory_bytes() + attention_workspace_.memory_bytes() +
                      recurrent_workspace_.memory_bytes() + moe_workspace_.memory_bytes() +
                      kept_rows_.memory_bytes() + positions_scratch_.size() * sizeof(float);
  if (per_layer_inputs_) bytes += per_layer_inputs_->memory_bytes();
  for (const auto& attention : attentions_) bytes += attention->memory_bytes();
  return bytes;
}

Result<CpuAdapterPtr> FastExecutor::prepare_adapter(const Adapter& adapter) const {
  CpuAdapterBuilder builder(adapter, this, workspace_.kernels());
  TRY(list_product(builder, lm_head_, {&spec_.lm_head, 1}));
  if (!spec_.tied_embeddings) TRY(list_product(builder, embedding_, {&spec_.embedding, 1}));
  for (const Layer& layer : layers_) {
    if (layer.attention) TRY(layer.attention->list_products(builder));
    if (layer.recurrent) TRY(layer.recurrent->list_products(builder));
    if (layer.mlp) TRY(layer.mlp->list_products(builder));
    if (layer.moe) TRY(layer.moe->list_products(builder));
  }
  if (per_layer_inputs_) TRY(per_layer_inputs_->list_products(builder));
  return builder.finish();
}

void FastExecutor::attach_adapter(AdapterId id, CpuAdapterPtr adapter) {
  workspace_.adapters().attached().attach(id, std::move(adapter));
  workspace_.adapters().make_room();
}

void FastExecutor::detach_adapter(AdapterId id) {
  workspace_.adapters().attached().detach(id);
  workspace_.adapters().make_room();
}

void FastExecutor::forward(const StepInput& step) {
  const LayerPasses cut(step, layers_.size());
  workspace_.adapters().begin(step);
  bool prepared = false;
  for (const LayerPass& pass : cut.passes()) {
    const auto rows = static_cast<std::int64_t>(pass.input.tokens.size());
    const auto whole = static_cast<std::int64_t>(cut.num_whole_tokens());
    const bool keeps = rows > whole && pass.last_layer < layers_.size();
    workspace_.set_rows(static_cast<std::int32_t>(rows));
    workspace_.adapters().select_first(static_cast<std::int32_t>(rows));
    for (std::size_t i = 0; i < attentions_.size(); ++i) {
      attentions_[i]->plan(pass.input, *spec_.layers[attention_layers_[i]].attention);
    }
    if (profile_ != nullptr) {
      work_.count_pass(pass, *profile_);
      profile_->fork(StepStage::kPrepare);
    }
    pool_.run([&](std::int32_t thread) {
      workspace_.end_stage(thread, StepStage::kWait);
      if (!prepared) {
        pool_.share(thread, std::ssize(step.tokens), 1,
                    [&](std::int64_t begin, std::int64_t end, std::int32_t) {
                      prepare_tokens(step, cut.num_whole_tokens(), begin, end);
                    });
        workspace_.barrier_after(thread, StepStage::kPrepare);
        if (per_layer_inputs_) per_layer_inputs_->project(workspace_, thread);
      }
      run_pass(pass, thread);
      if (!keeps) return;
      pool_.share(thread, rows - whole, 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
        for (std::int64_t token = whole + begin; token < whole + end; ++token) {
          kept_rows_.keep(step, static_cast<std::size_t>(token),
                          workspace_.x(static_cast<std::int32_t>(token)));
        }
      });
      workspace_.end_stage(thread, StepStage::kPrepare);
    });
    if (profile_ != nullptr) profile_->join();
    prepared = true;
  }
}

void FastExecutor::run_pass(const LayerPass& pass, std::int32_t thread) {
  for (std::size_t i = pass.first_layer; i < pass.last_layer; ++i) {
    if (layers_[i].spec->parallel) {
      run_parallel_layer(pass.input, layers_[i], thread);
    } else {
      run_layer(pass.input, layers_[i], thread);
    }
  }
}

/// Embeddings, or what was kept of earlier layers, rotations and page addresses of some tokens.
void FastExecutor::prepare_tokens(const StepInput& step, std::size_t num_whole_tokens, std::int64_t begin,
                                  std::int64_t end) {
  const bool resumes = step.batch->slice.first_layer > 0;
  const Linear& embedding = token_embedding();
  const VectorKernels& kernels = workspace_.kernels();
  for (auto token = static_cast<std::size_t>(begin); token < static_cast<std::size_t>(end); ++token) {
    float* x = workspace_.x(static_cast<std::int32_t>(token));
    attention_workspace_.prepare_token(step, token);
    if (resumes && token >= num_whole_tokens) {
      kept_rows_.restore(step, token, x);
      continue;
    }
    embedding.dequantize_row(step.tokens[token], x);
    workspace_.adapters().adapt_embedding(static_cast<std::int32_t>(token), &embedding, step.tokens[token],
                                          x);
    if (spec_.embedding_scale != 1.0F) kernels.scale(x, spec_.embedding_scale, x, spec_.hidden_size);
    if (spec_.position_embedding) {
      float* position = positions_scratch_.data() + token * static_cast<std::size_t>(spec_.hidden_size);
      position_embedding_.dequantize_row(step.positions[token], position);
      kernels.add_to(position, x, spec_.hidden_size);
    }
    if (embedding_norm_) workspace_.normalize_vector(*embedding_norm_, x, 0, spec_.hidden_size, x);
    if (per_layer_inputs_)
      per_layer_inputs_->prepare_token(workspace_, step.tokens[token], static_cast<std::int32_t>(token));
  }
}

/// x += what attention and recurrence, those there are, make of normed x.
void FastExecutor::run_mixers(const StepInput& step, Layer& layer, std::int32_t thread) {
  AttentionBlock* attention = layer.attention.get();
  RecurrentBlock* recurrent = layer.recurrent.get();
  if (attention != nullptr) attention->project(step, workspace_, attention_workspace_, thread);
  if (recurrent != nullptr) {
    // They share what their input becomes.
    if (attention != nullptr) workspace_.barrier(thread);
    recurrent->project(workspace_, recurrent_workspace_, thread);
  }
  // Between two barriers nobody reads these two.
  if (thread == 0) {
    if (attention != nullptr) {
      attention->begin_output(workspace_);
    } else {
      recurrent->begin_output(workspace_);
    }
    if (layer.mlp) workspace_.mlp_activations().reset(workspace_.rows(), layer.mlp->intermediate());
  }
  workspace_.barrier(thread);

  const KvPages* states = nullptr;
  if (recurrent != nullptr) {
    states = &attention_workspace_.pages()[static_cast<std::size_t>(layer.spec->recurrent->layer_group)];
    recurrent->convolve(step, *states, workspace_, recurrent_workspace_, thread);
  }
  if (attention != nullptr) attention->attend(step, workspace_, attention_workspace_, thread);
  workspace_.barrier(thread);

  if (recurrent != nullptr) {
    recurrent->advance(step, *states, workspace_, recurrent_workspace_, thread);
    workspace_.barrier(thread);
  }
  if (attention != nullptr) {
    attention->add_output(workspace_, attention_workspace_, thread);
    workspace_.barrier(thread);
    if (recurrent != nullptr) {
      if (thread == 0) recurrent->begin_output(workspace_);
      workspace_.barrier(thread);
    }
  }
  if (recurrent != nullptr) {
    if (recurrent->has_finish()) {
      recurrent->finish(workspace_, recurrent_workspace_, thread);
      workspace_.barrier(thread);
    }
    recurrent->add_output(workspace_, recurrent_workspace_, thread);
    workspace_.barrier(thread);
  }
}

/// x += what MLP or experts make of normed x.
void FastExecutor::run_feed_forward(Layer& layer, std::int32_t thread) {
  const float scale = layer.spec->residual_scale;
  if (layer.moe) {
    layer.moe->run(workspace_, moe_workspace_, get(layer.mlp_norm), get(layer.mlp_post_norm), scale, thread);
  } else {
    if (!layer.spec->mixes()) {
      if (thread == 0) workspace_.mlp_activations().reset(workspace_.rows(), layer.mlp->intermediate());
      workspace_.barrier(thread);
    }
    run_mlp_up(layer, thread);
    workspace_.barrier(thread);
    layer.mlp->begin_down(workspace_, thread);
    workspace_.add_product(layer.mlp->down_proj(), workspace_.mlp_activations().activations,
                           get(layer.mlp_post_norm), scale, StepStage::kDown, thread);
  }
  workspace_.barrier(thread);
}

void FastExecutor::run_layer(const StepInput& step, Layer& layer, std::int32_t thread) {
  if (layer.spec->mixes()) run_mixers(step, layer, thread);
  if (layer.mlp || layer.moe) run_feed_forward(layer, thread);
  if (per_layer_inputs_) {
    per_layer_inputs_->add_to(workspace_, static_cast<std::size_t>(&layer - layers_.data()), thread);
    workspace_.barrier(thread);
  }
  if (layer.output_scale) {
    workspace_.scale_rows(*layer.output_scale, thread);
    workspace_.barrier(thread);
  }
}

void FastExecutor::run_mlp_up(Layer& layer, std::int32_t thread) {
  const DenseNorm* const norm = get(layer.mlp_norm);
  const Activations& input = workspace_.quantize_normed(norm, false, thread);
  layer.mlp->run_up(workspace_, input, thread, [&](std::int32_t row, float* to) {
    workspace_.normalize_row(workspace_.x(row), norm, 0, 0, to);
  });
}

/// Attention and MLP of the same x: the MLP reads it before the attention's output is added.
void FastExecutor::run_parallel_layer(const StepInput& step, Layer& layer, std::int32_t thread) {
  layer.attention->project(step, workspace_, attention_workspace_, thread);
  if (thread == 0) {
    layer.attention->begin_output(workspace_);
    workspace_.mlp_activations().reset(workspace_.rows(), layer.mlp->intermediate());
  }
  workspace_.barrier(thread);

  run_mlp_up(layer, thread);
  layer.attention->attend(step, workspace_, attention_workspace_, thread);
  workspace_.barrier(thread);

  layer.attention->add_output(workspace_, attention_workspace_, thread);
  workspace_.barrier(thread);

  layer.mlp->begin_down(workspace_, thread);
  workspace_.add_product(layer.mlp->down_proj(), workspace_.mlp_activations().activations,
                         get(layer.mlp_post_norm), layer.spec->residual_scale, StepStage::kDown, thread);
  workspace_.barrier(thread);
}

/// Normed rows of the tokens that sample. Logits are compared with each other, so their product gets 16-bit
/// activations; for the few rows there are that costs next to nothing.
void FastExecutor::prepare_logits(std::span<const std::int32_t> token_indices) {
  const auto num_rows = static_cast<std::int32_t>(token_indices.size());
  const std::int32_t hidden = spec_.hidden_size;
  const bool split = workspace_.splits(lm_head_);
  for (std::int32_t row = 0; row < num_rows; ++row) {
    workspace_.normalize_row(workspace_.x(token_indices[static_cast<std::size_t>(row)]), &final_norm_,
                             split ? num_rows : 0, row, workspace_.normed());
  }
  Activations& activations = workspace_.hidden_activations().activations;
  activations.reset(split ? 2 * num_rows : num_rows, hidden, lm_head_.activation_forms());
  activations.fill(workspace_.normed(), hidden, 0, num_activation_groups(hidden));
}

void FastExecutor::compute_logits(std::span<const std::int32_t> token_indices, float* logits,
                                  std::span<Peak> peaks, bool only_peaks) {
  CHECK(token_indices.size() <= kLogitRows && peaks.size() == token_indices.size());
  prepare_logits(token_indices);
  const std::size_t num_rows = token_indices.size();
  const std::int64_t units = num_units(lm_head_);
  const VectorKernels& kernels = workspace_.kernels();
  for (std::int32_t thread = 0; thread < pool_.num_threads(); ++thread) {
    std::vector<Peak>& own = workspace_.scratch(thread).peaks;
    std::fill(own.begin(), own.end(), Peak{});
  }
  const Activations& input = workspace_.hidden_activations().activations;
  workspace_.adapters().select(token_indices);
  const std::int64_t grain = workspace_.piece_units(units, kVocabularyPiecesPerThread, input.rows());
  if (profile_ != nullptr) {
    work_.count_logits(num_rows, !only_peaks, *profile_);
    profile_->fork(StepStage::kVocabulary);
  }
  const auto multiply = [&](std::int64_t begin, std::int64_t end, std::int32_t thread) {
    StepWorkspace::ThreadScratch& scratch = workspace_.scratch(thread);
    const ProductPiece piece = ProductPiece::of_units(lm_head_, begin, end);
    workspace_.apply_piece(lm_head_, input, static_cast<std::int32_t>(num_rows), piece, scratch.first);
    if (workspace_.adapters().any()) workspace_.add_adapters(lm_head_, 0, piece, scratch.first);
    workspace_.add_bias(lm_head_bias_, static_cast<std::int32_t>(num_rows), piece, scratch.first);
    for (std::size_t row = 0; row < num_rows; ++row) {
      float* out = scratch.first.data() + row * piece.stride;
      if (spec_.logits_scale != 1.0F) kernels.scale(out, spec_.logits_scale, out, piece.columns);
      if (spec_.logits_softcap > 0.0F) kernels.softcap(out, spec_.logits_softcap, piece.columns);
      if (!only_peaks) {
        std::copy_n(out, piece.columns,
                    logits + row * static_cast<std::size_t>(spec_.vocab_size) + piece.first_column);
      }
      const std::int32_t index = kernels.peak(out, piece.columns);
      if (index >= 0) raise(scratch.peaks[row], {out[index], piece.first_column + index});
    }
  };
  pool_.run([&](std::int32_t thread) {
    workspace_.end_stage(thread, StepStage::kWait);
    workspace_.begin_adapters({&lm_head_}, StepStage::kVocabulary, thread, [&](std::int32_t row, float* to) {
      workspace_.normalize_row(workspace_.x(token_indices[static_cast<std::size_t>(row)]), &final_norm_, 0, 0,
                               to);
    });
    pool_.share(thread, units, grain, multiply);
    workspace_.end_stage(thread, StepStage::kVocabulary);
  });
  if (profile_ != nullptr) profile_->join();
  for (std::size_t row = 0; row < num_rows; ++row) {
    peaks[row] = {};
    for (std::int32_t thread = 0; thread < pool_.num_threads(); ++thread)
      raise(peaks[row], workspace_.scratch(thread).peaks[row]);
  }
}

}  // namespace mlxd
