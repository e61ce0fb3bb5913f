#include "engine/sequence.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace mlxd {

Sequence::Sequence(SequenceId id, std::uint64_t arrival, GenerationRequest request, TimePoint submitted_at)
    : id_(id), arrival_(arrival), request_(std::move(request)), submitted_at_(submitted_at) {
  tokens_ = request_.prompt();
  const SamplingParams& sampling = request_.sampling();
  for (const LogitBias& entry : sampling.logit_bias) bias_.push_back({entry.token, entry.bias});
  has_penalties_ = sampling.repetition_penalty != 1.0F || sampling.presence_penalty != 0.0F ||
                   sampling.frequency_penalty != 0.0F;
  if (has_penalties_) {
    for (const TokenId token : tokens_) counts_.add_prompt(token);
  }
}

bool Sequence::start() {
  const auto most = static_cast<std::size_t>(num_prompt_tokens() + request_.max_tokens());
  tokens_.reserve(most);
  pages_.reserve(static_cast<std::size_t>(pages_for_tokens(static_cast<std::int64_t>(most))));
  return !std::exchange(started_, true);
}

bool Sequence::try_take_pages(PagePool& pool, std::int32_t num_tokens) {
  const std::int32_t missing = pages_for_tokens(num_tokens) - static_cast<std::int32_t>(pages_.size());
  return missing <= 0 || pool.try_take(missing, pages_);
}

void Sequence::release_pages(PagePool& pool) {
  // Last page first, so that the pool hands out a sequence's pages again in their old order.
  for (auto page = pages_.rbegin(); page != pages_.rend(); ++page) pool.release(*page);
  pages_.clear();
  num_computed_ = 0;
}

std::int32_t Sequence::advance(std::int32_t count) {
  CHECK(count > 0 && count <= num_remaining());
  const std::int32_t again = std::clamp(most_computed_ - num_computed_, 0, count);
  num_computed_ += count;
  most_computed_ = std::max(most_computed_, num_computed_);
  return again;
}

std::optional<FinishReason> Sequence::append(TokenId token) {
  CHECK(num_remaining() == 0);
  tokens_.push_back(token);
  if (has_penalties_) counts_.add_generated(token);
  const std::vector<TokenId>& stops = request_.stop_tokens();
  if (std::find(stops.begin(), stops.end(), token) != stops.end()) return FinishReason::kStop;
  if (num_generated() >= request_.max_tokens()) return FinishReason::kLength;
  return std::nullopt;
}

SampleSpec Sequence::sample_spec() const {
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
  spec.position = num_tokens();
  spec.counts = counts_.entries();
  spec.bias = bias_;
  spec.logprob = sampling.logprobs;
  spec.top_logprobs = sampling.top_logprobs;
  return spec;
}

}  // namespace mlxd
