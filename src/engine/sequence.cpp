#include "engine/sequence.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace mlxd {
namespace {

// Of one length for every adapter, so that no salt can spell another adapter's key.
std::string make_cache_key(AdapterId adapter, const std::string& salt) {
  std::string key;
  for (int shift = 0; shift < 64; shift += 8) key += static_cast<char>((adapter >> shift) & 0xFFU);
  return key + salt;
}

}  // namespace

Sequence::Sequence(SequenceId id, std::uint64_t arrival, GenerationRequest request, TimePoint submitted_at)
    : id_(id), arrival_(arrival), request_(std::move(request)), submitted_at_(submitted_at) {
  tokens_ = request_.prompt();
  cache_key_ = make_cache_key(request_.adapter(), request_.cache_salt());
  const SamplingParams& sampling = request_.sampling();
  for (const LogitBias& entry : sampling.logit_bias) bias_.push_back({entry.token, entry.bias});
  has_penalties_ = sampling.repetition_penalty != 1.0F || sampling.presence_penalty != 0.0F ||
                   sampling.frequency_penalty != 0.0F;
  if (has_penalties_) {
    for (const TokenId token : tokens_) counts_.add_prompt(token);
  }
  if (request_.scores_prompt()) {
    num_score_rows_ = num_tokens() - 1;
    scores_ = std::make_shared<PromptScores>();
    scores_->reserve(static_cast<std::size_t>(num_score_rows_));
  }
}

std::int32_t Sequence::level(TimePoint now) const {
  const auto waited = std::chrono::duration_cast<std::chrono::seconds>(now - submitted_at_).count();
  const auto risen = static_cast<std::int64_t>(request_.priority()) - waited / kSecondsPerLevel;
  return static_cast<std::int32_t>(std::max<std::int64_t>(risen, 0));
}

bool Sequence::start(KvCache& cache, const KvCache::Match& match, TimePoint now) {
  const bool first = !started();
  if (first) {
    started_at_ = now;
    auto report = std::make_shared<CacheReport>();
    if (request_.explain_cache() && !request_.scores_prompt())
      *report = cache.explain(tokens_, cache_key_, request_.client());
    if (request_.scores_prompt()) report->outcome = CacheOutcome::kNotUsed;
    report->explained = request_.explain_cache();
    const auto most = static_cast<std::size_t>(num_prompt_tokens() + request_.max_tokens());
    tokens_.reserve(most);
    for (std::size_t group = 0; group < cache.num_groups(); ++group)
      held_.tables[group].reserve(
          static_cast<std::size_t>(pages_for_tokens(static_cast<std::int64_t>(most))));
    num_computed_ = cache.open(held_, match, cache_key_);
    report->cached_tokens = num_computed_;
    cache_report_ = std::move(report);
  } else {
    num_computed_ = cache.open(held_, match, cache_key_);
  }
  return first;
}

void Sequence::stop(KvCache& cache) {
  cache.close(held_, tokens_, num_computed_, request_.client());
  num_computed_ = 0;
  draft_.clear();
}

std::int32_t Sequence::advance(KvCache& cache, std::int32_t count) {
  CHECK(count > 0 && count <= num_remaining());
  const std::int32_t again = std::clamp(most_computed_ - num_computed_, 0, count);
  const bool ends_prompt =
      num_computed_ < num_prompt_tokens() && num_computed_ + count >= num_prompt_tokens();
  num_computed_ += count;
  most_computed_ = std::max(most_computed_, num_computed_);
  if (ends_prompt)
    cache.commit_tail(held_, tokens_, num_computed_, request_.client());
  else
    cache.commit(held_, tokens_, num_computed_, request_.client());
  return again;
}

std::optional<FinishReason> Sequence::append(TokenId token) {
  CHECK(num_remaining() == 0);
  tokens_.push_back(token);
  if (has_penalties_) counts_.add_generated(token);
  if (TokenConstraint* const constraint = request_.constraint()) constraint->advance(token);
  const std::vector<TokenId>& stops = request_.stop_tokens();
  if (std::find(stops.begin(), stops.end(), token) != stops.end()) return FinishReason::kStop;
  if (num_generated() >= request_.max_tokens()) return FinishReason::kLength;
  return std::nullopt;
}

Sequence::ScoreRows Sequence::rows_to_score(std::int32_t count) const {
  ScoreRows rows{std::max(num_computed_, num_scored_), std::min(num_computed_ + count, num_score_rows_)};
  rows.end = std::max(rows.begin, rows.end);
  return rows;
}

SampleSpec Sequence::score_spec(std::int32_t position) const {
  SampleSpec spec;
  spec.logprob = true;
  spec.top_logprobs = request_.sampling().top_logprobs;
  spec.scored = tokens_[static_cast<std::size_t>(position) + 1];
  return spec;
}

void Sequence::add_score(TokenScore score) {
  CHECK(num_scored_ < num_score_rows_);
  ++num_scored_;
  scores_->push_back(std::move(score));
}

std::int32_t Sequence::most_reusable() const {
  return num_scored_ < num_score_rows_ ? num_scored_ : std::numeric_limits<std::int32_t>::max();
}

std::span<const TokenCount> Sequence::counts_after(std::int32_t num_drafts) {
  if (!has_penalties_ || num_drafts == 0) return counts_.entries();
  const auto index = static_cast<std::size_t>(num_drafts) - 1;
  if (draft_counts_.size() <= index) draft_counts_.resize(index + 1);
  const std::span<const TokenCount> before = index == 0 ? counts_.entries() : draft_counts_[index - 1];
  std::vector<TokenCount>& counts = draft_counts_[index];
  counts.assign(before.begin(), before.end());
  const TokenId token = draft_.tokens[index].token;
  const auto known = std::find_if(counts.begin(), counts.end(),
                                  [token](const TokenCount& count) { return count.token == token; });
  if (known != counts.end())
    ++known->generated;
  else
    counts.push_back({.token = token, .generated = 1});
  return counts;
}

SampleSpec Sequence::sample_spec(std::int32_t num_drafts) {
  const SamplingParams& sampling = request_.sampling();
  SampleSpec spec;
  spec.temperature = sampling.temperature;
  spec.top_p = sampling.top_p;
  spec.min_p = sampling.min_p;
  spec.top_k = sampling.top_k;
  spec.repetition_penalty = sampling.repetition_penalty;
  spec.presence_penalty = sampling.presence_penalty;
  spec.frequency_penalty = sampling.frequency_penalty;
  spec.seed = request_.seed();
  spec.position = num_tokens() + num_drafts;
  spec.counts = counts_after(num_drafts);
  spec.bias = bias_;
  if (const TokenConstraint* const constraint = request_.constraint())
    spec.mask = constraint->mask(static_cast<std::size_t>(num_drafts));
  spec.logprob = sampling.logprobs;
  spec.top_logprobs = sampling.top_logprobs;
  return spec;
}

}  // namespace mlxd
