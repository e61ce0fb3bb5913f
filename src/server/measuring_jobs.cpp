// Jobs that measure models: perplexity and bench. Each loads the model for itself, with memory of the pool's
// budget and threads of its own, so that no request notices more than a busier machine.
#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <cstdio>
#include <limits>
#include <system_error>
#include <utility>

#include "base/mapped_file.h"
#include "server/job_kinds.h"
#include "workbench/bench.h"
#include "workbench/model_facts.h"
#include "workbench/perplexity.h"
#include "workbench/report_json.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using Type = JobParameter::Type;

constexpr std::int64_t kMaxTokens = std::int64_t{1} << 20U;
constexpr std::int64_t kMaxInputBytes = std::int64_t{4} << 20U;
// Of the progress of a measurement, what loading the model takes.
constexpr double kLoadingShare = 0.1;

template <typename... Values>
std::string printed(const char* format, Values... values) {
  std::array<char, 200> text{};
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

// Waits for the memory that a model needs here.
Result<MemoryHold> hold_memory(const JobEnvironment& environment, std::size_t bytes, JobRun& run) {
  run.enter("waiting for memory");
  return environment.shelf->pool().reserve(bytes, run.stop());
}

Result<void> check_text_file(const fs::path& file, const Caller& caller) {
  if (!caller.administers())
    return Error(ErrorKind::kForbidden,
                 "only an administrator names files of the server: send the text itself", "parameters.file");
  std::error_code error;
  if (file.is_absolute() && fs::is_regular_file(file, error)) return {};
  return Error(ErrorKind::kNotFound, "there is no file " + file.string() + " on the server",
               "parameters.file");
}

Result<void> check_perplexity(const JobEnvironment& environment, const JobWish& wish, const Caller& caller) {
  TRY(find_job_model(environment, wish.text("model"), caller.administers()));
  const std::string file = wish.text("file");
  if (wish.input.empty() == file.empty())
    return invalid_argument("give either text or file", "parameters.text");
  return file.empty() ? Result<void>() : check_text_file(file, caller);
}

Result<json::object> run_perplexity(const JobEnvironment& environment, const JobWish& wish, JobRun& run) {
  const fs::path model = TRY(find_job_model(environment, wish.text("model"), true));
  PerplexityOptions options;
  options.context_tokens = static_cast<std::int32_t>(wish.integer("context"));
  options.stride_tokens = static_cast<std::int32_t>(wish.integer("stride"));
  options.threads = environment.host.threads;
  options.kv_format = environment.host.kv_format;
  options.activation_bits = environment.host.activation_bits;
  options.quantize = environment.host.quantize;
  options.stop = &run.stop();
  options.load_progress = [&run](double fraction) { run.progress(kLoadingShare * fraction); };
  bool is_scoring = false;
  options.progress = [&run, &is_scoring](double fraction) {
    if (!std::exchange(is_scoring, true)) run.enter("scoring");
    run.progress(kLoadingShare + (1.0 - kLoadingShare) * fraction);
  };

  ModelHostOptions memory;
  memory.kv_format = options.kv_format;
  memory.max_running = 1;
  constexpr std::int32_t kUsualContext = 1024;
  const std::int32_t model_context = TRY(read_model_details(model)).context_tokens;
  memory.context_tokens =
      std::min(model_context, options.context_tokens > 0 ? options.context_tokens : kUsualContext);
  const MemoryHold hold = TRY(hold_memory(environment, TRY(estimate_needs(model, memory)).least_bytes, run));
  run.enter("loading");
  const std::string file = wish.text("file");
  const PerplexityReport report =
      TRY(file.empty() ? measure_text_perplexity(model, wish.input, "the text", options)
                       : measure_perplexity(model, file, options));
  run.log(printed("perplexity %.4f +- %.4f over %lld tokens", report.perplexity, report.standard_error,
                  static_cast<long long>(report.scored_tokens)));
  json::object result{{"model", wish.text("model")}};
  for (const auto& entry : report_json(report)) result.insert(entry);
  return result;
}

BenchPlan plan_of(const JobWish& wish) {
  BenchPlan plan;
  plan.prompt_tokens = static_cast<std::int32_t>(wish.integer("prompt_tokens", plan.prompt_tokens));
  plan.tokens = static_cast<std::int32_t>(wish.integer("tokens", plan.tokens));
  plan.rounds = static_cast<std::int32_t>(wish.integer("rounds", plan.rounds));
  if (const json::value* list = wish.parameters.if_contains("concurrency");
      list != nullptr && list->is_array() && !list->get_array().empty()) {
    plan.concurrency.clear();
    for (const json::value& each : list->get_array())
      plan.concurrency.push_back(static_cast<std::int32_t>(each.is_int64() ? each.get_int64() : 1));
  }
  return plan;
}

// What the pool has answered so far, all models together.
std::uint64_t generated_tokens(const ModelPool& pool) {
  std::uint64_t tokens = 0;
  for (const ModelPool::ModelStatus& model : pool.status().models) tokens += model.stats.generated_tokens;
  return tokens;
}

Result<json::object> run_bench_job(const JobEnvironment& environment, const JobWish& wish, JobRun& run) {
  const fs::path model = TRY(find_job_model(environment, wish.text("model"), true));
  const BenchPlan plan = plan_of(wish);
  const ModelDetails details = TRY(read_model_details(model));
  ModelHostOptions options = environment.host;
  options.compute_threads = nullptr;
  options.memory_bytes = 0;
  options.kv_bytes = static_cast<std::size_t>(details.kv_bytes_per_token * kv_tokens_needed(plan));
  options.max_running = *std::max_element(plan.concurrency.begin(), plan.concurrency.end());
  // As llama-batched-bench does: all prompts, then all answers; and nothing guessed.
  options.gap_ratio = std::numeric_limits<double>::infinity();
  if (options.draft_model.empty()) options.speculation = "off";
  options.progress = [&run](float fraction) { run.progress(kLoadingShare * static_cast<double>(fraction)); };
  options.stop = &run.stop();
  const std::size_t fixed = TRY(estimate_needs(model, options)).fixed_bytes;
  const MemoryHold hold = TRY(hold_memory(environment, fixed + options.kv_bytes, run));
  run.enter("loading");
  const auto host = TRY(ModelHost::load(model, options));
  run.enter("measuring");
  BenchWatch watch;
  watch.stop = &run.stop();
  watch.on_progress = [&run](double fraction) {
    run.progress(kLoadingShare + (1.0 - kLoadingShare) * fraction);
  };
  watch.on_round = [&run, &plan](const BenchRound& round) {
    run.log(printed("round %d of %d, %d streams: prefill %.1f tokens/s, decode %.1f tokens/s", round.round,
                    plan.rounds, round.concurrency, round.prefill_tokens_per_s, round.decode_tokens_per_s));
  };
  const std::uint64_t before = generated_tokens(environment.shelf->pool());
  const std::vector<BenchResult> results = TRY(run_bench(*host, plan, watch));
  const std::uint64_t after = generated_tokens(environment.shelf->pool());
  json::object result{{"model", wish.text("model")}};
  for (const auto& entry : report_json(*host, plan, results)) result.insert(entry);
  result["tokens_served_meanwhile"] = after - std::min(before, after);
  if (after > before)
    run.log(printed("note: the server wrote %llu tokens meanwhile, so a quiet machine is faster",
                    static_cast<unsigned long long>(after - before)));
  return result;
}

}  // namespace

