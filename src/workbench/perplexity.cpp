#include "workbench/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "backends/cpu/cpu_backend.h"
#include "base/clock.h"
#include "base/mapped_file.h"
#include "model/adapter.h"
#include "model/model_folder.h"
#include "text/tokenizer.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

constexpr std::int32_t kDefaultContext = 1024;
constexpr std::int32_t kStepTokens = 512;

double seconds_since(TimePoint begin) {
  return std::chrono::duration<double>(Clock::real().now() - begin).count();
}

/// A text as the model reads it.
struct TokenizedText {
  std::vector<TokenId> tokens;  // without the BOS
  std::optional<TokenId> bos;
  std::size_t num_bytes = 0;
};

/// What the tokenizer puts in front of a text.
Result<std::optional<TokenId>> find_bos(const Tokenizer& tokenizer) {
  const std::vector<TokenId> plain = TRY(tokenizer.encode("a", false));
  const std::vector<TokenId> whole = TRY(tokenizer.encode("a", true));
  if (whole.size() > plain.size() && !plain.empty() && whole.front() != plain.front())
    return std::optional(whole.front());
  return std::optional<TokenId>();
}

Result<TokenizedText> read_text(std::string_view bytes, const std::string& name, const Tokenizer& tokenizer) {
  TokenizedText text;
  text.num_bytes = bytes.size();
  if (text.num_bytes == 0) return invalid_argument(name + " is empty: give a file with text");
  if (text.num_bytes > kMaxPerplexityTextBytes) {
    return Error(ErrorKind::kTooLarge,
                 name + " has " + std::to_string(text.num_bytes >> 20U) + " MiB, the limit is " +
                     std::to_string(kMaxPerplexityTextBytes >> 20U) + " MiB: give a part of it");
  }
  auto encoded = tokenizer.encode(bytes, false);
  if (!encoded) {
    Error error = encoded.take_error();
    error.message = name + ": " + error.message;
    if (error.kind == ErrorKind::kInvalidArgument) error.message += "; save it as UTF-8";
    return error;
  }
  text.tokens = encoded.take_value();
  text.bos = TRY(find_bos(tokenizer));
  // A text that spells its own BOS has it once.
  if (text.bos && !text.tokens.empty() && text.tokens.front() == *text.bos)
    text.tokens.erase(text.tokens.begin());
  if (text.tokens.size() < 2) {
    return invalid_argument(name + " has " + std::to_string(text.tokens.size()) +
                            (text.tokens.size() == 1 ? " token" : " tokens") +
                            ", at least 2 are needed: give a longer text");
  }
  return text;
}

/// Context and stride as asked for, or by default.
struct WindowSizes {
  std::int32_t context = 0;
  std::int32_t stride = 0;
};

Result<WindowSizes> choose_sizes(const PerplexityOptions& options, std::int32_t model_context, bool has_bos) {
  WindowSizes sizes;
  sizes.context =
      options.context_tokens > 0 ? options.context_tokens : std::min(kDefaultContext, model_context);
  if (sizes.context < 2 || sizes.context > model_context) {
    return invalid_argument("the context of a window is " + std::to_string(sizes.context) +
                                ", must be 2 to " + std::to_string(model_context) +
                                " tokens, which the model has",
                            "context");
  }
  const std::int32_t capacity = sizes.context - (has_bos ? 1 : 0);
  sizes.stride = options.stride_tokens > 0 ? options.stride_tokens : std::max(1, sizes.context / 2);
  // As long as the context means side by side, with or without a BOS.
  if (sizes.stride == sizes.context) sizes.stride = capacity;
  if (sizes.stride > capacity) {
    return invalid_argument("the stride is " + std::to_string(sizes.stride) +
                                ", must be at most the context, " + std::to_string(sizes.context) +
                                ", or tokens would be left out",
                            "stride");
  }
  return sizes;
}

Result<std::unique_ptr<CpuBackend>> load_backend(const ModelFolder& model, const PerplexityOptions& options) {
  CpuOptions cpu;
  cpu.precision = options.reference ? CpuPrecision::kReference : CpuPrecision::kFast;
  cpu.num_threads = options.threads;
  cpu.max_batch_tokens = kStepTokens;
  cpu.max_batch_sequences = 1;
  cpu.activation_bits = options.activation_bits;
  cpu.stop = options.stop;
  if (!options.kv_format.empty()) cpu.kv_format = TRY(parse_kv_format(options.kv_format));
  if (options.load_progress)
    cpu.progress = [&options](float fraction) { options.load_progress(static_cast<double>(fraction)); };
  return CpuBackend::load(model, std::move(cpu));
}

constexpr AdapterId kOnlyAdapter = 1;

Result<void> attach(Backend& backend, const Adapter& adapter) {
  return backend.attach_adapter(kOnlyAdapter, TRY(backend.prepare_adapter(adapter)));
}

/// Sums over scored tokens.
struct Losses {
  std::int64_t count = 0;
  double sum = 0.0;
  double sum_of_squares = 0.0;

