#include "backends/cpu/cpu_backend.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

#include "backends/cpu/executor.h"
#include "backends/cpu/fast_executor.h"
#include "backends/cpu/load_progress.h"
#include "backends/cpu/reference_executor.h"
#include "backends/cpu/thread_pool.h"
#include "engine/sampler.h"
#include "engine/step_check.h"

namespace mlxd {
namespace {

// Steps submitted and not yet collected: one runs ahead.
constexpr std::size_t kMaxOutstanding = 2;
constexpr std::int32_t kMostTopLogprobs = 32;  // reserved for a row; more would only allocate

Error bad_step(const std::string& what) { return {ErrorKind::kInternal, "invalid step: " + what}; }

/// True if the row's choice is simply its largest logit.
bool is_plain_greedy(const SampleSpec& spec) {
  return !(spec.temperature > 0.0F) && spec.counts.empty() && spec.bias.empty() && spec.mask.empty() &&
         !spec.logprob && spec.top_logprobs == 0 && spec.scored == kNoToken;
}

class LoadedCpuBackend final : public CpuBackend {
 public:
  LoadedCpuBackend(const ModelSpec& spec, const CpuOptions& options, Isa isa,
                   std::shared_ptr<ThreadPool> pool, std::unique_ptr<Executor> executor);

  const BackendInfo& info() const override { return info_; }
  BackendMemory memory() const override;
  std::shared_ptr<ThreadPool> threads() const override { return pool_; }
  Result<void> resize_pages(std::size_t group, std::int32_t num_pages) override;
  Result<void> copy_pages(std::size_t group, std::span<const PageCopy> copies) override;
  Result<StepHandle> submit(const StepBatch& batch) override;
  Result<void> collect(StepHandle handle, StepResult& result) override;
  void begin_turn() override { pool_->take_turn(); }
  void end_turn() override { pool_->end_turn(); }
  Result<PreparedAdapterPtr> prepare_adapter(const Adapter& adapter) const override;
  Result<void> attach_adapter(AdapterId id, PreparedAdapterPtr adapter) override;
  void detach_adapter(AdapterId id) override { executor_->detach_adapter(id); }

 private:
  struct RowSampler {
    Sampler sampler;
    std::vector<TokenLogprob> top_logprobs;
  };

  Result<void> check(const StepBatch& batch) const;
  void spread(const StepBatch& batch);
  void touch_ahead(const StepBatch& batch);
  void sample(const StepBatch& batch, StepResult& result);
  void sample_chunk(std::span<const SampleRow> rows, StepResult& result);

  BackendInfo info_;
  const std::int32_t context_tokens_;
  StepProfile* const profile_;  // or null
  std::shared_ptr<ThreadPool> pool_;
  std::unique_ptr<Executor> executor_;

  std::array<StepResult, kMaxOutstanding> results_;  // of step h at h % kMaxOutstanding
  StepHandle next_submit_ = 1;
  StepHandle next_collect_ = 1;
  std::vector<TokenId> previous_tokens_;  // what the last submitted step chose

