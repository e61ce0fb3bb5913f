// The work that a benchmark gives to an engine or a server: texts of plain English words, about one token
// each, and when they are sent. Pure: a plan and the number of a run give the same workload on every machine
// and for every target, and no two runs share a text, so that nothing is cached unless it is meant to be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlxd {

enum class WorkloadKind {
  kClosed,        // a number of clients, each sending its next request when the last is answered
  kPoisson,       // requests arrive at random at a rate, whether or not the earlier ones are done
  kSharedPrefix,  // as kClosed, all prompts beginning with the same long text
  kRepeating,     // as kClosed, texts that say the same four times, so that their answers say it again
  kMultiTurn,     // as kClosed, conversations: each turn's prompt is all before it and a new text
};
std::string_view to_string(WorkloadKind kind);
/// "closed", "poisson", "shared-prefix", "repeating", "multi-turn"; nothing for any other name.
std::optional<WorkloadKind> find_workload(std::string_view name);
std::vector<std::string_view> workload_names();

struct WorkloadPlan {
  WorkloadKind kind = WorkloadKind::kClosed;
  std::int32_t requests = 16;  // of a run; kMultiTurn: conversations
  /// kClosed, kPoisson: of the longest prompt; kRepeating: of each; else of each own or new text.
  std::int32_t prompt_tokens = 512;
  std::int32_t tokens = 128;          // to make for each request
  double rate_per_s = 4.0;            // kPoisson
  std::int32_t shared_tokens = 1024;  // kSharedPrefix
  std::int32_t turns = 4;             // kMultiTurn
  std::uint64_t seed = 1;
};

/// Requests of one client, each sent when the one before it is answered.
struct WorkloadTask {
  double arrival_s = 0.0;  // after the run's begin; 0 but for kPoisson
  std::vector<std::string> texts;
};

struct Workload {
  /// Sent first and alone: the shared prefix when nobody has computed it yet. Empty but for kSharedPrefix.
  std::vector<WorkloadTask> lead;
  std::vector<WorkloadTask> tasks;
};

/// `run` counts all runs of a benchmark. Prompt lengths of kClosed and kPoisson are spread evenly over the
/// logarithm of 16 … prompt_tokens, in random order, so that each run has the same mix.
Workload make_workload(const WorkloadPlan& plan, std::uint64_t run);

/// Tokens of the longest sequence of a plan, prompt and answers, at one token a word.
std::int64_t longest_sequence_tokens(const WorkloadPlan& plan);

/// `num_words` words drawn by `seed`, divided by spaces.
std::string random_words(std::int32_t num_words, std::uint64_t seed);

}  // namespace mlxd
