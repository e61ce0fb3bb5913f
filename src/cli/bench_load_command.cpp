#include "cli/bench_load_command.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/bench_load_report.h"
#include "cli/bench_server_target.h"
#include "cli/model_loader.h"
#include "cli/progress.h"
#include "http/client.h"
#include "workbench/bench_engine_target.h"
#include "workbench/bench_load.h"
#include "workbench/bench_workload.h"
#include "workbench/model_facts.h"

namespace mlxd::cli {
namespace {

constexpr std::int32_t kWarmUpWords = 16, kWarmUpTokens = 8;
constexpr std::uint64_t kWarmUpSeed = 0x5741524D;
constexpr std::int32_t kDefaultClients = 4;
constexpr std::int32_t kMostRunningAtOnce = 64;  // of requests that arrive by themselves, in process
constexpr std::int32_t kDefaultLongPrompt = 512, kDefaultOwnText = 64;

WorkloadPlan plan_of(const BenchCommandOptions& options) {
  WorkloadPlan plan;
  plan.kind = options.workload.empty() ? WorkloadKind::kClosed
                                       : find_workload(options.workload).value_or(WorkloadKind::kClosed);
  const bool has_own_text = plan.kind == WorkloadKind::kSharedPrefix || plan.kind == WorkloadKind::kMultiTurn;
  plan.prompt_tokens = options.prompt_tokens.value_or(has_own_text ? kDefaultOwnText : kDefaultLongPrompt);
  plan.tokens = options.tokens;
  plan.seed = options.seed;
  plan.requests = options.requests.value_or(plan.requests);
  plan.rate_per_s = options.rate_per_s.value_or(plan.rate_per_s);
  plan.shared_tokens = options.shared_tokens.value_or(plan.shared_tokens);
  plan.turns = options.turns.value_or(plan.turns);
  return plan;
}

// How many clients at a time, run by run; 0: requests that arrive by themselves.
std::vector<std::int32_t> levels_of(const BenchCommandOptions& options, const WorkloadPlan& plan) {
  if (plan.kind == WorkloadKind::kPoisson) return {0};
  return options.concurrency.empty() ? std::vector{kDefaultClients} : options.concurrency;
}

struct NamedTarget {
  std::string name;
  std::string model;
  std::unique_ptr<ModelHost> host;  // before the target that uses it; null for a server
  std::unique_ptr<BenchTarget> target;
};

Result<NamedTarget> load_target(const CommandContext& context, const BenchCommandOptions& options,
                                const Settings& settings, const WorkloadPlan& plan,
                                const std::vector<std::int32_t>& levels) {
  const FoundModel found =
      TRY(choose_model(make_finder(context.state, settings), context.state, options.model));
  const ModelDetails details = TRY(read_model_details(found.path));
  const std::int64_t longest = longest_sequence_tokens(plan);
  if (longest > details.context_tokens)
    return invalid_argument("the longest request of this workload takes " + std::to_string(longest) +
                            " tokens with its answer, the model's context holds " +
                            std::to_string(details.context_tokens) + ": ask for fewer");
  std::int32_t most_at_once = *std::max_element(levels.begin(), levels.end());
  if (most_at_once == 0) most_at_once = std::min(plan.requests, kMostRunningAtOnce);
  // Some words are more than one token; a page and the text between questions come to each sequence.
  const std::int64_t tokens = longest + longest / 4 + 128;
  LoadOptions load;
  load.kv_bytes = static_cast<std::size_t>(details.kv_bytes_per_token * tokens * most_at_once);
  load.max_running = most_at_once;
  NamedTarget named;
  named.host = TRY(load_model(context, found, settings, load));
  named.name = "in process, " + named.host->engine().backend_info().name;
  named.model = found.name;
  named.target = std::make_unique<BenchEngineTarget>(*named.host, static_cast<float>(options.temperature));
  return named;
}

Result<std::vector<NamedTarget>> make_targets(const CommandContext& context,
                                              const BenchCommandOptions& options, const Settings& settings,
                                              const WorkloadPlan& plan,
                                              const std::vector<std::int32_t>& levels) {
  std::vector<NamedTarget> targets;
  if (options.urls.empty()) {
    targets.push_back(TRY(load_target(context, options, settings, plan, levels)));
    return targets;
  }
  for (std::size_t i = 0; i < options.urls.size(); ++i) {
    BenchServerTarget::Options server;
    server.url = options.urls[i];
    // One name is for all.
    if (!options.server_models.empty())
      server.model = options.server_models[std::min(i, options.server_models.size() - 1)];
    server.banned_tokens = options.banned_tokens;
    server.temperature = options.temperature;
    auto target = TRY(BenchServerTarget::connect(std::move(server)));
    NamedTarget& named = targets.emplace_back();
    named.name = target->url();
    named.model = target->model();
    named.target = std::move(target);
  }
  return targets;
}

// A first short request: what is cold becomes warm, and what cannot work fails here.
Result<void> warm_up(const NamedTarget& named, const WorkloadPlan& plan, TimePoint deadline) {
  const auto conversation = named.target->begin(plan.kind == WorkloadKind::kMultiTurn);
  const BenchAnswer answer = conversation->ask(random_words(kWarmUpWords, plan.seed ^ kWarmUpSeed),
                                               std::min(plan.tokens, kWarmUpTokens), deadline);
  if (answer.failure.empty()) return {};
  return Error(ErrorKind::kUnavailable,
               named.model + " at " + named.name + " does not answer a first request: " + answer.failure);
}

Result<void> check_answered(const BenchLoadReport& report) {
  for (const auto& target : report.targets) {
    std::int32_t answered = 0;
    std::string why;
    for (const auto& level : target.levels) {
      answered += level.figures.answered;
      if (!level.figures.failures.empty()) why = level.figures.failures.begin()->first;
    }
    if (answered == 0)
      return Error(ErrorKind::kUnavailable, target.name + " answered no request: " + why +
                                                ": ask for less, or for longer (--time-limit)");
  }
  return {};
}

Result<void> only_for(bool given, const char* flag, bool fits, const char* workload) {
  if (!given || fits) return {};
  return invalid_argument(std::string(flag) + " needs --workload " + workload);
}

}  // namespace

Result<void> check_load_options(const BenchCommandOptions& options) {
  const auto kind = find_workload(options.workload);
  if (!options.workload.empty() && !kind) {
    std::string known;
    for (const std::string_view name : workload_names())
      known += (known.empty() ? "" : ", ") + std::string(name);
    return invalid_argument("unknown workload '" + options.workload + "' (known: " + known + ")");
  }
  const bool on_servers = !options.urls.empty();
  const bool under_load = kind.has_value() || on_servers;
  if (options.requests && !under_load) return invalid_argument("--requests needs --workload or --url");
  if (options.time_limit_s && !under_load) return invalid_argument("--time-limit needs --workload or --url");
  if (options.profile && under_load)
    return invalid_argument(
        "--profile does not go with --workload and --url: it is of the fixed measurement");
  TRY(only_for(options.rate_per_s.has_value(), "--rate", kind == WorkloadKind::kPoisson, "poisson"));
  TRY(only_for(options.shared_tokens.has_value(), "--shared", kind == WorkloadKind::kSharedPrefix,
               "shared-prefix"));
  TRY(only_for(options.turns.has_value(), "--turns", kind == WorkloadKind::kMultiTurn, "multi-turn"));
  if (kind == WorkloadKind::kPoisson && !options.concurrency.empty())
    return invalid_argument("--concurrency does not go with --workload poisson, whose load is set by --rate");
  if (!on_servers) {
    if (!options.server_models.empty())
      return invalid_argument(
          "--model names a server's model and needs --url; name the model to load without it");
    if (!options.banned_tokens.empty())
      return invalid_argument("--ban needs --url: in process nothing ends an answer early");
    return {};
  }
  if (options.urls.size() > 2)
    return invalid_argument("--url is given more than twice: two servers can be compared");
  if (options.server_models.size() > options.urls.size())
    return invalid_argument("--model is given more often than --url");
  if (!options.model.empty())
    return invalid_argument("MODEL '" + options.model +
                            "' and --url do not go together: a server's model is named by --model");
  for (const auto& entry : options.flags)
    return invalid_argument("--" + entry.first + " does not go with --url: the server has its own");
  for (const std::string& url : options.urls) {
    const auto client = http::Client::create(url);
    if (!client) return client.error();
  }
  return {};
}

Result<int> bench_load_command(const CommandContext& context, const BenchCommandOptions& options,
                               const Settings& settings) {
  const WorkloadPlan plan = plan_of(options);
  const std::vector<std::int32_t> levels = levels_of(options, plan);
  const std::vector<NamedTarget> targets = TRY(make_targets(context, options, settings, plan, levels));
  const TimePoint deadline =
      Clock::real().now() + std::chrono::seconds(options.time_limit_s.value_or(kDefaultBenchTimeLimitS));
  for (const NamedTarget& target : targets) TRY(warm_up(target, plan, deadline));

  // Round by round, so that a drift of the machine touches all alike.
  Progress progress(context.console, "measuring", Progress::Form::kQuiet);
  std::vector<std::vector<std::vector<LoadRun>>> runs(targets.size(),
                                                      std::vector<std::vector<LoadRun>>(levels.size()));
  const auto rounds = static_cast<std::size_t>(options.rounds);
  const double total = static_cast<double>(rounds * levels.size() * targets.size());
  double finished = 0.0;
  for (std::size_t round = 0; round < rounds; ++round) {
    for (std::size_t level = 0; level < levels.size(); ++level) {
      const Workload workload = make_workload(plan, round * levels.size() + level);
      for (std::size_t i = 0; i < targets.size(); ++i) {
        progress.update(finished / total, targets[i].name);
        runs[i][level].push_back(
            TRY(run_load(*targets[i].target, workload,
                         {.clients = levels[level], .tokens = plan.tokens, .deadline = deadline})));
        finished += 1.0;
      }
    }
  }
  progress.finish();

  BenchLoadReport report;
  report.plan = plan;
  report.rounds = options.rounds;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    BenchLoadReport::Target& target = report.targets.emplace_back();
    target.name = targets[i].name;
    target.model = targets[i].model;
    for (std::size_t level = 0; level < levels.size(); ++level)
      target.levels.push_back({levels[level], summarize_load(runs[i][level])});
  }
  TRY(check_answered(report));
  context.console.write(options.json ? to_json_text(report) : to_text(report, context.console.columns()));
  return kExitOk;
}

}  // namespace mlxd::cli
