#include <algorithm>
#include <boost/json.hpp>
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
#include "workbench/report_json.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

/// What was measured; `limits` only if the steps were profiled.
struct BenchReport {
  std::vector<BenchResult> results;
  std::optional<MachineLimits> limits;
};

std::string to_json_text(const FoundModel& model, const ModelHost& host, const BenchPlan& plan,
                         const BenchReport& measured) {
  json::object report{{"model", model.name}};
  for (const auto& entry : report_json(host, plan, measured.results)) report.insert(entry);
  if (!measured.limits) return pretty_json(report);
  report["limits"] = limits_json(*measured.limits);
  json::array& all = report["results"].as_array();
  for (std::size_t i = 0; i < measured.results.size(); ++i) {
    all[i].as_object()["prefill_profile"] = profile_json(measured.results[i].prefill_steps, *measured.limits);
    all[i].as_object()["decode_profile"] = profile_json(measured.results[i].decode_steps, *measured.limits);
  }
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

  const FoundModel model = TRY(choose_model(TRY(make_finder(context.state)), context.state, options.model));
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
  measured.results = TRY(
      run_bench(*host, plan, {.on_progress = [&progress](double fraction) { progress.update(fraction); }}));
  progress.finish();
  context.console.write(options.json ? to_json_text(model, *host, plan, measured)
                                     : to_table_text(model, *host, plan, measured));
  return kExitOk;
}

}  // namespace mlxd::cli
