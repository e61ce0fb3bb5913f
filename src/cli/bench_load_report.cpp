#include "cli/bench_load_report.h"

#include <boost/json.hpp>
#include <cmath>
#include <utility>

#include "cli/format.h"
#include "cli/json_text.h"
#include "cli/table.h"
#include "cli/text_chart.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

double rounded(double value) { return std::round(value * 1000.0) / 1000.0; }

json::object to_json(const BenchPercentiles& values) {
  return {{"p50", rounded(values.p50)}, {"p90", rounded(values.p90)}, {"p99", rounded(values.p99)}};
}

bool has_stages(const WorkloadPlan& plan) {
  return plan.kind == WorkloadKind::kSharedPrefix || plan.kind == WorkloadKind::kMultiTurn;
}

std::string stage_name(const WorkloadPlan& plan, std::int32_t stage) {
  if (plan.kind == WorkloadKind::kMultiTurn) return "turn " + std::to_string(stage + 1);
  return stage == 0 ? "cold" : "warm";
}

json::value concurrency_json(const BenchLoadReport::Level& level) {
  return level.clients == 0 ? json::value(nullptr) : json::value(level.clients);
}

json::object to_json(const WorkloadPlan& plan, const BenchLoadReport::Level& level) {
  const LoadFigures& figures = level.figures;
  json::array failures;
  for (const auto& [why, count] : figures.failures)
    failures.push_back(json::object{{"why", why}, {"count", count}});
  json::object object{{"concurrency", concurrency_json(level)},
                      {"answered", figures.answered},
                      {"failed", num_failed(figures)},
                      {"failures", std::move(failures)},
                      {"tokens_per_s", rounded(figures.tokens_per_s)},
                      {"tokens_per_s_spread", rounded(figures.tokens_per_s_spread)},
                      {"requests_per_s", rounded(figures.requests_per_s)},
                      {"mean_prompt_tokens", rounded(figures.prompt_tokens)},
                      {"mean_completion_tokens", rounded(figures.completion_tokens)},
                      {"time_to_first_token_ms", to_json(percentiles_of(figures.time_to_first_token_ms))},
                      {"inter_token_latency_ms", to_json(percentiles_of(figures.inter_token_ms))}};
  if (figures.drafts) {
    object["drafted_tokens"] = figures.drafts->drafted;
    object["accepted_tokens"] = figures.drafts->accepted;
  }
  if (has_stages(plan)) {
    json::array stages;
    for (const StageFigures& stage : figures.stages)
      stages.push_back(
          json::object{{"stage", stage_name(plan, stage.stage)},
                       {"answered", stage.answered},
                       {"time_to_first_token_ms", rounded(stage.time_to_first_token_ms)},
                       {"mean_prompt_tokens", rounded(stage.prompt_tokens)},
                       {"mean_cached_tokens", stage.cached_tokens ? json::value(rounded(*stage.cached_tokens))
                                                                  : json::value(nullptr)}});
    object["stages"] = std::move(stages);
  }
  return object;
}

struct Compared {
  std::string what;
  std::string key;  // in JSON
  double first = 0.0, second = 0.0;
  double ratio() const { return second == 0.0 ? 0.0 : first / second; }
};

std::vector<Compared> compare(const LoadFigures& first, const LoadFigures& second) {
  const auto median = [](const std::vector<double>& values) { return percentile(values, 0.5); };
  const auto p99 = [](const std::vector<double>& values) { return percentile(values, 0.99); };
  return {
      {"tokens/s", "tokens_per_s", first.tokens_per_s, second.tokens_per_s},
      {"first token p50, ms", "time_to_first_token_ms_p50", median(first.time_to_first_token_ms),
       median(second.time_to_first_token_ms)},
      {"first token p99, ms", "time_to_first_token_ms_p99", p99(first.time_to_first_token_ms),
       p99(second.time_to_first_token_ms)},
      {"gap p50, ms", "inter_token_latency_ms_p50", median(first.inter_token_ms),
       median(second.inter_token_ms)},
      {"gap p99, ms", "inter_token_latency_ms_p99", p99(first.inter_token_ms), p99(second.inter_token_ms)}};
}

