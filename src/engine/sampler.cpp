#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "engine/vocabulary_pass.h"

namespace mlxd {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
// Below this a temperature makes no difference that a float logit could show; it keeps 1 / temperature
// finite.
constexpr float kLeastTemperature = 1e-30F;
// How many of the best tokens are tried first for top_p; nearly always enough, and cheap to select.
constexpr std::size_t kFirstNucleus = 256;

std::size_t block_begin(std::size_t block) { return block * kVocabularyBlock; }
std::size_t block_end(std::size_t block, std::size_t size) {
  return std::min(size, block_begin(block) + kVocabularyBlock);
}

// A whole number below `total` (which is positive), uniformly.
std::uint64_t scale_draw(double uniform, std::uint64_t total) {
  return std::min(static_cast<std::uint64_t>(uniform * static_cast<double>(total)), total - 1);
}

void apply_mask(std::span<const std::uint32_t> mask, std::span<float> logits) {
  if (mask.empty()) return;
  for (std::size_t begin = 0; begin < logits.size(); begin += 32) {
    const std::uint32_t allowed = begin / 32 < mask.size() ? mask[begin / 32] : 0;
    if (allowed == ~std::uint32_t{0}) continue;
    const std::size_t count = std::min<std::size_t>(32, logits.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      if (((allowed >> i) & 1U) == 0) logits[begin + i] = kMinusInfinity;
    }
  }
}

}  // namespace

SampledToken Sampler::sample(const SampleSpec& spec, std::span<float> logits,
                             std::vector<TokenLogprob>& top_logprobs) {
  SampledToken result;
  result.first_top_logprob = static_cast<std::int32_t>(top_logprobs.size());
  const bool scores = spec.scored != kNoToken;
  const bool wants_raw = spec.logprob || spec.top_logprobs > 0 || scores;
  RawScale scale;
  if (wants_raw) {
    find_maxima(logits);
    if (largest_logit_ == kMinusInfinity) return result;
    const std::uint64_t total = total_weight(logits, largest_logit_, 1.0F);
    scale = {static_cast<double>(largest_logit_),
             portable_log(static_cast<double>(total) / static_cast<double>(kWeightOne))};
    append_alternatives(logits, scale, static_cast<std::size_t>(std::max(spec.top_logprobs, 0)),
                        top_logprobs);
    result.num_top_logprobs = static_cast<std::int32_t>(top_logprobs.size()) - result.first_top_logprob;
  }
  if (scores) {
    const float logit = logits[static_cast<std::size_t>(spec.scored)];
    result.token = spec.scored;
    result.logprob = std::isnan(logit) ? kMinusInfinity : scale.logprob(logit);
    return result;
  }
  apply_penalties(spec, logits, wants_raw);
  apply_mask(spec.mask, logits);
  find_maxima(logits);
  if (largest_logit_ == kMinusInfinity) return result;
  result.token = spec.temperature > 0.0F ? draw(spec, logits) : largest(logits);
  if (spec.logprob) result.logprob = scale.logprob(raw_logit(logits, result.token));
  return result;
}

void Sampler::find_maxima(std::span<float> logits) {
  maxima_.resize((logits.size() + kVocabularyBlock - 1) / kVocabularyBlock);
  block_maxima(logits, maxima_);
  largest_logit_ = kMinusInfinity;
  for (const float x : maxima_) largest_logit_ = std::max(largest_logit_, x);
  if (largest_logit_ == std::numeric_limits<float>::infinity()) {
    // An infinite logit would make every difference to it NaN; the largest number ranks the same.
    for (float& x : logits) {
      if (x == std::numeric_limits<float>::infinity()) x = std::numeric_limits<float>::max();
    }
    find_maxima(logits);
  }
}

