#include "cli/bench_profile_report.h"

#include <cmath>

#include "cli/format.h"
#include "cli/table.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

double rounded(double value) { return std::round(value * 10000.0) / 10000.0; }

std::string percent(double share) { return format_number(share * 100.0, share < 0.0995 ? 1 : 0) + " %"; }

std::string rate_text(const char* name, double vector_rate, double matrix_rate) {
  if (vector_rate <= 0.0) return {};
  std::string text = std::string(", ") + name + " " + format_number(vector_rate, 0);
  if (matrix_rate > 0.0) text += " (matrix unit " + format_number(matrix_rate, 0) + ")";
  return text;
}

}  // namespace

std::string limits_text(const MachineLimits& limits) {
  return "limits of " + std::to_string(limits.threads) + (limits.threads == 1 ? " thread" : " threads") +
         ": read " + format_number(limits.read_gb_per_s, 1) + " GB/s" +
         rate_text("int8", limits.rates.int8, limits.rates.int8_matrix) +
         rate_text("bf16", limits.rates.bf16, limits.rates.bf16_matrix) +
         rate_text("fp32", limits.rates.fp32, 0.0) + " Gop/s, barrier " +
         format_number(limits.barrier_us, 2) + " us\n";
}

json::object limits_json(const MachineLimits& limits) {
  return {{"threads", limits.threads},
          {"read_gb_per_s", rounded(limits.read_gb_per_s)},
          {"int8_gop_per_s", rounded(limits.rates.int8)},
          {"int8_matrix_gop_per_s", rounded(limits.rates.int8_matrix)},
          {"bf16_gflop_per_s", rounded(limits.rates.bf16)},
          {"bf16_matrix_gflop_per_s", rounded(limits.rates.bf16_matrix)},
          {"fp32_gflop_per_s", rounded(limits.rates.fp32)},
          {"barrier_us", rounded(limits.barrier_us)}};
}

std::string profile_text(const StepTotals& steps, const MachineLimits& limits) {
  const StepReport report = report_steps(steps, limits);
  std::string text = std::to_string(report.steps) + (report.steps == 1 ? " step of " : " steps of ") +
                     format_number(report.tokens, 1) + " tokens on average, " + format_number(report.ms, 3) +
                     " ms each, " + percent(report.of_limit()) + " of the limit\n";
  Table table({{"STAGE"},
               {"ms", true},
               {"SHARE", true},
               {"MB", true},
               {"GB/s", true},
               {"Gop/s", true},
               {"OF LIMIT", true},
               {"LIMIT"}});
  for (const StageReport& stage : report.stages) {
    const double operations = stage.work.int8_operations + stage.work.fp32_operations;
    const auto rate = [&](double amount) {
      return amount > 0.0 && stage.ms > 0.0 ? format_number(amount / stage.ms / 1e6, 1) : std::string();
    };
    const bool limited = stage.limit != StageLimit::kNone && stage.ms > 0.0;
    table.add_row({std::string(to_string(stage.stage)), format_number(stage.ms, 3), percent(stage.share),
                   stage.work.bytes > 0.0 ? format_number(stage.work.bytes / 1e6, 2) : std::string(),
                   rate(stage.work.bytes), rate(operations),
                   limited ? percent(stage.of_limit()) : std::string(),
                   limited ? std::string(to_string(stage.limit)) : std::string()});
  }
  return text + table.to_string();
}

json::object profile_json(const StepTotals& steps, const MachineLimits& limits) {
  const StepReport report = report_steps(steps, limits);
  json::object stages;
  for (const StageReport& stage : report.stages) {
    json::object entry{{"ms", rounded(stage.ms)}, {"share", rounded(stage.share)}};
    entry["bytes"] = std::round(stage.work.bytes);
    entry["int8_operations"] = std::round(stage.work.int8_operations);
    entry["fp32_operations"] = std::round(stage.work.fp32_operations);
    if (stage.limit != StageLimit::kNone) {
      entry["limit"] = to_string(stage.limit);
      entry["limit_ms"] = rounded(stage.limit_ms);
      entry["of_limit"] = rounded(stage.of_limit());
    }
    stages[to_string(stage.stage)] = std::move(entry);
  }
  return {{"steps", report.steps},
          {"tokens_per_step", rounded(report.tokens)},
          {"ms_per_step", rounded(report.ms)},
          {"of_limit", rounded(report.of_limit())},
          {"stages", std::move(stages)}};
}

}  // namespace mlxd::cli
