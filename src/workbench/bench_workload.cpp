#include "workbench/bench_workload.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <utility>

namespace mlxd {
namespace {

constexpr std::int32_t kShortestPrompt = 16;
constexpr std::int32_t kRepetitions = 4;

constexpr std::array<std::pair<WorkloadKind, std::string_view>, 5> kNames{{
    {WorkloadKind::kClosed, "closed"},
    {WorkloadKind::kPoisson, "poisson"},
    {WorkloadKind::kSharedPrefix, "shared-prefix"},
    {WorkloadKind::kRepeating, "repeating"},
    {WorkloadKind::kMultiTurn, "multi-turn"},
}};

// Common words: one token each, with the space before it, in the vocabularies of most models.
constexpr std::array<std::string_view, 128> kWords{
    "time",        "year",    "people",     "way",     "day",    "man",       "thing",   "woman",
    "life",        "child",   "world",      "school",  "state",  "family",    "student", "group",
    "country",     "problem", "hand",       "part",    "place",  "case",      "week",    "company",
    "system",      "program", "question",   "work",    "number", "night",     "point",   "home",
    "water",       "room",    "mother",     "area",    "money",  "story",     "fact",    "month",
    "lot",         "right",   "study",      "book",    "eye",    "job",       "word",    "business",
    "issue",       "side",    "kind",       "head",    "house",  "service",   "friend",  "father",
    "power",       "hour",    "game",       "line",    "end",    "member",    "law",     "car",
    "city",        "name",    "team",       "minute",  "idea",   "body",      "back",    "parent",
    "face",        "others",  "level",      "office",  "door",   "health",    "person",  "art",
    "war",         "history", "party",      "result",  "change", "morning",   "reason",  "research",
    "girl",        "moment",  "air",        "teacher", "force",  "education", "foot",    "boy",
    "age",         "policy",  "music",      "market",  "sense",  "nation",    "plan",    "college",
    "interest",    "death",   "experience", "effect",  "use",    "class",     "control", "field",
    "development", "role",    "effort",     "rate",    "heart",  "drug",      "show",    "leader",
    "light",       "voice",   "wife",       "police",  "mind",   "price",     "report",  "decision"};

// A step of SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators", 2014).
std::uint64_t mixed(std::uint64_t seed, std::uint64_t number) {
  std::uint64_t z = seed + (number + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31U);
}

// The distributions of <random> differ between libraries; these do not.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  /// 0 … 1, 1 excluded.
  double fraction() { return static_cast<double>(engine_() >> 11U) * 0x1p-53; }
  std::size_t below(std::size_t end) { return static_cast<std::size_t>(engine_() % end); }

  std::string words(std::int32_t num_words) {
    std::string text;
    for (std::int32_t i = 0; i < num_words; ++i) {
      if (i > 0) text += ' ';
      text += kWords[below(kWords.size())];
    }
    return text;
  }

 private:
  std::mt19937_64 engine_;
};

std::vector<std::int32_t> mixed_lengths(std::int32_t count, std::int32_t longest, Random& random) {
  const double low = std::log(static_cast<double>(std::min(kShortestPrompt, longest)));
  const double high = std::log(static_cast<double>(longest));
  std::vector<std::int32_t> lengths;
  lengths.reserve(static_cast<std::size_t>(count));
  for (std::int32_t i = 0; i < count; ++i) {
    const double share = count == 1 ? 1.0 : static_cast<double>(i) / (count - 1);
    lengths.push_back(static_cast<std::int32_t>(std::lround(std::exp(low + (high - low) * share))));
  }
  for (std::size_t i = lengths.size(); i > 1; --i) std::swap(lengths[i - 1], lengths[random.below(i)]);
  return lengths;
}

}  // namespace

std::string_view to_string(WorkloadKind kind) {
  for (const auto& [known, name] : kNames)
    if (known == kind) return name;
  return "";
}

std::optional<WorkloadKind> find_workload(std::string_view name) {
  for (const auto& [kind, known] : kNames)
    if (known == name) return kind;
  return std::nullopt;
}

std::vector<std::string_view> workload_names() {
  std::vector<std::string_view> names;
  for (const auto& entry : kNames) names.push_back(entry.second);
  return names;
}

Workload make_workload(const WorkloadPlan& plan, std::uint64_t run) {
  Random random(mixed(plan.seed, run));
  Workload workload;
  switch (plan.kind) {
    case WorkloadKind::kClosed:
    case WorkloadKind::kPoisson: {
      double arrival_s = 0.0;
      for (const std::int32_t length : mixed_lengths(plan.requests, plan.prompt_tokens, random)) {
        workload.tasks.push_back({arrival_s, {random.words(length)}});
        // Gaps between the arrivals of a Poisson process are exponential.
        if (plan.kind == WorkloadKind::kPoisson)
          arrival_s += -std::log1p(-random.fraction()) / plan.rate_per_s;
      }
      break;
    }
    case WorkloadKind::kSharedPrefix: {
      const std::string shared = random.words(plan.shared_tokens) + "\n\n";
      workload.lead.push_back({0.0, {shared + random.words(plan.prompt_tokens)}});
      for (std::int32_t i = 0; i < plan.requests; ++i)
        workload.tasks.push_back({0.0, {shared + random.words(plan.prompt_tokens)}});
      break;
    }
    case WorkloadKind::kRepeating:
      for (std::int32_t i = 0; i < plan.requests; ++i) {
        const std::string passage = random.words(std::max(1, plan.prompt_tokens / kRepetitions));
        std::string text = passage;
        for (std::int32_t again = 1; again < kRepetitions; ++again) text += ' ' + passage;
        workload.tasks.push_back({0.0, {std::move(text)}});
      }
      break;
    case WorkloadKind::kMultiTurn:
      for (std::int32_t i = 0; i < plan.requests; ++i) {
        WorkloadTask& task = workload.tasks.emplace_back();
        for (std::int32_t turn = 0; turn < plan.turns; ++turn)
          task.texts.push_back(random.words(plan.prompt_tokens));
      }
      break;
  }
  return workload;
}

std::int64_t longest_sequence_tokens(const WorkloadPlan& plan) {
  const std::int64_t request = std::int64_t{plan.prompt_tokens} + plan.tokens;
  switch (plan.kind) {
    case WorkloadKind::kClosed:
    case WorkloadKind::kPoisson:
    case WorkloadKind::kRepeating:
      return request;
    case WorkloadKind::kSharedPrefix:
      return plan.shared_tokens + request;
    case WorkloadKind::kMultiTurn:
      return plan.turns * request;
  }
  return request;
}

std::string random_words(std::int32_t num_words, std::uint64_t seed) {
  return Random(mixed(seed, 0)).words(num_words);
}

}  // namespace mlxd