json::array comparison_json(const BenchLoadReport& report) {
  json::array levels;
  const auto& first = report.targets[0].levels;
  const auto& second = report.targets[1].levels;
  for (std::size_t i = 0; i < first.size(); ++i) {
    json::object level{{"concurrency", concurrency_json(first[i])}};
    for (const Compared& row : compare(first[i].figures, second[i].figures))
      level[row.key] = json::object{
          {"first", rounded(row.first)},
          {"second", rounded(row.second)},
          {"ratio", row.second == 0.0 ? json::value(nullptr) : json::value(rounded(row.ratio()))}};
    levels.push_back(std::move(level));
  }
  return levels;
}

std::string streams_text(const BenchLoadReport::Level& level) {
  return level.clients == 0 ? "open" : std::to_string(level.clients);
}

// "A", "B": what a target is called in tables when there are two.
std::string letter_of(std::size_t target) { return std::string(1, static_cast<char>('A' + target)); }

std::string counted(std::int64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string headline(const BenchLoadReport& report) {
  const WorkloadPlan& plan = report.plan;
  std::string text = std::string(to_string(plan.kind)) + ", ";
  switch (plan.kind) {
    case WorkloadKind::kClosed:
      text += counted(plan.requests, "request") + " of up to " + counted(plan.prompt_tokens, "token");
      break;
    case WorkloadKind::kRepeating:
      text += counted(plan.requests, "request") + " of " + counted(plan.prompt_tokens, "token") +
              " that repeat themselves";
      break;
    case WorkloadKind::kPoisson:
      text += counted(plan.requests, "request") + " of up to " + counted(plan.prompt_tokens, "token") + ", " +
              format_number(plan.rate_per_s, 2) + " a second";
      break;
    case WorkloadKind::kSharedPrefix:
      text += counted(plan.requests, "request") + " of " + std::to_string(plan.shared_tokens) +
              " shared and " + std::to_string(plan.prompt_tokens) + " own tokens";
      break;
    case WorkloadKind::kMultiTurn:
      text += counted(plan.requests, "conversation") + " of " + counted(plan.turns, "turn") + ", " +
              counted(plan.prompt_tokens, "new token") + " each";
      break;
  }
  return text + ", answers of " + std::to_string(plan.tokens) + ", " + counted(report.rounds, "round") +
         ", seed " + std::to_string(plan.seed) + "\n";
}

std::string latency_table(const BenchLoadReport& report, const BenchLoadReport::Target& target) {
  Table table({{"STREAMS", true},
               {"tok/s", true},
               {"±%", true},
               {"req/s", true},
               {"FIRST p50 ms", true},
               {"p90", true},
               {"p99", true},
               {"GAP p50 ms", true},
               {"p90", true},
               {"p99", true},
               {"FAILED", true}});
  for (const auto& level : target.levels) {
    const LoadFigures& figures = level.figures;
    const BenchPercentiles first = percentiles_of(figures.time_to_first_token_ms);
    const BenchPercentiles gap = percentiles_of(figures.inter_token_ms);
    table.add_row({streams_text(level), format_number(figures.tokens_per_s, 1),
                   format_number(figures.tokens_per_s_spread * 100.0, 0),
                   format_number(figures.requests_per_s, 2), format_number(first.p50, 1),
                   format_number(first.p90, 1), format_number(first.p99, 1), format_number(gap.p50, 2),
                   format_number(gap.p90, 2), format_number(gap.p99, 2),
                   std::to_string(num_failed(figures))});
  }
  std::string text = table.to_string();
  if (has_stages(report.plan)) {
    Table stages({{"STREAMS", true},
                  {"REQUEST", false},
                  {"ANSWERED", true},
                  {"PROMPT tokens", true},
                  {"CACHED", true},
                  {"FIRST TOKEN ms", true}});
    for (const auto& level : target.levels)
      for (const StageFigures& stage : level.figures.stages)
        stages.add_row({streams_text(level), stage_name(report.plan, stage.stage),
                        std::to_string(stage.answered), format_number(stage.prompt_tokens, 0),
                        stage.cached_tokens ? format_number(*stage.cached_tokens, 0) : "?",
                        format_number(stage.time_to_first_token_ms, 1)});
    text += "\n" + stages.to_string();
  }
  return text;
}

std::string remarks(const BenchLoadReport& report, const BenchLoadReport::Target& target) {
  std::string text;
  for (const auto& level : target.levels) {
    const std::string streams =
        level.clients == 0 ? std::string() : "at " + counted(level.clients, "stream") + ": ";
    for (const auto& [why, count] : level.figures.failures) {
      text += streams;
      text += std::to_string(count) + " failed: " + why + "\n";
    }
    if (level.figures.drafts && level.figures.drafts->drafted > 0)
      text += streams + std::to_string(level.figures.drafts->drafted) + " tokens guessed ahead, " +
              format_share(level.figures.drafts->accepted, level.figures.drafts->drafted) +
              " of them right\n";
    const double made = level.figures.completion_tokens;
    if (level.figures.answered > 0 && made < 0.9 * report.plan.tokens)
      text += streams + "answers ended early, after " + format_number(made, 0) + " tokens on average" +
              ": compare rates with care, or forbid the end tokens (--ban)\n";
  }
  return text;
}

std::string comparison_table(const BenchLoadReport& report) {
  Table table({{"STREAMS", true}, {"MEDIANS", false}, {"A", true}, {"B", true}, {"A / B", true}});
  const auto& first = report.targets[0].levels;
  const auto& second = report.targets[1].levels;
  for (std::size_t i = 0; i < first.size(); ++i)
    for (const Compared& row : compare(first[i].figures, second[i].figures))
      table.add_row({streams_text(first[i]), row.what, format_number(row.first, 2),
                     format_number(row.second, 2),
                     row.second == 0.0 ? "-" : format_number(row.ratio(), 2) + "x"});
  return table.to_string();
}

std::string charts(const BenchLoadReport& report, std::size_t columns) {
  std::string text;
  for (std::size_t i = 0; i < report.targets.size(); ++i) {
    const auto& level = report.targets[i].levels.back();
    const std::string whose = (report.targets.size() > 1 ? letter_of(i) + ", " : "") +
                              (level.clients == 0 ? "open" : counted(level.clients, "stream"));
    for (const auto& [what, values] :
         {std::pair("time to first token, ms", &level.figures.time_to_first_token_ms),
          std::pair("between tokens, ms", &level.figures.inter_token_ms)})
      if (!values->empty())
        text += "\n" + histogram_chart(std::string(what) + " (" + whose + ")", *values, columns);
  }
  return text;
}

}  // namespace