  // The step at hand, by token.
  std::vector<TokenId> tokens_;
  std::vector<std::int32_t> positions_;
  std::vector<std::int32_t> sequence_indices_;
  // A chunk of its rows that sample.
  std::vector<float> logits_;  // [kLogitRows, vocab_size]
  std::array<Peak, Executor::kLogitRows> peaks_;
  std::array<std::int32_t, Executor::kLogitRows> token_indices_{};
  std::array<RowSampler, Executor::kLogitRows> row_samplers_;
};

LoadedCpuBackend::LoadedCpuBackend(const ModelSpec& spec, const CpuOptions& options, Isa isa,
                                   std::shared_ptr<ThreadPool> pool, std::unique_ptr<Executor> executor)
    : context_tokens_(spec.context_tokens),
      profile_(options.profile),
      pool_(std::move(pool)),
      executor_(std::move(executor)) {
  const std::string kind = options.precision == CpuPrecision::kReference ? "cpu reference (" : "cpu (";
  const std::string threads = std::to_string(pool_->num_threads());
  info_.name =
      kind + std::string(to_string(isa)) + ", " + threads + (threads == "1" ? " thread)" : " threads)");
  info_.vocab_size = spec.vocab_size;
  info_.max_batch_tokens = options.max_batch_tokens;
  info_.max_batch_sequences = options.max_batch_sequences;
  // Inputs of a layer's own are made of the embeddings, which are gone when a step goes on from a later
  // layer.
  if (!spec.per_layer_embedding) info_.num_sliceable_layers = static_cast<std::int32_t>(spec.layers.size());
  // Tile products want many rows, see docs/adr/scheduling.md.
  if (isa == Isa::kAmx) info_.piece_tokens = 24;
  for (std::size_t group = 0; group < spec.layer_groups.size(); ++group) {
    info_.page_groups.push_back({.page_bytes = executor_->pages()[group].page_bytes(),
                                 .window_tokens = spec.layer_groups[group].window_tokens,
                                 .is_state = spec.layer_groups[group].kind == LayerGroupKind::kRecurrent});
  }
  info_.adapter_scratch_bytes = executor_->adapter_scratch_bytes();
  const auto max_tokens = static_cast<std::size_t>(options.max_batch_tokens);
  tokens_.reserve(max_tokens);
  positions_.reserve(max_tokens);
  sequence_indices_.reserve(max_tokens);
  previous_tokens_.reserve(max_tokens);
  logits_.resize(Executor::kLogitRows * static_cast<std::size_t>(spec.vocab_size));
  for (RowSampler& row : row_samplers_) row.top_logprobs.reserve(kMostTopLogprobs);
}

BackendMemory LoadedCpuBackend::memory() const {
  BackendMemory memory;
  memory.weight_bytes = executor_->weight_bytes();
  for (const KvPages& pages : executor_->pages())
    memory.page_bytes += static_cast<std::size_t>(pages.num_pages()) * pages.page_bytes();
  memory.scratch_bytes = executor_->scratch_bytes() + logits_.size() * sizeof(float);
  memory.adapter_bytes = executor_->adapter_bytes();
  return memory;
}

Result<void> LoadedCpuBackend::resize_pages(std::size_t group, std::int32_t num_pages) {
  if (group >= info_.page_groups.size()) return bad_step("pages of a layer group that does not exist");
  return executor_->pages()[group].resize(num_pages);
}

Result<void> LoadedCpuBackend::copy_pages(std::size_t group, std::span<const PageCopy> copies) {
  if (group >= info_.page_groups.size()) return bad_step("pages of a layer group that does not exist");
  KvPages& pages = executor_->pages()[group];
  const auto num_pages = static_cast<PageId>(pages.num_pages());
  for (const PageCopy& copy : copies) {
    if (copy.from >= num_pages || copy.to >= num_pages)
      return bad_step("copy of a page that is not allocated");
  }
  for (const PageCopy& copy : copies) pages.copy(copy.from, copy.to);
  return {};
}

Result<void> LoadedCpuBackend::check(const StepBatch& batch) const {
  std::array<std::int32_t, kMaxLayerGroups> num_pages{};
  for (std::size_t group = 0; group < info_.page_groups.size(); ++group)
    num_pages[group] = executor_->pages()[group].num_pages();
  return check_step(batch, info_,
                    {.context_tokens = context_tokens_,
                     .num_pages = std::span(num_pages).first(info_.page_groups.size()),
                     .previous_samples = previous_tokens_.size(),
                     .adapters = executor_->adapters()});
}

/// What sequences say, said per token.
void LoadedCpuBackend::spread(const StepBatch& batch) {
  tokens_.clear();
  positions_.clear();
  sequence_indices_.clear();
  for (const TokenInput token : batch.tokens) {
    const TokenId id =
        token.is_id() ? token.token() : previous_tokens_[static_cast<std::size_t>(token.previous_row())];
    // A row that could choose nothing has ended its sequence; what follows is thrown away.
    tokens_.push_back(std::max(id, 0));
  }
  for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
    const BatchSequence& sequence = batch.sequences[i];
    for (std::int32_t t = 0; t < sequence.num_tokens; ++t) {
      positions_.push_back(sequence.first_position + t);
      sequence_indices_.push_back(static_cast<std::int32_t>(i));
    }
  }
}

Result<Backend::StepHandle> LoadedCpuBackend::submit(const StepBatch& batch) {
  if (next_submit_ - next_collect_ == kMaxOutstanding)
    return bad_step("earlier steps have not been collected");
  TRY(check(batch));
  spread(batch);
  executor_->forward({&batch, batch.sequences, tokens_, positions_, sequence_indices_});
  StepResult& result = results_[next_submit_ % kMaxOutstanding];
  result.clear();
  sample(batch, result);
  touch_ahead(batch);
  previous_tokens_.clear();
  for (const SampledToken& token : result.samples) previous_tokens_.push_back(token.token);
  return next_submit_++;
}

/// The page taken last is the last of its table.
void LoadedCpuBackend::touch_ahead(const StepBatch& batch) {
  for (std::size_t group = 0; group < info_.page_groups.size(); ++group) {
    // States are large and few: touched as they come.
    if (info_.page_groups[group].is_state) continue;
    PageId used = 0;
    for (const BatchSequence& sequence : batch.sequences) {
      const BatchSequence::PageTable& table = sequence.page_tables[group];
      used = std::max(used, batch.page_ids[static_cast<std::size_t>(table.begin + table.count - 1)]);
    }
    executor_->pages()[group].touch_ahead(used);
  }
}

void LoadedCpuBackend::sample(const StepBatch& batch, StepResult& result) {
  const std::span<const SampleRow> rows = batch.samples;
  result.samples.reserve(rows.size());
  // All threads compute the step itself, so that masks beside it would only wait for each other: they are
  // shared out when it is done.
  if (!batch.masks.empty()) {
    pool_->parallel_for(static_cast<std::int64_t>(batch.masks.size()), 1,
                        [&](std::int64_t index, std::int64_t, std::int32_t) {
                          batch.masks[static_cast<std::size_t>(index)]->compute_masks();
                        });
  }
  for (std::size_t first = 0; first < rows.size(); first += Executor::kLogitRows) {
    sample_chunk(rows.subspan(first, std::min(Executor::kLogitRows, rows.size() - first)), result);
  }
}

void LoadedCpuBackend::sample_chunk(std::span<const SampleRow> rows, StepResult& result) {
  const auto vocab = static_cast<std::size_t>(info_.vocab_size);
  for (std::size_t i = 0; i < rows.size(); ++i) token_indices_[i] = rows[i].token_index;
  const bool any_logits = std::any_of(rows.begin(), rows.end(), [](const SampleRow& row) {
    return row.spec.want_logits || !is_plain_greedy(row.spec);
  });
  executor_->compute_logits(std::span(token_indices_).first(rows.size()), logits_.data(),
                            std::span(peaks_).first(rows.size()), !any_logits);
  const std::size_t first_sample = result.samples.size();
  bool any_draw = false;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].spec.want_logits) {
      const auto row = logits_.begin() + static_cast<std::ptrdiff_t>(i * vocab);
      result.logits.insert(result.logits.end(), row, row + static_cast<std::ptrdiff_t>(vocab));
    }
    result.samples.push_back({.token = peaks_[i].token});
    any_draw = any_draw || !is_plain_greedy(rows[i].spec);
  }
  if (profile_ != nullptr) profile_->lap(StepStage::kVocabulary);
  if (!any_draw) return;
  pool_->parallel_for(
      static_cast<std::int64_t>(rows.size()), 1, [&](std::int64_t index, std::int64_t, std::int32_t) {
        const auto i = static_cast<std::size_t>(index);
        if (is_plain_greedy(rows[i].spec)) return;
        RowSampler& row = row_samplers_[i];
        row.top_logprobs.clear();
        result.samples[first_sample + i] =
            row.sampler.sample(rows[i].spec, std::span(logits_).subspan(i * vocab, vocab), row.top_logprobs);
      });
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (is_plain_greedy(rows[i].spec)) continue;
    SampledToken& token = result.samples[first_sample + i];
    token.first_top_logprob = static_cast<std::int32_t>(result.top_logprobs.size());
    const std::vector<TokenLogprob>& tops = row_samplers_[i].top_logprobs;
    result.top_logprobs.insert(result.top_logprobs.end(), tops.begin(), tops.end());
  }
}

