#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "engine/philox.h"
#include "engine/vocabulary_pass.h"

namespace mlxd {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Outcome {
  SampledToken sampled;
  std::vector<TokenLogprob> top;
};

Outcome sample(const SampleSpec& spec, std::vector<float> logits) {
  Sampler sampler;
  Outcome outcome;
  outcome.sampled = sampler.sample(spec, logits, outcome.top);
  return outcome;
}

// Sampling as its definition reads: sort the whole vocabulary, cut, draw. Shares only the weight of one
// token.
Outcome sample_plainly(const SampleSpec& spec, std::vector<float> logits) {
  const auto weight = [](float logit, float largest, float inverse_temperature) {
    std::uint64_t result = 0;
    token_weights({&logit, 1}, largest, inverse_temperature, {&result, 1});
    return result;
  };
  const auto ranking = [](const std::vector<float>& values) {
    std::vector<TokenId> order;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] > -kInfinity) order.push_back(static_cast<TokenId>(i));
    }
    std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
      return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)];
    });
    return order;
  };
  const auto at = [](const std::vector<float>& values, TokenId t) {
    return values[static_cast<std::size_t>(t)];
  };

  Outcome outcome;
  for (float& x : logits) {
    if (x == kInfinity) x = std::numeric_limits<float>::max();
  }
  const std::vector<float> raw = logits;
  const std::vector<TokenId> raw_order = ranking(raw);
  if (raw_order.empty()) return outcome;
  double total = 0.0;
  for (const TokenId t : raw_order)
    total += std::exp(static_cast<double>(at(raw, t)) - static_cast<double>(at(raw, raw_order[0])));
  const auto logprob = [&](TokenId t) {
    return static_cast<float>(static_cast<double>(at(raw, t)) - static_cast<double>(at(raw, raw_order[0])) -
                              std::log(total));
  };
  for (std::size_t i = 0;
       i < std::min<std::size_t>(static_cast<std::size_t>(spec.top_logprobs), raw_order.size()); ++i)
    outcome.top.push_back({raw_order[i], logprob(raw_order[i])});

  for (const TokenCount& count : spec.counts) {
    float& x = logits[static_cast<std::size_t>(count.token)];
    x = x > 0.0F ? x / spec.repetition_penalty : x * spec.repetition_penalty;
    if (count.generated > 0)
      x -= spec.presence_penalty + spec.frequency_penalty * static_cast<float>(count.generated);
  }
  for (const SampleBias& bias : spec.bias) logits[static_cast<std::size_t>(bias.token)] += bias.bias;
  for (std::size_t i = 0; i < logits.size() && !spec.mask.empty(); ++i) {
    if (((spec.mask[i / 32] >> (i % 32)) & 1U) == 0) logits[i] = -kInfinity;
  }
  for (float& x : logits) x = x == kInfinity ? std::numeric_limits<float>::max() : x;
  std::vector<TokenId> order = ranking(logits);
  if (order.empty()) return outcome;
  outcome.sampled.token = order[0];
  if (spec.temperature > 0.0F) {
    const float inverse = 1.0F / std::max(spec.temperature, 1e-30F);
    const float largest = at(logits, order[0]);
    if (spec.top_k > 0 && static_cast<std::size_t>(spec.top_k) < order.size())
      order.resize(static_cast<std::size_t>(spec.top_k));
    std::vector<std::uint64_t> weights(logits.size(), 0);
    std::uint64_t sum = 0;
    for (const TokenId t : order) {
      weights[static_cast<std::size_t>(t)] = weight(at(logits, t), largest, inverse);
      sum += weights[static_cast<std::size_t>(t)];
    }
    if (spec.top_p < 1.0F) {
      const auto target =
          static_cast<std::uint64_t>(std::ceil(static_cast<double>(spec.top_p) * static_cast<double>(sum)));
      std::uint64_t mass = 0;
      std::size_t kept = 0;
      while (kept < order.size() && (kept == 0 || mass < target))
        mass += weights[static_cast<std::size_t>(order[kept++])];
      order.resize(kept);
    }
    std::erase_if(order, [&](TokenId t) {
      return weights[static_cast<std::size_t>(t)] <
             static_cast<std::uint64_t>(static_cast<double>(spec.min_p) * static_cast<double>(kWeightOne));
    });
    std::sort(order.begin(), order.end());
    std::uint64_t survivors = 0;
    for (const TokenId t : order) survivors += weights[static_cast<std::size_t>(t)];
    const double uniform = uniform_draw(spec.seed, spec.choice, static_cast<std::uint32_t>(spec.position));
    std::uint64_t rest =
        std::min(static_cast<std::uint64_t>(uniform * static_cast<double>(survivors)), survivors - 1);
    std::size_t i = 0;
    while (rest >= weights[static_cast<std::size_t>(order[i])])
      rest -= weights[static_cast<std::size_t>(order[i++])];
    outcome.sampled.token = order[i];
  }
  outcome.sampled.logprob = logprob(outcome.sampled.token);
  return outcome;
}