std::string to_json_text(const BenchLoadReport& report) {
  const WorkloadPlan& plan = report.plan;
  json::object object{
      {"workload", to_string(plan.kind)}, {"seed", plan.seed},     {"rounds", report.rounds},
      {"requests", plan.requests},        {"tokens", plan.tokens}, {"prompt_tokens", plan.prompt_tokens}};
  if (plan.kind == WorkloadKind::kPoisson) object["rate_per_s"] = plan.rate_per_s;
  if (plan.kind == WorkloadKind::kSharedPrefix) object["shared_tokens"] = plan.shared_tokens;
  if (plan.kind == WorkloadKind::kMultiTurn) object["turns"] = plan.turns;
  json::array targets;
  for (const auto& target : report.targets) {
    json::array results;
    for (const auto& level : target.levels) results.push_back(to_json(plan, level));
    targets.push_back(
        json::object{{"target", target.name}, {"model", target.model}, {"results", std::move(results)}});
  }
  object["targets"] = std::move(targets);
  if (report.targets.size() == 2) object["comparison"] = comparison_json(report);
  return pretty_json(object);
}

std::string to_text(const BenchLoadReport& report, std::size_t columns) {
  std::string text = headline(report);
  for (std::size_t i = 0; i < report.targets.size(); ++i) {
    const auto& target = report.targets[i];
    text += "\n" + (report.targets.size() > 1 ? letter_of(i) + "  " : "") + target.name + ", " +
            target.model + "\n" + latency_table(report, target) + remarks(report, target);
  }
  if (report.targets.size() == 2) text += "\n" + comparison_table(report);
  return text + charts(report, columns);
}

}  // namespace mlxd::cli
