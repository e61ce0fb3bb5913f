// A request's state in the engine: its tokens so far, how many of them have K/V, and the pages that hold
// these. Owned by the Engine, ordered about by its Scheduler; all on the engine's thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/draft.h"
#include "engine/kv_cache.h"
#include "engine/step_batch.h"
#include "engine/token_counts.h"
#include "generation/generation_event.h"
#include "generation/generation_request.h"

namespace mlxd {

using SequenceId = std::uint64_t;

class Sequence {
 public:
  /// `arrival` orders sequences: the lower came first.
  Sequence(SequenceId id, std::uint64_t arrival, GenerationRequest request, TimePoint submitted_at);

  SequenceId id() const { return id_; }
  std::uint64_t arrival() const { return arrival_; }
  const GenerationRequest& request() const { return request_; }
  TimePoint submitted_at() const { return submitted_at_; }

  std::int32_t num_tokens() const { return static_cast<std::int32_t>(tokens_.size()); }
  std::int32_t num_prompt_tokens() const { return static_cast<std::int32_t>(request_.prompt().size()); }
  std::int32_t num_generated() const { return num_tokens() - num_prompt_tokens(); }
  /// Tokens whose K/V are in the pages.
  std::int32_t num_computed() const { return num_computed_; }
  /// Tokens to run before the next one can be chosen; 1 while decoding.
  std::int32_t num_remaining() const { return num_tokens() - num_computed_; }
  std::span<const TokenId> tokens() const { return tokens_; }
  /// The pages, and what the cache knows of them.
  const KvCache::Held& held() const { return held_; }
  KvCache::Held& held() { return held_; }

  /// What cached prefixes are kept apart by: the adapter, whose K/V are its own, and the request's salt.
  const std::string& cache_key() const { return cache_key_; }

  /// Whole levels: the priority given, less one for every kSecondsPerLevel waited since submission.
  std::int32_t level(TimePoint now) const;
  static constexpr std::int32_t kSecondsPerLevel = 10;

  /// Leaves the waiting line: makes room for all tokens the request may reach, so that no later step has to,
  /// and takes over what the cache has of them. True the first time.
  bool start(KvCache& cache, const KvCache::Match& match, TimePoint now);
  /// Gives all pages back. What is not found in the cache later is to be computed again.
  void stop(KvCache& cache);
  /// The next `count` tokens now have K/V. Returns how many of them had before, until a preemption.
  std::int32_t advance(KvCache& cache, std::int32_t count);
  /// A token was chosen. Returns why the sequence ends with it, if it does.
  std::optional<FinishReason> append(TokenId token);

  bool started() const { return started_at_.has_value(); }
  /// When it first left the waiting line.
  const std::optional<TimePoint>& started_at() const { return started_at_; }
  /// How the prompt met the cache, once: with the first event.
  std::shared_ptr<const CacheReport> take_cache_report() { return std::move(cache_report_); }

  /// Positions [begin, end), of which each row tells the probability of the prompt's token after it.
  struct ScoreRows {
    std::int32_t begin = 0;
    std::int32_t end = 0;
    std::size_t count() const { return static_cast<std::size_t>(end - begin); }
  };
  /// Rows of the next `count` tokens that are to score the prompt; none twice, whatever is computed again.
  ScoreRows rows_to_score(std::int32_t count) const;
  SampleSpec score_spec(std::int32_t position) const;
  /// What the next of these rows gave.
  void add_score(TokenScore score);
  /// Tokens that may be taken from the cache: none whose row has a score yet to give.
  std::int32_t most_reusable() const;
  /// All scores, once: with the first event. Null if none were asked for.
  std::shared_ptr<const PromptScores> take_prompt_scores() { return std::move(scores_); }

  /// What may come next, to be verified in the step; empty while nobody guesses.
  const Draft& draft() const { return draft_; }
  Draft& draft() { return draft_; }
  /// Tokens that a step may usefully verify beyond the one it chooses in any case.
  std::int32_t most_drafts() const { return std::max(0, request_.max_tokens() - num_generated() - 1); }
  AcceptanceRates& acceptance() { return acceptance_; }
  const AcceptanceRates& acceptance() const { return acceptance_; }

  /// How to choose the token after all tokens and the first `num_drafts` of the draft; to be asked for 0, 1,
  /// … in order. Its spans point into this object and hold until `append`.
  SampleSpec sample_spec(std::int32_t num_drafts = 0);

 private:
  /// Tokens seen once the first `num_drafts` of the draft have come.
  std::span<const TokenCount> counts_after(std::int32_t num_drafts);

  SequenceId id_;
  std::uint64_t arrival_;
  GenerationRequest request_;
  TimePoint submitted_at_;
  std::string cache_key_;
  std::vector<TokenId> tokens_;  // prompt, then generated
  KvCache::Held held_;
  std::int32_t num_computed_ = 0;
  std::int32_t most_computed_ = 0;  // num_computed_ at its highest, before preemptions
  std::optional<TimePoint> started_at_;
  std::shared_ptr<const CacheReport> cache_report_;
  std::int32_t num_score_rows_ = 0;  // 0: the prompt is not scored
  std::int32_t num_scored_ = 0;      // of them, from the first on
  std::shared_ptr<PromptScores> scores_;
  bool has_penalties_ = false;
  TokenCounts counts_;  // kept only if has_penalties_
  std::vector<SampleBias> bias_;
  Draft draft_;
  AcceptanceRates acceptance_{16.0};
  std::vector<std::vector<TokenCount>> draft_counts_;  // [i]: after i + 1 drafts; kept only if has_penalties_
};

}  // namespace mlxd