void Sampler::append_alternatives(std::span<const float> logits, const RawScale& scale, std::size_t count,
                                  std::vector<TokenLogprob>& top_logprobs) {
  if (count == 0) return;
  select_best(logits, count);
  std::sort(candidates_.begin(), candidates_.end(), ranks_before);
  for (const Candidate& candidate : candidates_)
    top_logprobs.push_back({candidate.token, scale.logprob(candidate.logit)});
}

void Sampler::apply_penalties(const SampleSpec& spec, std::span<float> logits, bool keep_raw) {
  raw_.clear();
  const auto touch = [&](TokenId token) -> float* {
    if (token < 0 || static_cast<std::size_t>(token) >= logits.size()) return nullptr;
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = std::min(logit, std::numeric_limits<float>::max());  // as find_maxima does, also if it came first
    if (keep_raw) raw_.push_back({token, logit});
    return &logit;
  };
  for (const TokenCount& count : spec.counts) {
    float* logit = touch(count.token);
    if (logit == nullptr) continue;
    if (count.generated > 0 || count.in_prompt)
      *logit = *logit > 0.0F ? *logit / spec.repetition_penalty : *logit * spec.repetition_penalty;
    if (count.generated > 0)
      *logit -= spec.presence_penalty + spec.frequency_penalty * static_cast<float>(count.generated);
  }
  for (const SampleBias& bias : spec.bias) {
    if (float* logit = touch(bias.token)) *logit += bias.bias;
  }
}

// The logit of `token` before penalties and bias: what was kept at the first touch, else what still stands
// there.
float Sampler::raw_logit(std::span<const float> logits, TokenId token) const {
  const auto kept =
      std::find_if(raw_.begin(), raw_.end(), [&](const TokenLogprob& r) { return r.token == token; });
  return kept != raw_.end() ? kept->logprob : logits[static_cast<std::size_t>(token)];
}

TokenId Sampler::largest(std::span<const float> logits) const {
  const auto block =
      static_cast<std::size_t>(std::find(maxima_.begin(), maxima_.end(), largest_logit_) - maxima_.begin());
  const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(block_begin(block));
  return static_cast<TokenId>(std::find(begin, logits.end(), largest_logit_) - logits.begin());
}

TokenId Sampler::draw(const SampleSpec& spec, std::span<const float> logits) {
  const float inverse_temperature = 1.0F / std::max(spec.temperature, kLeastTemperature);
  const double uniform = uniform_draw(spec.seed, spec.choice, static_cast<std::uint32_t>(spec.position));
  const auto top_k = static_cast<std::size_t>(std::max(spec.top_k, 0));
  const bool limited = top_k > 0 && top_k < logits.size();
  if (!limited && spec.top_p >= 1.0F && spec.min_p <= 0.0F)
    return draw_unfiltered(logits, inverse_temperature, uniform);

  Candidate last{kMinusInfinity, std::numeric_limits<TokenId>::max(), 0};
  if (limited) {
    select_best(logits, top_k);
    last = *std::max_element(candidates_.begin(), candidates_.end(), ranks_before);
  }
  if (spec.top_p < 1.0F)
    last = nucleus_end(logits, static_cast<double>(spec.top_p), limited ? top_k : logits.size(),
                       inverse_temperature);
  if (spec.min_p > 0.0F) {
    // A first, generous cut by logit; the exact one is by weight below.
    const double least =
        static_cast<double>(largest_logit_) +
        1.001 * portable_log(static_cast<double>(spec.min_p)) / static_cast<double>(inverse_temperature) -
        1e-3;
    if (least > static_cast<double>(last.logit))
      last = {static_cast<float>(least), std::numeric_limits<TokenId>::max(), 0};
  }
  gather_through(logits, last);
  weigh_candidates(inverse_temperature);
  if (spec.min_p > 0.0F) {
    const auto least =
        static_cast<std::uint64_t>(static_cast<double>(spec.min_p) * static_cast<double>(kWeightOne));
    std::erase_if(candidates_, [least](const Candidate& c) { return c.weight < least; });
  }
  return draw_candidate(uniform);
}