JobKind perplexity_kind(const JobEnvironment& environment) {
  JobKind kind;
  kind.name = "perplexity";
  kind.about = "how well a model predicts a text";
  kind.parameters = {
      {.name = "model", .about = "the model that is measured", .required = true, .min = 1, .max = 4096},
      {.name = "text", .type = Type::kLongText, .about = "the text", .min = 1, .max = kMaxInputBytes},
      {.name = "file",
       .about = "in place of text: a file of the server, for administrators",
       .min = 1,
       .max = 4096},
      {.name = "context",
       .type = Type::kInteger,
       .about = "tokens of a window; else 1024, or the model's context if that is shorter",
       .min = 2,
       .max = kMaxTokens},
      {.name = "stride",
       .type = Type::kInteger,
       .about = "tokens from window to window; else half the context",
       .min = 1,
       .max = kMaxTokens},
  };
  kind.check = [environment](const JobWish& wish, const Caller& caller) {
    return check_perplexity(environment, wish, caller);
  };
  kind.run = [environment](const JobWish& wish, JobRun& run) {
    return run_perplexity(environment, wish, run);
  };
  return kind;
}

JobKind bench_kind(const JobEnvironment& environment) {
  JobKind kind;
  kind.name = "bench";
  kind.about = "how fast a model is on this machine";
  kind.parameters = {
      {.name = "model", .about = "the model that is measured", .required = true, .min = 1, .max = 4096},
      {.name = "prompt_tokens",
       .type = Type::kInteger,
       .about = "tokens of a prompt",
       .min = 1,
       .max = kMaxTokens,
       .otherwise = 512},
      {.name = "tokens",
       .type = Type::kInteger,
       .about = "tokens of an answer",
       .min = 1,
       .max = kMaxTokens,
       .otherwise = 128},
      {.name = "concurrency",
       .type = Type::kIntegers,
       .about = "numbers of streams at a time",
       .min = 1,
       .max = 1024,
       .otherwise = json::array{1}},
      {.name = "rounds",
       .type = Type::kInteger,
       .about = "times that all is measured",
       .min = 1,
       .max = 100,
       .otherwise = 3},
  };
  kind.check = [environment](const JobWish& wish, const Caller& caller) -> Result<void> {
    TRY(find_job_model(environment, wish.text("model"), caller.administers()));
    return {};
  };
  kind.run = [environment](const JobWish& wish, JobRun& run) {
    return run_bench_job(environment, wish, run);
  };
  return kind;
}

}  // namespace mlxd
