#include "workbench/report_json.h"

#include <sys/resource.h>

#include <boost/json/array.hpp>
#include <cmath>
#include <string>
#include <utility>

namespace mlxd {
namespace {

namespace json = boost::json;

double rounded(double value) { return std::round(value * 1000.0) / 1000.0; }

json::array texts(const std::vector<std::string>& lines) { return json::array(lines.begin(), lines.end()); }

json::object percentiles_json(const BenchPercentiles& values) {
  return {{"p50", rounded(values.p50)}, {"p90", rounded(values.p90)}, {"p99", rounded(values.p99)}};
}

std::uint64_t peak_resident_bytes() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
  return static_cast<std::uint64_t>(usage.ru_maxrss);
#else
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
#endif
}

}  // namespace

json::object report_json(const ImportReport& report) {
  return {{"folder", report.folder.string()}, {"parameters", report.num_parameters},
          {"tensors", report.num_tensors},    {"weight_bytes", report.weight_bytes},
          {"storage", report.storage},        {"what_became", texts(describe_tensors(report.tensors))},
          {"notes", texts(report.notes)}};
}

json::object report_json(const ConvertReport& report) {
  return {{"folder", report.folder.string()},
          {"parameters", report.num_parameters},
          {"bits_per_weight", report.bits_per_weight},
          {"source_bytes", report.source_bytes},
          {"weight_bytes", report.weight_bytes},
          {"files", report.num_files},
          {"layers_quantized", report.quantized},
          {"layers_copied", report.kept},
          {"layers_plain", report.dense},
          {"notes", texts(report.notes)}};
}

json::object report_json(const PerplexityReport& report) {
  return {{"backend", report.backend},
          {"perplexity", report.perplexity},
          {"standard_error", report.standard_error},
          {"mean_loss", report.mean_loss},
          {"bits_per_byte", report.bits_per_byte},
          {"text_bytes", report.text_bytes},
          {"text_tokens", report.text_tokens},
          {"scored_tokens", report.scored_tokens},
          {"computed_tokens", report.computed_tokens},
          {"windows", report.windows},
          {"context_tokens", report.context_tokens},
          {"stride_tokens", report.stride_tokens},
          {"bos", report.has_bos},
          {"load_seconds", report.load_seconds},
          {"seconds", report.seconds},
          {"tokens_per_s", tokens_per_s(report)}};
}

json::object report_json(const BenchResult& result) {
  return {{"concurrency", result.concurrency},
          {"prefill_tokens_per_s", rounded(result.prefill_tokens_per_s)},
          {"decode_tokens_per_s", rounded(result.decode_tokens_per_s)},
          {"decode_tokens_per_s_per_stream", rounded(result.decode_tokens_per_s_per_stream)},
          {"time_to_first_token_ms", rounded(result.time_to_first_token_ms.p50)},
          {"time_to_first_token_ms_percentiles", percentiles_json(result.time_to_first_token_ms)},
          {"inter_token_latency_ms", percentiles_json(result.inter_token_latency_ms)},
          {"drafted_tokens", result.drafted_tokens},
          {"accepted_tokens", result.accepted_tokens}};
}

json::object report_json(const ModelHost& host, const BenchPlan& plan,
                         const std::vector<BenchResult>& results) {
  const BackendMemory memory = host.engine().backend_memory();
  json::object report{{"backend", host.engine().backend_info().name},
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
  if (!results.empty()) {
    for (const auto& entry : report_json(results.front())) report.insert(entry);
  }
  json::array all;
  for (const BenchResult& result : results) all.emplace_back(report_json(result));
  report["results"] = std::move(all);
  return report;
}

double tokens_per_s(const PerplexityReport& report) {
  return report.seconds > 0.0 ? static_cast<double>(report.computed_tokens) / report.seconds : 0.0;
}

}  // namespace mlxd
