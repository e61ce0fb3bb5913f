// Sends a workload to a target, one thread for each request in flight, and makes figures of what came back.
// `run_load` blocks; one call at a time for a target. The rest is pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "workbench/bench.h"
#include "workbench/bench_target.h"
#include "workbench/bench_workload.h"

namespace mlxd {

struct LoadOptions {
  std::int32_t clients = 1;  // 0: each task is sent when it arrives (kPoisson)
  std::int32_t tokens = 128;
  TimePoint deadline = TimePoint::max();
};

struct LoadAnswer : BenchAnswer {
  /// Which kind of request it was: a conversation's turn from 0 on; of a workload with a lead 0 is the lead.
  std::int32_t stage = 0;
  bool is_lead = false;
};

/// All answers of one run, failures among them, in no order.
struct LoadRun {
  std::vector<LoadAnswer> answers;
  std::optional<BenchDrafts> drafts;  // of this run; absent: the target does not say
};

/// Errors: kUnavailable if the system gives no thread. Failed requests are answers, no errors; the rest of a
/// failed conversation is not asked.
Result<LoadRun> run_load(BenchTarget& target, const Workload& workload, const LoadOptions& options);

struct StageFigures {
  std::int32_t stage = 0;
  std::int32_t answered = 0;
  double time_to_first_token_ms = 0.0;  // median
  double prompt_tokens = 0.0;           // mean
  std::optional<double> cached_tokens;  // mean; absent: the target does not say
};

/// Of all runs with one setting. Rates are medians over the runs, latencies pooled over requests and runs;
/// the lead is in `stages` only.
struct LoadFigures {
  std::int32_t answered = 0;
  std::map<std::string, std::int32_t> failures;  // why → how often
  double tokens_per_s = 0.0;         // made for all clients, from the first request to the last token
  double tokens_per_s_spread = 0.0;  // half the range over the runs, as a share of the median
  double requests_per_s = 0.0;
  double completion_tokens = 0.0;     // mean of a request
  double prompt_tokens = 0.0;         // mean of a request
  std::optional<BenchDrafts> drafts;  // of all runs, the lead included
  std::vector<double> time_to_first_token_ms;
  std::vector<double> inter_token_ms;
  std::vector<StageFigures> stages;
};
LoadFigures summarize_load(std::span<const LoadRun> runs);

/// All requests that failed.
std::int32_t num_failed(const LoadFigures& figures);

}  // namespace mlxd