TEST(Sampler, a_scored_token_is_told_and_not_chosen) {
  const std::vector<float> logits{1.0F, 3.0F, kNan, -kInfinity, 2.0F, -1.0F};
  const std::vector<TokenCount> counts{{0, 3, true}, {4, 1, true}};
  const std::vector<SampleBias> bias{{0, 50.0F}};
  const std::vector<std::uint32_t> mask{0b000010};
  for (TokenId token = 0; token < 6; ++token) {
    // As if it had been chosen.
    const std::vector<SampleBias> choosing{{token, 100.0F}};
    SampleSpec chosen{.bias = choosing, .logprob = true, .top_logprobs = 2};
    const Outcome expected = sample(chosen, logits);
    SampleSpec spec{.temperature = 1.0F,
                    .top_k = 1,
                    .repetition_penalty = 1.5F,
                    .presence_penalty = 1.0F,
                    .counts = counts,
                    .bias = bias,
                    .mask = mask,
                    .logprob = true,
                    .top_logprobs = 2,
                    .scored = token};
    const Outcome outcome = sample(spec, logits);
    EXPECT_EQ(outcome.sampled.token, token);
    EXPECT_EQ(outcome.top, expected.top);
    if (token == 2 || token == 3) {
      EXPECT_EQ(outcome.sampled.logprob, -kInfinity);
    } else {
      EXPECT_EQ(expected.sampled.token, token);
      EXPECT_EQ(outcome.sampled.logprob, expected.sampled.logprob);
    }
  }
  const SampleSpec spec{.logprob = true, .scored = 1};
  EXPECT_EQ(sample(spec, {kNan, -kInfinity}).sampled.token, kNoToken);
  EXPECT_EQ(sample(spec, {0.0F, kInfinity}).sampled.logprob, 0.0F);
}