  void add(double loss) {
    ++count;
    sum += loss;
    sum_of_squares += loss * loss;
  }
  double mean() const { return sum / static_cast<double>(count); }
  double standard_error() const {
    if (count < 2) return 0.0;
    const auto n = static_cast<double>(count);
    const double variance = std::max(0.0, (sum_of_squares - sum * sum / n) / (n - 1.0));
    return std::sqrt(variance / n);
  }
};

/// Runs windows of a text through a backend, one step of tokens after the other.
class Scorer {
 public:
  /// `stop` may be null.
  Scorer(Backend& backend, const TokenizedText& text, AdapterId adapter, const std::atomic<bool>* stop)
      : backend_(backend),
        text_(text),
        adapter_(adapter),
        stop_(stop),
        step_tokens_(stop == nullptr ? kStepTokens : kPageTokens) {}

  /// Makes room for windows of `context` positions, used by each in turn.
  Result<void> reserve(std::int32_t context) {
    num_pages_ = (context + kPageTokens - 1) / kPageTokens;
    const std::vector<PageGroupInfo>& groups = backend_.info().page_groups;
    for (std::size_t group = 0; group < groups.size(); ++group)
      TRY(backend_.resize_pages(group, groups[group].is_state ? kNumStates : num_pages_));
    return {};
  }

  Result<void> score(const PerplexityWindow& window, Losses& losses,
                     const std::function<void(std::int64_t)>& on_tokens) {
    // The input: BOS or nothing, then all tokens but the last, which is only predicted.
    const std::int64_t bos = text_.bos ? 1 : 0;
    const std::int64_t num_inputs = bos + window.end - window.begin - 1;
    for (std::int64_t done = 0; done < num_inputs;) {
      if (stop_ != nullptr && *stop_) return Error(ErrorKind::kCancelled, "stopped");
      const std::int64_t count = std::min<std::int64_t>(step_tokens_, num_inputs - done);
      const TimePoint begin = Clock::real().now();
      TRY(run_step(window, done, count, losses));
      if (stop_ != nullptr && count == step_tokens_) adapt(seconds_since(begin));
      done += count;
      on_tokens(count);
    }
    return {};
  }

 private:
  // One who may be told to stop takes steps that end soon. How a window is cut changes no result.
  void adapt(double seconds) {
    constexpr double kAim = 0.5;
    if (seconds < kAim / 2) step_tokens_ = std::min(kStepTokens, step_tokens_ * 2);
    if (seconds > kAim) step_tokens_ = std::max(kPageTokens, step_tokens_ / 2);
  }

  TokenId token(std::int64_t index) const { return text_.tokens[static_cast<std::size_t>(index)]; }

  // Inputs [done, done + count) of the window; input i predicts token window.begin + i + 1 − bos.
  Result<void> run_step(const PerplexityWindow& window, std::int64_t done, std::int64_t count,
                        Losses& losses) {
    const std::int64_t bos = text_.bos ? 1 : 0;
    batch_.clear();
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t position = done + i;
      const TokenId input = position < bos ? *text_.bos : token(window.begin + position - bos);
      batch_.tokens.push_back(TokenInput::id(input));
      const std::int64_t predicted = window.begin + position + 1 - bos;
      if (predicted < window.first_scored) continue;
      SampleRow row;
      row.token_index = static_cast<std::int32_t>(i);
      row.spec.logprob = true;
      row.spec.scored = token(predicted);
      batch_.samples.push_back(row);
    }
    BatchSequence sequence;
    sequence.num_tokens = static_cast<std::int32_t>(count);
    sequence.first_position = static_cast<std::int32_t>(done);
    sequence.adapter = adapter_;
    for (std::size_t group = 0; group < backend_.info().page_groups.size(); ++group)
      add_page_table(backend_.info().page_groups[group].is_state, sequence, sequence.page_tables[group]);
    batch_.sequences.push_back(sequence);

    const Backend::StepHandle step = TRY(backend_.submit(batch_));
    TRY(backend_.collect(step, result_));
    for (std::size_t i = 0; i < result_.samples.size(); ++i) {
      const SampledToken& sampled = result_.samples[i];
      if (sampled.token == kNoToken || !std::isfinite(sampled.logprob)) {
        return corrupt_data("the model gives token " + std::to_string(batch_.samples[i].spec.scored) +
                            " of the text no finite probability; its weights are damaged, get it again");
      }
      losses.add(-static_cast<double>(sampled.logprob));
    }
    return {};
  }

  // All pages, or of states those before and after the step, which take turns.
  void add_page_table(bool is_state, const BatchSequence& sequence, BatchSequence::PageTable& table) {
    const auto begin = static_cast<std::int32_t>(batch_.page_ids.size());
    table = {begin, num_pages_};
    if (!is_state) {
      for (PageId page = 0; page < static_cast<PageId>(num_pages_); ++page) batch_.page_ids.push_back(page);
      return;
    }
    batch_.page_ids.resize(batch_.page_ids.size() + static_cast<std::size_t>(num_pages_), kNoPage);
    const std::int32_t before = sequence.first_position - 1;
    const std::int32_t after = before + sequence.num_tokens;
    const auto entry = [&](std::int32_t position) -> PageId& {
      return batch_.page_ids[static_cast<std::size_t>(begin + position / kPageTokens)];
    };
    if (before >= 0) entry(before) = state_;
    if (before < 0 || after / kPageTokens != before / kPageTokens) state_ = (state_ + 1) % kNumStates;
    entry(after) = state_;
  }

  static constexpr std::int32_t kNumStates = 2;

  Backend& backend_;
  const TokenizedText& text_;
  const AdapterId adapter_;
  const std::atomic<bool>* const stop_;  // or null
  std::int32_t step_tokens_;
  std::int32_t num_pages_ = 0;
  PageId state_ = 0;  // that the next step goes on from
  StepBatch batch_;
  StepResult result_;
};