// The same as gathering every token and drawing among them, by way of the blocks' sums.
TokenId Sampler::draw_unfiltered(std::span<const float> logits, float inverse_temperature, double uniform) {
  weights_.resize(maxima_.size());
  for (std::size_t block = 0; block < maxima_.size(); ++block) {
    const std::size_t begin = block_begin(block);
    weights_[block] = total_weight(logits.subspan(begin, block_end(block, logits.size()) - begin),
                                   largest_logit_, inverse_temperature);
  }
  const std::uint64_t total = std::accumulate(weights_.begin(), weights_.end(), std::uint64_t{0});
  std::uint64_t rest = scale_draw(uniform, total);
  std::size_t block = 0;
  while (rest >= weights_[block]) rest -= weights_[block++];

  std::array<std::uint64_t, kVocabularyBlock> weights{};
  const std::size_t begin = block_begin(block);
  const std::size_t count = block_end(block, logits.size()) - begin;
  token_weights(logits.subspan(begin, count), largest_logit_, inverse_temperature,
                std::span(weights).first(count));
  std::size_t i = 0;
  while (rest >= weights[i]) rest -= weights[i++];
  return static_cast<TokenId>(begin + i);
}

TokenId Sampler::draw_candidate(double uniform) const {
  std::uint64_t total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  CHECK(total > 0);  // the best token survives every filter and weighs kWeightOne
  std::uint64_t rest = scale_draw(uniform, total);
  std::size_t i = 0;
  while (rest >= candidates_[i].weight) rest -= candidates_[i++].weight;
  return candidates_[i].token;
}

// candidates_ = the first `count` tokens in rank (fewer if fewer are above -infinity), in any order.
void Sampler::select_best(std::span<const float> logits, std::size_t count) {
  candidates_.clear();
  float threshold = kMinusInfinity;  // of the worst of the best `count` so far; later equals rank after it
  const auto keep_best = [&] {
    const auto nth = candidates_.begin() + static_cast<std::ptrdiff_t>(count) - 1;
    std::nth_element(candidates_.begin(), nth, candidates_.end(), ranks_before);
    threshold = nth->logit;
    candidates_.resize(count);
  };
  for (std::size_t block = 0; block < maxima_.size(); ++block) {
    if (!(maxima_[block] > threshold)) continue;
    const std::size_t end = block_end(block, logits.size());
    for (std::size_t i = block_begin(block); i < end; ++i) {
      if (!(logits[i] > threshold)) continue;
      candidates_.push_back({logits[i], static_cast<TokenId>(i), 0});
      if (candidates_.size() == 2 * count) keep_best();
    }
  }
  if (candidates_.size() > count) keep_best();
}

void Sampler::weigh_candidates(float inverse_temperature) {
  std::array<float, kVocabularyBlock> logits;
  std::array<std::uint64_t, kVocabularyBlock> weights;
  for (std::size_t begin = 0; begin < candidates_.size(); begin += kVocabularyBlock) {
    const std::size_t count = std::min(kVocabularyBlock, candidates_.size() - begin);
    for (std::size_t i = 0; i < count; ++i) logits[i] = candidates_[begin + i].logit;
    token_weights(std::span(logits).first(count), largest_logit_, inverse_temperature,
                  std::span(weights).first(count));
    for (std::size_t i = 0; i < count; ++i) candidates_[begin + i].weight = weights[i];
  }
}