Result<void> LoadedCpuBackend::collect(StepHandle handle, StepResult& result) {
  if (handle != next_collect_ || handle == next_submit_) {
    return Error(ErrorKind::kInternal,
                 "step " + std::to_string(handle) + " is not the oldest outstanding one");
  }
  result.clear();
  std::swap(result, results_[handle % kMaxOutstanding]);
  ++next_collect_;
  return {};
}

Result<PreparedAdapterPtr> LoadedCpuBackend::prepare_adapter(const Adapter& adapter) const {
  return PreparedAdapterPtr(TRY(executor_->prepare_adapter(adapter)));
}

Result<void> LoadedCpuBackend::attach_adapter(AdapterId id, PreparedAdapterPtr adapter) {
  auto own = std::dynamic_pointer_cast<const CpuAdapter>(std::move(adapter));
  if (own == nullptr || own->executor() != executor_.get())
    return Error(ErrorKind::kInternal, "an adapter that was prepared by another backend");
  executor_->attach_adapter(id, std::move(own));
  return {};
}

}  // namespace

Result<std::unique_ptr<CpuBackend>> CpuBackend::load(const ModelFolder& model, CpuOptions options) {
  const ModelSpec& spec = model.spec();
  if (spec.layers.empty() || spec.layer_groups.size() > kMaxLayerGroups) {
    return unsupported("a model with " + std::to_string(spec.layers.size()) + " layers in " +
                       std::to_string(spec.layer_groups.size()) + " groups");
  }
  const Isa isa = options.isa.value_or(default_isa());
  const std::vector<Isa> available = available_isas();
  if (std::find(available.begin(), available.end(), isa) == available.end()) {
    return unsupported("instruction set " + std::string(to_string(isa)) +
                       " is not available on this machine");
  }
  if (options.activation_bits != 8 && options.activation_bits != 16) {
    return invalid_argument(
        "activations of " + std::to_string(options.activation_bits) + " bits: use 8 or 16", "activations");
  }
  const std::int32_t num_threads = options.num_threads > 0 ? options.num_threads : num_physical_cores();
  auto pool = options.share_threads ? options.share_threads : std::make_shared<ThreadPool>(num_threads);
  if (options.profile != nullptr) options.profile->set_num_threads(pool->num_threads());
  const LoadProgress progress = [&options](float done) {
    if (options.progress) options.progress(done);
    return options.stop == nullptr || !options.stop->load(std::memory_order_relaxed);
  };
  std::unique_ptr<Executor> executor;
  if (options.precision == CpuPrecision::kReference) {
    executor = TRY(ReferenceExecutor::load(spec, model.weights(), *pool,
                                           {.isa = isa,
                                            .max_batch_tokens = options.max_batch_tokens,
                                            .kv_format = options.kv_format.value_or(KvFormat::kFloat32),
                                            .touch_pages = options.touch_pages,
                                            .progress = progress}));
  } else {
    executor = TRY(FastExecutor::load(spec, model.weights(), *pool,
                                      {.isa = isa,
                                       .max_batch_tokens = options.max_batch_tokens,
                                       .max_batch_sequences = options.max_batch_sequences,
                                       .kv_format = options.kv_format.value_or(KvFormat::kFloat16),
                                       .activation_bits = options.activation_bits,
                                       .touch_pages = options.touch_pages,
                                       .progress = progress,
                                       .profile = options.profile}));
  }
  return std::unique_ptr<CpuBackend>(
      std::make_unique<LoadedCpuBackend>(spec, options, isa, std::move(pool), std::move(executor)));
}

}  // namespace mlxd