Result<void> check_vocabulary(const TokenizedText& text, std::int32_t vocab_size) {
  for (const TokenId token : text.tokens) {
    if (token < 0 || token >= vocab_size) {
      return corrupt_data("the tokenizer gives token " + std::to_string(token) +
                          ", the model's vocabulary has " + std::to_string(vocab_size) +
                          ": the folder's files do not belong together");
    }
  }
  return {};
}

}  // namespace

std::vector<PerplexityWindow> perplexity_windows(std::int64_t num_tokens, std::int64_t capacity,
                                                 std::int64_t stride, bool has_bos) {
  std::vector<PerplexityWindow> windows;
  std::int64_t scored = 0;  // tokens before it are, or have nothing before them
  for (std::int64_t begin = 0; scored < num_tokens; begin += stride) {
    PerplexityWindow window;
    window.begin = begin;
    window.end = std::min(num_tokens, begin + capacity);
    window.first_scored = std::max(scored, begin + (has_bos ? 0 : 1));
    scored = window.end;
    if (window.first_scored < window.end) windows.push_back(window);
  }
  return windows;
}

Result<PerplexityReport> measure_perplexity(const fs::path& model, const fs::path& text,
                                            const PerplexityOptions& options) {
  const MappedFile file = TRY(MappedFile::open(text));
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  return measure_text_perplexity(model, bytes, text.string(), options);
}

Result<PerplexityReport> measure_text_perplexity(const fs::path& model, std::string_view text,
                                                 const std::string& name, const PerplexityOptions& options) {
  const TimePoint load_begin = Clock::real().now();
  const ModelFolder folder = TRY(ModelFolder::open(model, options.quantize));
  // The cheap checks first: loading takes a while.
  const Tokenizer tokenizer = TRY(Tokenizer::open(model));
  const TokenizedText tokenized = TRY(read_text(text, name, tokenizer));
  TRY(check_vocabulary(tokenized, folder.spec().vocab_size));
  std::optional<Adapter> adapter;
  if (!options.adapter.empty()) adapter = TRY(Adapter::open(options.adapter, folder.spec()));
  const bool has_bos = tokenized.bos.has_value();
  const WindowSizes sizes = TRY(choose_sizes(options, folder.spec().context_tokens, has_bos));
  const auto num_tokens = static_cast<std::int64_t>(tokenized.tokens.size());
  const std::vector<PerplexityWindow> windows =
      perplexity_windows(num_tokens, sizes.context - (has_bos ? 1 : 0), sizes.stride, has_bos);

  PerplexityReport report;
  for (const PerplexityWindow& window : windows)
    report.computed_tokens += window.end - window.begin - 1 + (has_bos ? 1 : 0);
  const std::unique_ptr<CpuBackend> backend = TRY(load_backend(folder, options));
  if (adapter) TRY(attach(*backend, *adapter));
  report.load_seconds = seconds_since(load_begin);

  const TimePoint begin = Clock::real().now();
  Scorer scorer(*backend, tokenized, adapter ? kOnlyAdapter : kNoAdapter, options.stop);
  TRY(scorer.reserve(static_cast<std::int32_t>(std::min<std::int64_t>(sizes.context, num_tokens + 1))));
  Losses losses;
  std::int64_t done = 0;
  for (const PerplexityWindow& window : windows) {
    TRY(scorer.score(window, losses, [&](std::int64_t tokens) {
      done += tokens;
      if (options.progress)
        options.progress(static_cast<double>(done) / static_cast<double>(report.computed_tokens));
    }));
  }
  report.seconds = seconds_since(begin);

  report.backend = backend->info().name;
  report.mean_loss = losses.mean();
  report.perplexity = std::exp(report.mean_loss);
  report.standard_error = report.perplexity * losses.standard_error();
  report.text_bytes = static_cast<std::int64_t>(tokenized.num_bytes);
  report.text_tokens = num_tokens;
  report.scored_tokens = losses.count;
  // As if the unscored tokens were as likely as the others.
  report.bits_per_byte = report.mean_loss / std::log(2.0) * static_cast<double>(num_tokens) /
                         static_cast<double>(tokenized.num_bytes);
  report.windows = static_cast<std::int64_t>(windows.size());
  report.context_tokens = sizes.context;
  report.stride_tokens = sizes.stride;
  report.has_bos = has_bos;
  return report;
}

}  // namespace mlxd