// The last token of the shortest run of best tokens that holds `top_p` of the weight. If fewer than all
// tokens are `available`, candidates_ holds those on entry.
Sampler::Candidate Sampler::nucleus_end(std::span<const float> logits, double top_p, std::size_t available,
                                        float inverse_temperature) {
  const auto mass = [this] {
    std::uint64_t sum = 0;
    for (const Candidate& candidate : candidates_) sum += candidate.weight;
    return sum;
  };
  const bool limited = available < logits.size();
  if (limited) weigh_candidates(inverse_temperature);
  const std::uint64_t total = limited ? mass() : total_weight(logits, largest_logit_, inverse_temperature);
  auto target = static_cast<std::uint64_t>(std::ceil(top_p * static_cast<double>(total)));
  target = std::clamp<std::uint64_t>(target, 1, total);
  if (!limited) {
    select_best(logits, kFirstNucleus);
    weigh_candidates(inverse_temperature);
    if (mass() < target) target = gather_nucleus_bin(logits, target, inverse_temperature);
  }
  // Halve the range that holds the end, keeping only the half in which the mass is reached: linear in all.
  std::size_t begin = 0;
  std::size_t end = candidates_.size();
  while (end - begin > 1) {
    const std::size_t middle = begin + (end - begin) / 2;
    const auto at = [this](std::size_t i) { return candidates_.begin() + static_cast<std::ptrdiff_t>(i); };
    std::nth_element(at(begin), at(middle), at(end), ranks_before);
    std::uint64_t better = 0;
    for (std::size_t i = begin; i < middle; ++i) better += candidates_[i].weight;
    if (better >= target) {
      end = middle;
    } else {
      target -= better;
      begin = middle;
    }
  }
  return candidates_[begin];
}

// Sorts all tokens that weigh anything into bins by logit. candidates_ = the bin in which the mass, counted
// from the best token, reaches `target`; returns what of `target` is left when the bin begins.
std::uint64_t Sampler::gather_nucleus_bin(std::span<const float> logits, std::uint64_t target,
                                          float inverse_temperature) {
  constexpr std::size_t kBins = 1024;
  constexpr float kDepth = 32.0F;  // in units of the temperature; what lies deeper weighs nothing
  const auto bin_of = [&](float logit) {
    // Every operation is monotonic, so a better token never lies in a later bin.
    const float depth = (largest_logit_ - logit) * inverse_temperature;
    return depth < kDepth ? static_cast<std::size_t>(depth * (static_cast<float>(kBins) / kDepth)) : kBins;
  };
  std::array<std::uint64_t, kBins> masses{};
  std::array<std::uint64_t, kVocabularyBlock> weights{};
  for (std::size_t begin = 0; begin < logits.size(); begin += kVocabularyBlock) {
    const auto block = logits.subspan(begin, std::min(kVocabularyBlock, logits.size() - begin));
    token_weights(block, largest_logit_, inverse_temperature, std::span(weights).first(block.size()));
    for (std::size_t i = 0; i < block.size(); ++i) {
      if (weights[i] > 0) masses[bin_of(block[i])] += weights[i];
    }
  }
  std::size_t bin = 0;
  while (masses[bin] < target) target -= masses[bin++];
  candidates_.clear();
  for (std::size_t block = 0; block < maxima_.size(); ++block) {
    if (bin_of(maxima_[block]) > bin) continue;
    const std::size_t end = block_end(block, logits.size());
    for (std::size_t i = block_begin(block); i < end; ++i) {
      if (bin_of(logits[i]) == bin) candidates_.push_back({logits[i], static_cast<TokenId>(i), 0});
    }
  }
  weigh_candidates(inverse_temperature);
  return target;
}

// candidates_ = all tokens that do not rank after `last`, in order of id.
void Sampler::gather_through(std::span<const float> logits, const Candidate& last) {
  candidates_.clear();
  for (std::size_t block = 0; block < maxima_.size(); ++block) {
    if (!(maxima_[block] >= last.logit)) continue;
    const std::size_t end = block_end(block, logits.size());
    for (std::size_t i = block_begin(block); i < end; ++i) {
      const auto token = static_cast<TokenId>(i);
      if (logits[i] > last.logit || (logits[i] == last.logit && token <= last.token))
        candidates_.push_back({logits[i], token, 0});
    }
  }
}

}  // namespace mlxd