TEST(Sampler, equals_the_plain_definition_over_random_cases) {
  std::mt19937 random(20261123);
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  const auto chance = [&](double p) { return uniform(0.0, 1.0) < p; };
  for (int round = 0; round < 3000; ++round) {
    const std::array<std::size_t, 8> sizes{1, 2, 31, 64, 97, 320, 1000, 6000};
    const std::size_t vocab = sizes[below(round % 50 == 0 ? 8 : 7)];
    std::vector<float> logits(vocab);
    const double spread = std::array<double, 4>{0.0, 0.3, 3.0, 30.0}[below(4)];
    for (float& x : logits)
      x = static_cast<float>(std::normal_distribution<double>(0.0, 1.0)(random) * spread);
    if (chance(0.3)) {  // many ties
      for (float& x : logits) x = std::round(x);
    }
    if (chance(0.2)) {
      for (std::size_t i = 0; i < 1 + vocab / 10; ++i)
        logits[below(vocab)] = std::array<float, 5>{kNan, -kInfinity, kInfinity, 3e38F, -3e38F}[below(5)];
    }
    SampleSpec spec;
    spec.temperature = std::array<float, 6>{0.0F, 0.1F, 0.7F, 1.0F, 2.0F, 1e-20F}[below(6)];
    spec.seed = random();
    spec.choice = static_cast<std::uint32_t>(below(3));
    spec.position = static_cast<std::int32_t>(below(5000));
    if (chance(0.4)) spec.top_k = static_cast<std::int32_t>(1 + below(2 * vocab));
    if (chance(0.4)) spec.top_p = chance(0.1) ? 0.0F : static_cast<float>(uniform(0.001, 1.0));
    if (chance(0.3)) spec.min_p = chance(0.1) ? 1.0F : static_cast<float>(uniform(0.0, 0.5));
    if (chance(0.5)) spec.logprob = true;
    if (chance(0.3)) spec.top_logprobs = static_cast<std::int32_t>(below(21));
    std::vector<TokenCount> counts;
    if (chance(0.3)) {
      spec.repetition_penalty = static_cast<float>(uniform(0.5, 1.9));
      spec.presence_penalty = static_cast<float>(uniform(-2.0, 2.0));
      spec.frequency_penalty = static_cast<float>(uniform(-2.0, 2.0));
      for (std::size_t t = 0; t < vocab; t += 1 + below(5)) {
        const bool in_prompt = chance(0.5);
        counts.push_back(
            {static_cast<TokenId>(t), static_cast<std::int32_t>(below(4)) + (in_prompt ? 0 : 1), in_prompt});
      }
      spec.counts = counts;
    }
    std::vector<SampleBias> bias;
    if (chance(0.3)) {
      for (int i = 0; i < 3; ++i)
        bias.push_back({static_cast<TokenId>(below(vocab)), static_cast<float>(uniform(-100.0, 100.0))});
      spec.bias = bias;
    }
    std::vector<std::uint32_t> mask;
    if (chance(0.2)) {
      for (std::size_t i = 0; i < (vocab + 31) / 32; ++i)
        mask.push_back(std::array<std::uint32_t, 3>{0, ~std::uint32_t{0},
                                                    static_cast<std::uint32_t>(random())}[below(3)]);
      spec.mask = mask;
    }
    const Outcome got = sample(spec, logits);
    const Outcome expected = sample_plainly(spec, logits);
    const std::string where = "round " + std::to_string(round) + " vocabulary " + std::to_string(vocab);
    ASSERT_EQ(got.sampled.token, expected.sampled.token) << where;
    ASSERT_EQ(got.top.size(), expected.top.size()) << where;
    ASSERT_EQ(got.sampled.num_top_logprobs, static_cast<std::int32_t>(got.top.size()));
    for (std::size_t i = 0; i < got.top.size(); ++i) {
      ASSERT_EQ(got.top[i].token, expected.top[i].token) << where;
      ASSERT_NEAR(got.top[i].logprob, expected.top[i].logprob,
                  2e-6 + 2e-7 * std::abs(expected.top[i].logprob))
          << where;
    }
    if (spec.logprob && got.sampled.token != kNoToken) {
      ASSERT_NEAR(got.sampled.logprob, expected.sampled.logprob,
                  2e-6 + 2e-7 * std::abs(expected.sampled.logprob))
          << where;
    }
  }
}

TEST(Sampler, greedy_takes_the_lowest_id_of_equal_logits) {
  for (const std::size_t first : {0U, 5U, 63U, 64U, 150U}) {
    std::vector<float> logits(200, -1.0F);
    for (const std::size_t tie : {first, std::size_t{170}, std::size_t{199}}) logits[tie] = 2.5F;
    EXPECT_EQ(sample({}, logits).sampled.token, static_cast<TokenId>(first));
  }
}

TEST(Sampler, never_chooses_what_is_not_a_number) {
  std::vector<float> logits(100, kNan);
  EXPECT_EQ(sample({}, logits).sampled.token, kNoToken);
  SampleSpec drawn;
  drawn.temperature = 1.0F;
  drawn.logprob = true;
  drawn.top_logprobs = 5;
  const Outcome nothing = sample(drawn, logits);
  EXPECT_EQ(nothing.sampled.token, kNoToken);
  EXPECT_TRUE(nothing.top.empty());
  logits[42] = -1e30F;
  EXPECT_EQ(sample({}, logits).sampled.token, 42);
  EXPECT_EQ(sample(drawn, logits).sampled.token, 42);
  EXPECT_EQ(sample(drawn, logits).sampled.logprob, 0.0F);
}

