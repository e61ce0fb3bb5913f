#include "runtime/model_host.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <string>
#include <system_error>
#include <utility>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/executor.h"
#include "backends/cpu/kv_pages.h"
#include "backends/cpu/thread_pool.h"
#include "base/clock.h"
#include "base/log.h"
#include "runtime/free_memory.h"
#include "runtime/kv_plan.h"

namespace mlxd {
namespace {

// The folder's own name is the model's, so "models/NAME/" and "." have to have one.
std::filesystem::path named_folder(const std::filesystem::path& folder) {
  std::error_code unknown;
  const std::filesystem::path absolute = std::filesystem::absolute(folder, unknown);
  std::filesystem::path path = (unknown ? folder : absolute).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

// A model without a template, or with one that this program cannot read, still completes text.
std::optional<ChatFormat> open_chat(const std::filesystem::path& folder, const Tokenizer& tokenizer) {
  auto opened = ChatFormat::open(folder, tokenizer);
  if (opened.ok()) return opened.take_value();
  if (opened.error().kind != ErrorKind::kNotFound)
    log::warn("{} will not chat: {}", folder.filename().string(), opened.error().message);
  return std::nullopt;
}

/// What of a model's folder concerns text.
struct TextFiles {
  Tokenizer tokenizer;
  std::optional<ChatFormat> chat_format;
};

Result<TextFiles> open_text(const std::filesystem::path& folder) {
  Tokenizer tokenizer = TRY(Tokenizer::open(folder));
  auto chat_format = open_chat(folder, tokenizer);
  return TextFiles{std::move(tokenizer), std::move(chat_format)};
}

std::vector<TokenId> end_tokens_of(const ModelFolder& folder, const TextFiles& text) {
  std::vector<TokenId> tokens = folder.eos_tokens();
  if (!text.chat_format) return tokens;
  for (const TokenId token : text.chat_format->end_tokens(text.tokenizer)) {
    const bool is_logit = token < folder.spec().vocab_size;
    if (is_logit && std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
  }
  return tokens;
}

Result<KvFormat> check_kv_format(const std::string& name) {
  const auto format = parse_kv_format(name);
  if (format.ok() && *format != KvFormat::kFloat32) return format;
  return invalid_argument("K/V format '" + name + "' is unknown: use fp16, bf16 or int8", "kv-format");
}

Result<void> check_backend(const std::string& name) {
  if (name == "auto" || name == "cpu") return {};
  return invalid_argument("backend '" + name + "' is unknown: use auto or cpu", "backend");
}

Result<SpeculationOptions::Method> check_speculation(const std::string& name, bool has_draft_model) {
  using Method = SpeculationOptions::Method;
  if (name == "auto") return has_draft_model ? Method::kDraftModel : Method::kPromptLookup;
  if (name == "draft" && !has_draft_model)
    return invalid_argument("speculation 'draft' needs a draft model", "speculation");
  if (name == "draft") return Method::kDraftModel;
  if (name != "off" && name != "lookup")
    return invalid_argument("speculation '" + name + "' is unknown: use auto, off, lookup or draft",
                            "speculation");
  if (has_draft_model)
    return invalid_argument("speculation '" + name + "' leaves the draft model unused: leave one out",
                            "speculation");
  return name == "off" ? Method::kOff : Method::kPromptLookup;
}

bool is_recurrent(const ModelSpec& spec) {
  return std::any_of(spec.layer_groups.begin(), spec.layer_groups.end(),
                     [](const LayerGroup& group) { return group.kind == LayerGroupKind::kRecurrent; });
}

// Layers with states cannot forget wrong guesses: nothing is guessed for them.
Result<SpeculationOptions::Method> speculation_of(const ModelFolder& folder,
                                                  const ModelHostOptions& options) {
  using Method = SpeculationOptions::Method;
  const Method method = TRY(check_speculation(options.speculation, !options.draft_model.empty()));
  if (!is_recurrent(folder.spec())) return method;
  if (method != Method::kDraftModel) return Method::kOff;
  return invalid_argument("nothing can draft for " + folder.path().filename().string() +
                              ", whose layers are recurrent: leave the draft model out",
                          "draft-model");
}

// The small model, whose ids must mean what the large one's mean.
Result<ModelFolder> open_draft_model(const std::filesystem::path& given, const std::filesystem::path& model) {
  const std::filesystem::path path = named_folder(given);
  ModelFolder folder = TRY(ModelFolder::open(path));
  const Tokenizer own = TRY(Tokenizer::open(path));
  const Tokenizer tokenizer = TRY(Tokenizer::open(model));
  const auto refuse = [&](const std::string& why) {
    return invalid_argument(path.filename().string() + " cannot draft for " + model.filename().string() +
                                ": " + why + ": use a small model of the same family",
                            "draft-model");
  };
  if (is_recurrent(folder.spec())) return refuse("its layers are recurrent and cannot forget wrong guesses");
  if (own.vocab_size() != tokenizer.vocab_size())
    return refuse("its vocabulary has " + std::to_string(own.vocab_size()) + " tokens, the model's " +
                  std::to_string(tokenizer.vocab_size()));
  for (TokenId token = 0; token < tokenizer.vocab_size(); ++token) {
    if (own.token_name(token) != tokenizer.token_name(token))
      return refuse("token " + std::to_string(token) + " is '" + own.token_name(token) +
                    "', the model's is '" + tokenizer.token_name(token) + "'");
  }
  return folder;
}

// K/V's part of a quota for everything.
Result<std::size_t> kv_bytes_of(std::size_t memory_bytes, const BackendMemory& memory,
                                std::size_t other_bytes = 0) {
  const std::size_t taken = memory.weight_bytes + memory.scratch_bytes + memory.adapter_bytes + other_bytes;
  if (memory_bytes > taken) return memory_bytes - taken;
  const auto mebibytes = [](std::size_t bytes) {
    return std::to_string((bytes + (1U << 20U) - 1) >> 20U) + " MiB";
  };
  return Error(ErrorKind::kOutOfMemory, "the model's weights, adapters and scratch take " + mebibytes(taken) +
                                            ", the memory given to it is " + mebibytes(memory_bytes) +
                                            ": give it more");
}

// Of the model's pages and of those of the model that drafts for it, if there is one.
KvCost cost_of(const BackendInfo& info, const std::optional<BackendInfo>& draft_info,
               std::int32_t max_running, std::int32_t step_token_budget) {
  return [info, draft_info, max_running, step_token_budget](std::int32_t num_pages) {
    std::size_t bytes = 0;
    for (const BackendInfo* const each : {&info, draft_info ? &*draft_info : nullptr}) {
      if (each == nullptr) continue;
      const auto pages = pages_by_group(*each, num_pages, max_running, step_token_budget);
      for (std::size_t group = 0; group < pages.size(); ++group)
        bytes += static_cast<std::size_t>(pages[group]) * each->page_groups[group].page_bytes;
    }
    return bytes;
  };
}

// What adapters will take of a quota if all that are known are used, in single precision.
std::size_t expected_adapter_bytes(const std::vector<AdapterPlaces::Found>& adapters, std::size_t most,
                                   std::size_t scratch) {
  if (adapters.empty()) return 0;
  std::size_t bytes = 0;
  for (const AdapterPlaces::Found& adapter : adapters) {
    std::error_code error;
    const auto size = std::filesystem::file_size(adapter.folder / "adapters.safetensors", error);
    if (!error) bytes += 2 * static_cast<std::size_t>(size);
  }
  return std::min(bytes, most) + scratch;
}

/// Tells how much memory the tokenizer takes to the engine's thread, which waits for it.
class TokenizerSize {
 public:
  /// Nothing more will be told.
  ~TokenizerSize() { tell(0); }
  void tell(std::size_t bytes) {
    if (!std::exchange(told_, true)) promise_.set_value(bytes);
  }
  std::shared_future<std::size_t> future() const { return future_; }

 private:
  std::promise<std::size_t> promise_;
  std::shared_future<std::size_t> future_ = promise_.get_future().share();
  bool told_ = false;
};

/// The page groups that the backend will make.
BackendInfo page_info(const ModelSpec& spec, KvFormat format) {
  BackendInfo info;
  for (const LayerGroup& group : spec.layer_groups) {
    const bool is_state = group.kind == LayerGroupKind::kRecurrent;
    info.page_groups.push_back({.page_bytes = KvPages(group, format).page_bytes(),
                                .window_tokens = is_state ? 2 : group.window_tokens,
                                .is_state = is_state});
  }
  return info;
}

// Activations of a full step, logits, and pieces of products for each thread: about what StepWorkspace makes.
std::size_t estimate_scratch(const ModelSpec& spec, std::int32_t step_tokens) {
  std::size_t width = 0;
  for (const LayerSpec& layer : spec.layers) {
    std::size_t own = 0;
    if (layer.attention) own += static_cast<std::size_t>(layer.attention->o_proj.in_features) * 2;
    if (layer.mlp) own += static_cast<std::size_t>(layer.mlp->up_proj.out_features);
    width = std::max(width, own);
  }
  const std::size_t row = 4 * static_cast<std::size_t>(spec.hidden_size) * sizeof(float) + width * 2;
  return static_cast<std::size_t>(step_tokens) * row +
         Executor::kLogitRows * static_cast<std::size_t>(spec.vocab_size) * sizeof(float);
}

std::size_t file_bytes(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  return error ? 0 : static_cast<std::size_t>(size);
}

}  // namespace

struct ModelHost::Impl {
  ModelFolder folder;
  std::string name;
  Tokenizer tokenizer;
  std::optional<ChatFormat> chat_format;
  std::vector<TokenId> eos_tokens;
  std::unique_ptr<StepProfile> profile;  // or null
  std::unique_ptr<EngineThread> engine;
  KvWish wish;
  std::optional<BackendInfo> draft_info;
  std::int32_t step_token_budget = 0;
  std::int32_t context_tokens = 0;
  double load_seconds = 0.0;
  std::int64_t loaded_at = 0;
  std::unique_ptr<AdapterLibrary> adapters{};
  std::optional<GrammarLibrary> grammars{};
  std::atomic<std::size_t> memory_bytes{0};  // the quota; 0: none
  MemoryNeeds needs{};
  std::size_t other_bytes = 0;  // that the quota pays for beside the engine's

  /// K/V pages as the quota leaves room for; at least a context's.
  Result<void> plan_pages(std::size_t memory_bytes, std::int32_t least_context_tokens);
};

Result<void> ModelHost::Impl::plan_pages(std::size_t quota, std::int32_t least_context_tokens) {
  KvWish asked = wish;
  asked.context_tokens = least_context_tokens;
  asked.kv_bytes = TRY(kv_bytes_of(quota, engine->backend_memory(), other_bytes));
  const KvCost cost = cost_of(engine->backend_info(), draft_info, wish.max_running, step_token_budget);
  return engine->resize(TRY(plan_kv(asked, cost, free_memory_bytes())).num_pages);
}

Result<std::unique_ptr<ModelHost>> ModelHost::load(const std::filesystem::path& given,
                                                   ModelHostOptions options) {
  const TimePoint started = Clock::real().now();
  TRY(check_backend(options.backend));
  const KvFormat kv_format = TRY(check_kv_format(options.kv_format));
  TRY(check_speculation(options.speculation, !options.draft_model.empty()));
  const std::filesystem::path path = named_folder(given);
  ModelFolder folder = TRY(ModelFolder::open(path, options.quantize));
  if (folder.num_left_dense() > 0) {
    log::info("{}: {} layers stay dense, for their inputs are no whole groups of {}", folder.name(),
              folder.num_left_dense(), options.quantize->group_size);
  }
  const SpeculationOptions::Method method = TRY(speculation_of(folder, options));
  KvWish wish{.model_context_tokens = folder.spec().context_tokens,
              .context_tokens = options.context_tokens,
              .kv_bytes = options.kv_bytes,
              .max_running = options.max_running};
  std::optional<ModelFolder> draft;
  if (method == SpeculationOptions::Method::kDraftModel)
    draft = TRY(open_draft_model(options.draft_model, path));

  // A context longer than the model's is refused before any weight is read.
  TRY(plan_kv(
      {.model_context_tokens = wish.model_context_tokens, .context_tokens = wish.context_tokens},
      [](std::int32_t num_pages) { return static_cast<std::size_t>(num_pages); }, SIZE_MAX));
  auto plan = std::make_shared<KvPlan>();
  auto profile = options.profile ? std::make_unique<StepProfile>() : nullptr;
  EngineOptions engine_options;
  engine_options.profile = profile.get();
  engine_options.max_running = options.max_running;
  engine_options.gap_ratio = options.gap_ratio;
  engine_options.speculation.method = method;
  auto draft_info = std::make_shared<std::optional<BackendInfo>>();
  const auto needs = std::make_shared<MemoryNeeds>();
  TokenizerSize tokenizer_size;
  engine_options.choose_num_pages =
      [wish, plan, draft_info, needs, share = options.share, tokenizer = tokenizer_size.future(),
       memory_bytes = options.memory_bytes, adapters = options.adapters.list(path),
       adapter_bytes = options.adapter_bytes, step_tokens = engine_options.step_token_budget](
          const BackendInfo& info, const BackendMemory& memory) -> Result<std::int32_t> {
    KvWish asked = wish;
    const KvCost cost = cost_of(info, *draft_info, wish.max_running, step_tokens);
    BackendMemory expected = memory;
    expected.adapter_bytes = expected_adapter_bytes(adapters, adapter_bytes, info.adapter_scratch_bytes);
    if (share) {
      needs->fixed_bytes =
          expected.weight_bytes + expected.scratch_bytes + expected.adapter_bytes + tokenizer.get();
      const KvBounds bounds =
          bound_kv(wish, cost, share->context_bytes,
                   share->budget_bytes - std::min(share->budget_bytes, needs->fixed_bytes));
      needs->least_bytes = needs->fixed_bytes + bounds.least_bytes;
      needs->usual_bytes = needs->fixed_bytes + bounds.usual_bytes;
      needs->most_bytes = needs->fixed_bytes + bounds.most_bytes;
      asked.kv_bytes = TRY(share->choose_quota(*needs)) - needs->fixed_bytes;
      asked.context_tokens = bounds.context_tokens;
    } else if (asked.kv_bytes == 0 && memory_bytes > 0) {
      asked.kv_bytes = TRY(kv_bytes_of(memory_bytes, expected));
    }
    *plan = TRY(plan_kv(asked, cost, free_memory_bytes()));
    return plan->num_pages;
  };
  CpuOptions cpu_options;
  cpu_options.num_threads = options.threads;
  cpu_options.max_batch_tokens = engine_options.step_token_budget;
  cpu_options.max_batch_sequences = options.max_running;
  cpu_options.kv_format = kv_format;
  cpu_options.activation_bits = options.activation_bits;
  cpu_options.touch_pages = options.touch_pages;
  cpu_options.share_threads = options.compute_threads;
  cpu_options.stop = options.stop;
  CpuOptions draft_options = cpu_options;
  cpu_options.profile = profile.get();
  cpu_options.progress = std::move(options.progress);
  if (draft) {
    engine_options.speculation.draft_context_tokens = draft->spec().context_tokens;
    engine_options.speculation.load_draft_backend = [&]() -> Result<std::unique_ptr<Backend>> {
      auto backend = TRY(CpuBackend::load(*draft, draft_options));
      *draft_info = backend->info();
      return std::unique_ptr<Backend>(std::move(backend));
    };
  }
  // Text and weights are read side by side; text on this thread, whose heap gives back what its parsing took.
  auto starting = std::async(std::launch::async | std::launch::deferred, [&] {
    return EngineThread::start(
        [&]() -> Result<std::unique_ptr<Backend>> {
          auto backend = TRY(CpuBackend::load(folder, std::move(cpu_options)));
          draft_options.share_threads = backend->threads();
          return std::unique_ptr<Backend>(std::move(backend));
        },
        engine_options);
  });
  // Also if reading the text throws: `starting` waits for the engine's thread, that for this.
  const std::shared_ptr<void> told(nullptr, [&tokenizer_size](void*) { tokenizer_size.tell(0); });
  Result<TextFiles> text = open_text(path);
  tokenizer_size.tell(text.ok() ? text->tokenizer.memory_bytes() : 0);
  auto engine = starting.get();
  if (!text.ok()) return text.take_error();
  if (!engine.ok()) return engine.take_error();

  std::vector<TokenId> eos_tokens = end_tokens_of(folder, *text);
  std::unique_ptr<Impl> impl(new Impl{
      std::move(folder), path.filename().string(), std::move(text->tokenizer), std::move(text->chat_format),
      std::move(eos_tokens), std::move(profile), engine.take_value(), wish, *draft_info,
      engine_options.step_token_budget, plan->context_tokens,
      std::chrono::duration<double>(Clock::real().now() - started).count(), Clock::real().wall_seconds()});
  impl->needs = *needs;
  if (options.share) {
    impl->other_bytes = impl->tokenizer.memory_bytes();
    impl->memory_bytes = needs->fixed_bytes + plan->kv_bytes;
  } else if (options.kv_bytes == 0) {
    // K/V sized by itself is not the quota's to change.
    impl->memory_bytes = options.memory_bytes;
  }
  impl->adapters = std::make_unique<AdapterLibrary>(AdapterLibrary::Options{
      .model_folder = path,
      .spec = &impl->folder.spec(),
      .engine = impl->engine.get(),
      .places = std::move(options.adapters),
      .most_bytes = options.adapter_bytes,
      .balance_memory = [raw = impl.get()]() -> Result<void> {
        const std::size_t quota = raw->memory_bytes;
        return quota == 0 ? Result<void>() : raw->plan_pages(quota, raw->context_tokens);
      }});
  impl->grammars.emplace(impl->tokenizer, impl->folder.spec().vocab_size, impl->eos_tokens);
  const BackendMemory memory = impl->engine->backend_memory();
  log::info(
      "{}: {} on {}, {} MiB of weights, {} MiB of tokenizer, K/V for {} tokens in up to {} MiB, context {} "
      "of {}",
      impl->name, impl->folder.spec().model_type, impl->engine->backend_info().name,
      memory.weight_bytes >> 20U, impl->tokenizer.memory_bytes() >> 20U,
      std::int64_t{plan->num_pages} * kPageTokens, memory.page_bytes >> 20U, impl->context_tokens,
      impl->folder.spec().context_tokens);
  return std::unique_ptr<ModelHost>(new ModelHost(std::move(impl)));
}

std::shared_ptr<ThreadPool> make_compute_threads(std::int32_t num_threads) {
  return std::make_shared<ThreadPool>(num_threads > 0 ? num_threads : num_physical_cores());
}

Result<MemoryNeeds> estimate_needs(const std::filesystem::path& given, const ModelHostOptions& options,
                                   std::size_t measured_fixed_bytes) {
  const KvFormat kv_format = TRY(check_kv_format(options.kv_format));
  const std::filesystem::path path = named_folder(given);
  const ModelFolder folder = TRY(ModelFolder::open(path));
  const std::int32_t step_tokens = EngineOptions{}.step_token_budget;
  MemoryNeeds needs;
  std::optional<BackendInfo> draft_info;
  const auto add = [&](const ModelFolder& model) {
    needs.fixed_bytes += model.weights().total_bytes() + estimate_scratch(model.spec(), step_tokens);
  };
  add(folder);
  if (!options.draft_model.empty()) {
    const ModelFolder draft = TRY(ModelFolder::open(named_folder(options.draft_model)));
    add(draft);
    draft_info = page_info(draft.spec(), kv_format);
  }
  needs.fixed_bytes += 2 * file_bytes(path / "tokenizer.json");
  needs.fixed_bytes += expected_adapter_bytes(options.adapters.list(path), options.adapter_bytes, 0);
  if (measured_fixed_bytes > 0) needs.fixed_bytes = measured_fixed_bytes;
  const KvWish wish{.model_context_tokens = folder.spec().context_tokens,
                    .context_tokens = options.context_tokens,
                    .max_running = options.max_running};
  const KvCost cost =
      cost_of(page_info(folder.spec(), kv_format), draft_info, options.max_running, step_tokens);
  const MemoryShare share = options.share.value_or(MemoryShare{});
  const KvBounds bounds = bound_kv(wish, cost, share.context_bytes,
                                   share.budget_bytes - std::min(share.budget_bytes, needs.fixed_bytes));
  needs.least_bytes = needs.fixed_bytes + bounds.least_bytes;
  needs.usual_bytes = needs.fixed_bytes + bounds.usual_bytes;
  needs.most_bytes = needs.fixed_bytes + bounds.most_bytes;
  return needs;
}

ModelHost::ModelHost(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ModelHost::~ModelHost() = default;

const std::string& ModelHost::name() const { return impl_->name; }
const std::filesystem::path& ModelHost::path() const { return impl_->folder.path(); }
const ModelSpec& ModelHost::spec() const { return impl_->folder.spec(); }
std::int64_t ModelHost::num_parameters() const { return impl_->folder.num_parameters(); }
const Tokenizer& ModelHost::tokenizer() const { return impl_->tokenizer; }
const ChatFormat* ModelHost::chat_format() const {
  return impl_->chat_format ? &*impl_->chat_format : nullptr;
}
GrammarLibrary& ModelHost::grammars() const { return *impl_->grammars; }
const std::vector<TokenId>& ModelHost::eos_tokens() const { return impl_->eos_tokens; }
GenerationLimits ModelHost::limits() const {
  return {.vocab_size = impl_->folder.spec().vocab_size, .context_tokens = impl_->context_tokens};
}
Result<void> ModelHost::set_memory_bytes(std::size_t memory_bytes) {
  // What was promised at the start is not a reason to refuse now.
  TRY(impl_->plan_pages(memory_bytes, 0));
  impl_->memory_bytes = memory_bytes;
  return {};
}
const MemoryNeeds& ModelHost::memory_needs() const { return impl_->needs; }
double ModelHost::load_seconds() const { return impl_->load_seconds; }
std::int64_t ModelHost::loaded_at() const { return impl_->loaded_at; }
EngineThread& ModelHost::engine() const { return *impl_->engine; }
AdapterLibrary& ModelHost::adapters() const { return *impl_->adapters; }
const StepProfile* ModelHost::profile() const { return impl_->profile.get(); }

}  // namespace mlxd
