#include "backends/mlx/mlx_backend.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backends/mlx/mlx_executor.h"
#include "engine/sampler.h"
#include "engine/step_check.h"
#include "model/spec_modules.h"

namespace mlxd {
namespace {

// Steps submitted and not yet collected: one runs ahead.
constexpr std::size_t kMaxOutstanding = 2;

Error misused(const std::string& what) { return {ErrorKind::kInternal, what}; }

class LoadedMlxBackend final : public MlxBackend {
 public:
  LoadedMlxBackend(const ModelSpec& spec, const MlxOptions& options, std::unique_ptr<MlxExecutor> executor);

  const BackendInfo& info() const override { return info_; }
  BackendMemory memory() const override;
  Result<void> resize_pages(std::size_t group, std::int32_t num_pages) override;
  Result<void> copy_pages(std::size_t group, std::span<const PageCopy> copies) override;
  Result<StepHandle> submit(const StepBatch& batch) override;
  Result<void> collect(StepHandle handle, StepResult& result) override;

 private:
  /// A submitted step; `batch` is the engine's, which holds it until collected.
  struct Step {
    const StepBatch* batch = nullptr;
    StepResult result;
    bool sampled = false;
    std::optional<Error> failed;
  };

  Step& step(StepHandle handle) { return steps_[handle % kMaxOutstanding]; }
  Result<void> check_idle(std::size_t group) const;
  Result<void> sample(Step& step);