TEST(Sampler, a_mask_that_allows_nothing_gives_no_token) {
  const std::vector<std::uint32_t> none(4, 0);
  SampleSpec spec;
  spec.mask = none;
  EXPECT_EQ(sample(spec, std::vector<float>(100, 1.0F)).sampled.token, kNoToken);
  spec.temperature = 1.0F;
  EXPECT_EQ(sample(spec, std::vector<float>(100, 1.0F)).sampled.token, kNoToken);
}

TEST(Sampler, logprobs_are_of_the_models_own_distribution) {
  // p = 0.5, 0.25, 0.25; the bias forces token 2, a temperature bends the draw.
  const std::vector<float> logits{std::log(0.5F), std::log(0.25F), std::log(0.25F)};
  const std::vector<SampleBias> bias{{2, 50.0F}};
  SampleSpec spec;
  spec.temperature = 0.3F;
  spec.bias = bias;
  spec.logprob = true;
  spec.top_logprobs = 3;
  const Outcome outcome = sample(spec, logits);
  EXPECT_EQ(outcome.sampled.token, 2);
  EXPECT_NEAR(outcome.sampled.logprob, std::log(0.25), 1e-6);
  ASSERT_EQ(outcome.top.size(), 3U);
  EXPECT_EQ(outcome.top[0].token, 0);
  EXPECT_NEAR(outcome.top[0].logprob, std::log(0.5), 1e-6);
  EXPECT_EQ(outcome.top[1].token, 1);  // the lower id first on a tie
  EXPECT_EQ(outcome.top[2].token, 2);
}

TEST(Sampler, draws_follow_the_distribution) {
  const std::vector<float> logits{0.0F, 1.0F, 2.0F, -1.0F, 0.5F};
  SampleSpec spec;
  spec.temperature = 0.8F;
  spec.seed = 99;
  std::array<double, 5> expected{};
  double total = 0.0;
  for (std::size_t i = 0; i < 5; ++i) total += expected[i] = std::exp(static_cast<double>(logits[i]) / 0.8);
  constexpr int kDraws = 100000;
  std::array<int, 5> seen{};
  Sampler sampler;
  std::vector<TokenLogprob> top;
  for (spec.position = 0; spec.position < kDraws; ++spec.position) {
    std::vector<float> copy = logits;
    ++seen[static_cast<std::size_t>(sampler.sample(spec, copy, top).token)];
  }
  double chi_squared = 0.0;
  for (std::size_t i = 0; i < 5; ++i) {
    const double mean = expected[i] / total * kDraws;
    chi_squared += (seen[i] - mean) * (seen[i] - mean) / mean;
  }
  EXPECT_LT(chi_squared, 18.5);  // 4 degrees of freedom, p = 0.001
}

TEST(Sampler, one_sampler_gives_what_a_fresh_one_gives) {
  Sampler used;
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0.0F, 4.0F);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> logits(static_cast<std::size_t>(1 + round * 7));
    for (float& x : logits) x = normal(random);
    SampleSpec spec;
    spec.temperature = 1.0F;
    spec.top_p = round % 2 == 0 ? 0.9F : 1.0F;
    spec.top_k = round % 3 == 0 ? 20 : 0;
    spec.seed = random();
    const TokenId fresh = sample(spec, logits).sampled.token;
    std::vector<TokenLogprob> top;
    EXPECT_EQ(used.sample(spec, logits, top).token, fresh);
  }
}

// Known answers of the authors' Random123 distribution.
TEST(Philox, gives_the_known_answers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}),
            (std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<std::uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, draws_lie_in_the_unit_interval_and_differ_by_every_argument) {
  double sum = 0.0;
  for (std::uint32_t position = 0; position < 20000; ++position) {
    const double u = uniform_draw(1, 0, position);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  EXPECT_NEAR(sum / 20000, 0.5, 0.01);
  const double base = uniform_draw(1, 2, 3);
  EXPECT_EQ(base, uniform_draw(1, 2, 3));
  EXPECT_NE(base, uniform_draw(2, 2, 3));
  EXPECT_NE(base, uniform_draw(1ULL << 40U, 2, 3));
  EXPECT_NE(base, uniform_draw(1, 3, 3));
  EXPECT_NE(base, uniform_draw(1, 2, 4));
}

}  // namespace
}  // namespace mlxd
