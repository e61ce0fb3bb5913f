#include "engine/vocabulary_pass.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace mlxd {
namespace {

std::uint64_t weight(float logit, float largest, float inverse_temperature) {
  std::uint64_t result = 0;
  token_weights({&logit, 1}, largest, inverse_temperature, {&result, 1});
  return result;
}

TEST(VocabularyPass, weights_are_the_exponential_in_fixed_point) {
  for (double x = 0.0; x > -35.0; x -= 0.0137) {
    const auto logit = static_cast<float>(x);
    const double expected = std::exp(static_cast<double>(logit)) * static_cast<double>(kWeightOne);
    EXPECT_NEAR(static_cast<double>(weight(logit, 0.0F, 1.0F)), expected, 1.0 + expected * 3e-7) << logit;
  }
}

TEST(VocabularyPass, the_best_token_weighs_one_at_every_temperature) {
  for (const float inverse : {0.5F, 1.0F, 1e10F, 1e30F}) {
    EXPECT_EQ(weight(7.5F, 7.5F, inverse), kWeightOne);
    EXPECT_EQ(weight(std::numeric_limits<float>::max(), std::numeric_limits<float>::max(), inverse),
              kWeightOne);
  }
}

TEST(VocabularyPass, what_is_no_probability_weighs_nothing) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float logit : {-infinity, std::numeric_limits<float>::quiet_NaN(), -1e30F,
                            -std::numeric_limits<float>::max(), 7.5F - 64.0F})
    EXPECT_EQ(weight(logit, 7.5F, 1.0F), 0U) << logit;
}

TEST(VocabularyPass, passes_agree_whatever_the_length) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0F, 6.0F);
  for (const std::size_t size : {1U, 15U, 16U, 63U, 64U, 65U, 200U, 1000U}) {
    std::vector<float> logits(size);
    for (float& x : logits) x = normal(random);
    if (size > 20) logits[size / 2] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> maxima((size + kVocabularyBlock - 1) / kVocabularyBlock);
    block_maxima(logits, maxima);
    float largest = maxima[0];
    for (std::size_t block = 0; block < maxima.size(); ++block) {
      float expected = -std::numeric_limits<float>::infinity();
      for (std::size_t i = block * kVocabularyBlock; i < std::min(size, (block + 1) * kVocabularyBlock); ++i)
        expected = std::fmax(expected, logits[i]);
      EXPECT_EQ(maxima[block], expected);
      largest = std::max(largest, expected);
    }
    std::vector<std::uint64_t> weights(size);
    token_weights(logits, largest, 0.7F, weights);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < size; ++i) {
      EXPECT_EQ(weights[i], weight(logits[i], largest, 0.7F));
      sum += weights[i];
    }
    EXPECT_EQ(total_weight(logits, largest, 0.7F), sum);
  }
}

// The number was computed once; every machine, compiler and instruction set has to find it again.
TEST(VocabularyPass, weights_have_the_same_bits_on_every_machine) {
  std::vector<float> logits;
  std::uint32_t state = 12345;
  for (int i = 0; i < 5000; ++i) {
    state = state * 1664525U + 1013904223U;
    logits.push_back(static_cast<float>(state >> 8U) * 0x1p-24F * 40.0F - 20.0F);
  }
  std::vector<std::uint64_t> weights(logits.size());
  token_weights(logits, 20.0F, 1.25F, weights);
  std::uint64_t hash = 1469598103934665603U;
  for (const std::uint64_t w : weights) hash = (hash ^ w) * 1099511628211U;
  EXPECT_EQ(hash, 17454440148971779873U);
}

TEST(VocabularyPass, logarithm_is_right_to_the_last_digits) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-300.0, 300.0);
  EXPECT_EQ(portable_log(1.0), 0.0);
  for (int i = 0; i < 2000; ++i) {
    const double x = std::pow(10.0, exponent(random));
    EXPECT_NEAR(portable_log(x), std::log(x), 2e-15 * std::max(1.0, std::abs(std::log(x)))) << x;
  }
}

}  // namespace
}  // namespace mlxd
