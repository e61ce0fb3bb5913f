// Measures an engine from inside: prefill and decode rates, time to the first token and the gaps between
// tokens, at several numbers of concurrent streams. Random prompts, no end tokens. Blocks; one owner.
//
// Method, comparable to llama-bench (pp N, tg N) and llama-batched-bench. Prefill: all streams are submitted
// at once with one token to make; tokens of all prompts over the time to the last of their first tokens.
// Decode: all streams again; from the moment that each has its first token, `tokens` tokens of each; tokens
// of all streams over that time. Times are taken on the engine's thread at the end of each step.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"
#include "engine/step_profile.h"
#include "runtime/model_host.h"

namespace mlxd {

struct BenchPlan {
  std::int32_t prompt_tokens = 512;
  std::int32_t tokens = 128;
  std::vector<std::int32_t> concurrency{1};
  std::int32_t rounds = 3;
  std::uint64_t seed = 1;
  float temperature = 0.0F;
};

struct BenchPercentiles {
  double p50 = 0.0, p90 = 0.0, p99 = 0.0;
};

/// Medians over the rounds of one concurrency; latencies pooled over streams and rounds.
struct BenchResult {
  std::int32_t concurrency = 1;
  double prefill_tokens_per_s = 0.0;
  double decode_tokens_per_s = 0.0;  // all streams together
  double decode_tokens_per_s_per_stream = 0.0;
  BenchPercentiles time_to_first_token_ms;
  BenchPercentiles inter_token_latency_ms;
  /// Of the steps that these rates are from, all rounds together; empty without a profile.
  StepTotals prefill_steps, decode_steps;
  std::uint64_t drafted_tokens = 0, accepted_tokens = 0;  // of all rounds; see EngineStats
};

/// K/V positions that the largest concurrency of the plan needs, in whole pages and with some to spare.
std::int64_t kv_tokens_needed(const BenchPlan& plan);

/// What one concurrency of one round gave.
struct BenchRound {
  std::int32_t round = 1;  // from 1
  std::int32_t concurrency = 1;
  double prefill_tokens_per_s = 0.0;
  double decode_tokens_per_s = 0.0;  // all streams together
};

/// How somebody follows a benchmark, or ends it.
struct BenchWatch {
  std::function<void(double)> on_progress = {};  // 0 … 1; may be empty
  std::function<void(const BenchRound&)> on_round = {};
  /// Ends it with kCancelled, within a step of the engine, of being set; may be null.
  const std::atomic<bool>* stop = nullptr;
};

/// Measures a loaded model, with its profile if it has one; loaded so that prompts take whole steps
/// (ModelHostOptions::gap_ratio), or the first streams may have ended before the last begin. A warm-up, then
/// `rounds` rounds over all concurrencies in turn, so that a drift of the machine touches all alike. Errors:
/// those of the engine; kInvalidArgument for a plan that does not fit the context; kCancelled.
Result<std::vector<BenchResult>> run_bench(const ModelHost& host, const BenchPlan& plan,
                                           const BenchWatch& watch);

/// The value below which `share` of the sorted values lie, interpolated; 0 for none.
double percentile(std::vector<double> values, double share);
BenchPercentiles percentiles_of(const std::vector<double>& values);

}  // namespace mlxd
