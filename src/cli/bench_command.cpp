#include <sys/resource.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "cli/bench_load_command.h"
#include "cli/bench_profile_report.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/json_text.h"
#include "cli/model_loader.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "workbench/bench.h"
#include "workbench/model_facts.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

std::uint64_t peak_resident_bytes() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
  return static_cast<std::uint64_t>(usage.ru_maxrss);
#else
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
#endif
}

double rounded(double value) { return std::round(value * 1000.0) / 1000.0; }

json::object to_json(const BenchPercentiles& values) {
  return {{"p50", rounded(values.p50)}, {"p90", rounded(values.p90)}, {"p99", rounded(values.p99)}};
}

json::object to_json(const BenchResult& result) {
  return {{"concurrency", result.concurrency},
          {"prefill_tokens_per_s", rounded(result.prefill_tokens_per_s)},
          {"decode_tokens_per_s", rounded(result.decode_tokens_per_s)},
          {"decode_tokens_per_s_per_stream", rounded(result.decode_tokens_per_s_per_stream)},
          {"time_to_first_token_ms", rounded(result.time_to_first_token_ms.p50)},
          {"time_to_first_token_ms_percentiles", to_json(result.time_to_first_token_ms)},
          {"inter_token_latency_ms", to_json(result.inter_token_latency_ms)},
          {"drafted_tokens", result.drafted_tokens},
          {"accepted_tokens", result.accepted_tokens}};
}

/// What was measured; `limits` only if the steps were profiled.
struct BenchReport {
  std::vector<BenchResult> results;
  std::optional<MachineLimits> limits;
};

std::string to_json_text(const FoundModel& model, const ModelHost& host, const BenchPlan& plan,
                         const BenchReport& measured) {
  const BackendMemory memory = host.engine().backend_memory();
  json::object report{{"model", model.name},
                      {"backend", host.engine().backend_info().name},
                      {"prompt_tokens", plan.prompt_tokens},
                      {"tokens", plan.tokens},
                      {"rounds", plan.rounds},
                      {"seed", plan.seed},
                      {"load_seconds", rounded(host.load_seconds())},
                      {"memory", json::object{{"weight_bytes", memory.weight_bytes},
                                              {"page_bytes", memory.page_bytes},
                                              {"scratch_bytes", memory.scratch_bytes},
                                              {"tokenizer_bytes", host.tokenizer().memory_bytes()},
                                              {"peak_resident_bytes", peak_resident_bytes()}}}};
  // The first concurrency's figures stand at the top too, for those who asked for one.
  for (const auto& entry : to_json(measured.results.front())) report.insert(entry);
  json::array all;
  for (const BenchResult& result : measured.results) {
    json::object& entry = all.emplace_back(to_json(result)).as_object();
    if (!measured.limits) continue;
    entry["prefill_profile"] = profile_json(result.prefill_steps, *measured.limits);
    entry["decode_profile"] = profile_json(result.decode_steps, *measured.limits);
  }
  if (measured.limits) report["limits"] = limits_json(*measured.limits);
  report["results"] = std::move(all);
  return pretty_json(report);
}

std::string to_table_text(const FoundModel& model, const ModelHost& host, const BenchPlan& plan,
                          const BenchReport& measured) {
  std::string text = model.name + ", " + host.engine().backend_info().name + ", prompt " +
                     std::to_string(plan.prompt_tokens) + ", " + std::to_string(plan.tokens) +
                     " tokens, median of " + std::to_string(plan.rounds) +
                     (plan.rounds == 1 ? " round\n" : " rounds\n");
  Table table({{"STREAMS", true},
               {"PREFILL tok/s", true},
               {"DECODE tok/s", true},
               {"PER STREAM", true},
               {"FIRST TOKEN ms", true},
               {"GAP p50 ms", true},
               {"p90", true},
               {"p99", true},
               {"GUESSES", true},
               {"RIGHT", true}});
  for (const BenchResult& result : measured.results)
    table.add_row({std::to_string(result.concurrency), format_number(result.prefill_tokens_per_s, 1),
                   format_number(result.decode_tokens_per_s, 1),
                   format_number(result.decode_tokens_per_s_per_stream, 1),
                   format_number(result.time_to_first_token_ms.p50, 1),
                   format_number(result.inter_token_latency_ms.p50, 2),
                   format_number(result.inter_token_latency_ms.p90, 2),
                   format_number(result.inter_token_latency_ms.p99, 2), std::to_string(result.drafted_tokens),
                   format_share(result.accepted_tokens, result.drafted_tokens)});
  text += table.to_string();
  if (!measured.limits) return text;
  text += "\n" + limits_text(*measured.limits);
  for (const BenchResult& result : measured.results) {
    const std::string streams =
        std::to_string(result.concurrency) + (result.concurrency == 1 ? " stream" : " streams");
    text += "\nprefill of " + streams + ": " + profile_text(result.prefill_steps, *measured.limits);
    text += "\ndecode of " + streams + ": " + profile_text(result.decode_steps, *measured.limits);
  }
  return text;
}

}  // namespace

Result<int> bench_command(const CommandContext& context, const BenchCommandOptions& options) {
  const auto settings = resolve_settings(options.flags, context.state);
  if (!settings) {
    context.console.report_error(settings.error().message);
    return exit_code_of(settings.error());
  }
  if (const auto checked = check_load_options(options); !checked) {
    context.console.report_error(checked.error().message + " (see 'mlxd bench --help')");
    return kExitUsage;
  }
  if (!options.workload.empty() || !options.urls.empty())
    return bench_load_command(context, options, *settings);

  BenchPlan plan;
  plan.prompt_tokens = options.prompt_tokens.value_or(plan.prompt_tokens);
  plan.tokens = options.tokens;
  if (!options.concurrency.empty()) plan.concurrency = options.concurrency;
  plan.rounds = options.rounds;
  plan.seed = options.seed;
  plan.temperature = static_cast<float>(options.temperature);

  const FoundModel model = TRY(choose_model(make_finder(context.state), context.state, options.model));
  const ModelDetails details = TRY(read_model_details(model.path));
  LoadOptions load;
  load.kv_bytes = static_cast<std::size_t>(details.kv_bytes_per_token * kv_tokens_needed(plan));
  load.speculate = false;
  load.max_running = *std::max_element(plan.concurrency.begin(), plan.concurrency.end());
  // As llama-batched-bench does: all prompts, then all answers.
  load.prefill_first = true;
  load.profile = options.profile;
  const auto host = TRY(load_model(context, model, *settings, load));

  Progress progress(context.console, "measuring", Progress::Form::kQuiet);
  BenchReport measured;
  // With the model's own number of threads; that takes a second.
  if (host->profile() != nullptr) measured.limits = measure_machine(host->profile()->totals().num_threads);
  measured.results = TRY(run_bench(*host, plan, [&progress](double fraction) { progress.update(fraction); }));
  progress.finish();
  context.console.write(options.json ? to_json_text(model, *host, plan, measured)
                                     : to_table_text(model, *host, plan, measured));
  return kExitOk;
}

}  // namespace mlxd::cli