  BackendInfo info_;
  const std::int32_t context_tokens_;
  std::unique_ptr<MlxExecutor> executor_;
  Sampler sampler_;
  std::array<Step, kMaxOutstanding> steps_;
  StepHandle next_submit_ = 1;
  StepHandle next_collect_ = 1;
  std::size_t num_previous_samples_ = 0;  // of the step submitted last
  std::vector<TokenId> previous_tokens_;  // what it chose, once it is sampled
  std::vector<TokenId> tokens_;
  std::vector<float> logits_;
};

LoadedMlxBackend::LoadedMlxBackend(const ModelSpec& spec, const MlxOptions& options,
                                   std::unique_ptr<MlxExecutor> executor)
    : context_tokens_(spec.context_tokens), executor_(std::move(executor)) {
  info_.name = "mlx (cpu)";
  info_.vocab_size = spec.vocab_size;
  info_.max_batch_tokens = options.max_batch_tokens;
  info_.max_batch_sequences = options.max_batch_sequences;
  info_.page_groups = executor_->page_groups();
}

BackendMemory LoadedMlxBackend::memory() const {
  BackendMemory memory;
  memory.weight_bytes = executor_->weight_bytes();
  const std::span<const std::int32_t> num_pages = executor_->num_pages();
  for (std::size_t group = 0; group < num_pages.size(); ++group)
    memory.page_bytes += static_cast<std::size_t>(num_pages[group]) * info_.page_groups[group].page_bytes;
  return memory;
}

Result<void> LoadedMlxBackend::check_idle(std::size_t group) const {
  if (next_submit_ != next_collect_) return misused("pages are changed while a step is outstanding");
  if (group >= info_.page_groups.size()) return misused("no layer group " + std::to_string(group));
  return {};
}

Result<void> LoadedMlxBackend::resize_pages(std::size_t group, std::int32_t num_pages) {
  TRY(check_idle(group));
  if (num_pages < 0) return misused(std::to_string(num_pages) + " pages");
  return executor_->resize_pages(group, num_pages);
}

Result<void> LoadedMlxBackend::copy_pages(std::size_t group, std::span<const PageCopy> copies) {
  TRY(check_idle(group));
  const auto num_pages = static_cast<PageId>(executor_->num_pages()[group]);
  for (const PageCopy& copy : copies) {
    if (copy.from >= num_pages || copy.to >= num_pages)
      return misused("copy of a page that is not allocated");
  }
  return executor_->copy_pages(group, copies);
}

Result<Backend::StepHandle> LoadedMlxBackend::submit(const StepBatch& batch) {
  if (next_submit_ - next_collect_ == kMaxOutstanding)
    return misused("invalid step: earlier steps have not been collected");
  TRY(check_step(batch, info_,
                 {.context_tokens = context_tokens_,
                  .num_pages = executor_->num_pages(),
                  .previous_samples = num_previous_samples_}));
  tokens_.clear();
  for (const TokenInput token : batch.tokens) {
    if (token.is_id()) {
      tokens_.push_back(token.token());
      continue;
    }
    // Tokens are chosen on the host: the previous step has to end first.
    Step& previous = step(next_submit_ - 1);
    if (next_submit_ != next_collect_) TRY(sample(previous));
    const auto row = static_cast<std::size_t>(token.previous_row());
    if (row >= previous_tokens_.size()) return misused("invalid step: the previous one failed");
    // A row that could choose nothing has ended its sequence; what follows is thrown away.
    tokens_.push_back(std::max(previous_tokens_[row], 0));
  }
  TRY(executor_->start(batch, tokens_));
  Step& started = step(next_submit_);
  started.batch = &batch;
  started.result.clear();
  started.sampled = false;
  started.failed.reset();
  num_previous_samples_ = batch.samples.size();
  return next_submit_++;
}

// Waits for a step and chooses its tokens, unless that has been done.
Result<void> LoadedMlxBackend::sample(Step& step) {
  if (step.failed) return *step.failed;
  if (step.sampled) return {};
  step.sampled = true;
  previous_tokens_.clear();
  // While the device computes.
  for (TokenConstraint* const masks : step.batch->masks) masks->compute_masks();
  if (const Result<void> finished = executor_->finish(logits_); !finished.ok()) {
    step.failed = finished.error();
    return finished;
  }
  const auto vocab = static_cast<std::size_t>(info_.vocab_size);
  StepResult& result = step.result;
  for (std::size_t i = 0; i < step.batch->samples.size(); ++i) {
    const SampleSpec& spec = step.batch->samples[i].spec;
    const std::span<float> row = std::span(logits_).subspan(i * vocab, vocab);
    if (spec.want_logits) result.logits.insert(result.logits.end(), row.begin(), row.end());
    result.samples.push_back(sampler_.sample(spec, row, result.top_logprobs));
    previous_tokens_.push_back(result.samples.back().token);
  }
  return {};
}

Result<void> LoadedMlxBackend::collect(StepHandle handle, StepResult& result) {
  result.clear();
  if (handle != next_collect_ || handle == next_submit_)
    return misused("step " + std::to_string(handle) + " is not the oldest outstanding one");
  ++next_collect_;
  Step& collected = step(handle);
  TRY(sample(collected));
  std::swap(result, collected.result);
  return {};
}

bool is_whole(const LinearSpec& linear) { return linear.rows.total == 0; }

/// Whether a layer is pre-norm attention and a gated MLP, without anything that llama does not have.
bool is_plain(const LayerSpec& layer) {
  if (!layer.attention || layer.recurrent) return false;
  const AttentionSpec& attention = *layer.attention;
  if (!layer.attention_norm || !layer.mlp_norm || !layer.mlp || !layer.mlp->gate_proj) return false;
  if (!attention.k_proj || !attention.v_proj || attention.gate_proj) return false;
  for (const NormSpec* norm : {&*layer.attention_norm, &*layer.mlp_norm}) {
    if (norm->kind != NormKind::kRms || !norm->has_weight || norm->has_bias) return false;
  }
  for (const LinearSpec* linear :
       {&attention.q_proj, &*attention.k_proj, &*attention.v_proj, &attention.o_proj, &*layer.mlp->gate_proj,
        &layer.mlp->up_proj, &layer.mlp->down_proj}) {
    if (!is_whole(*linear)) return false;
  }
  const bool known_activation =
      layer.mlp->activation == Activation::kSilu || layer.mlp->activation == Activation::kGeluTanh;
  return known_activation && !layer.attention_post_norm && !layer.mlp_post_norm && !layer.parallel &&
         layer.residual_scale == 1.0F && !layer.per_layer_input && layer.output_scale.empty() &&
         !attention.latent && !attention.q_norm && !attention.k_norm && !attention.v_norm &&
         attention.softcap == 0.0F && attention.sinks.empty() && !attention.position_scaling;
}

/// Whether the rest of a model is.
bool is_plain(const ModelSpec& spec) {
  return spec.embedding_scale == 1.0F && !spec.position_embedding && !spec.embedding_norm &&
         !spec.per_layer_embedding && spec.final_norm.kind == NormKind::kRms && spec.final_norm.has_weight &&
         !spec.final_norm.has_bias && spec.logits_scale == 1.0F && spec.logits_softcap == 0.0F &&
         std::all_of(spec.layers.begin(), spec.layers.end(),
                     [](const LayerSpec& layer) { return is_plain(layer); });
}

/// Whether MLX can take all weights as they lie in the files.
bool is_stored_as_mlx_does(const ModelSpec& spec) {
  bool all = true;
  visit_modules(
      spec,
      [&](const LinearSpec& linear) {
        all = all && linear.storage == WeightStorage::kMlx && !linear.quantize_from;
      },
      [](const NormSpec&) {}, [](const std::string&, std::int32_t) {});
  return all;
}

}  // namespace

Result<std::unique_ptr<MlxBackend>> MlxBackend::load(const ModelSpec& spec, const WeightMap& weights,
                                                     const MlxOptions& options) {
  if (spec.layers.empty() || spec.layer_groups.size() > kMaxLayerGroups) {
    return unsupported("a model with " + std::to_string(spec.layers.size()) + " layers in " +
                       std::to_string(spec.layer_groups.size()) + " groups");
  }
  if (!is_plain(spec)) {
    return unsupported("model_type " + spec.model_type +
                       " has layers that the mlx backend does not compute; use the cpu backend");
  }
  if (!is_stored_as_mlx_does(spec)) {
    return unsupported(weights.folder().string() +
                       ": its weights are not stored as MLX stores them; convert the model");
  }
  std::unique_ptr<MlxExecutor> executor = TRY(MlxExecutor::load(spec, weights, options.progress));
  return std::unique_ptr<MlxBackend>(std::make_unique<LoadedMlxBackend>(spec, options, std::move(executor)));
}

}  // namespace mlxd
