// The kernels of recurrent layers against plain formulas in double precision, and with the same bits on every
// instruction set and however values and tokens are cut.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "backends/cpu/vector.h"
#include "backends/cpu/vector_kernels.h"

namespace mlxd {
namespace {

using Floats = std::vector<float>;

Floats random_floats(std::size_t n, float scale, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  Floats values(n);
  for (float& value : values) value = normal(generator);
  return values;
}

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(RecurrenceKernels, ConvolutionIsTheSumOfItsTaps) {
  constexpr std::int32_t kKernel = 4;
  for (const std::int32_t n : {1, 16, 40, 64}) {
    SCOPED_TRACE(n);
    const auto size = static_cast<std::size_t>(n);
    const Floats inputs = random_floats(kKernel * size, 1.0F, 1);
    const Floats gates = random_floats(kKernel * size, 1.0F, 2);
    const Floats weights = random_floats(kKernel * size, 1.0F, 3);
    const Floats bias = random_floats(size, 1.0F, 4);
    for (const bool gated : {false, true}) {
      for (const bool activated : {false, true}) {
        Convolution conv;
        conv.kernel = kKernel;
        conv.weights = weights.data();
        conv.weight_stride = n;
        conv.bias = gated ? nullptr : bias.data();
        conv.activated = activated;
        for (std::size_t j = 0; j < kKernel; ++j) {
          conv.inputs[j] = inputs.data() + j * size;
          conv.gates[j] = gated ? gates.data() + j * size : nullptr;
        }
        Floats out(size);
        vector_kernels(Isa::kScalar).convolve(conv, out.data(), n);
        for (std::size_t i = 0; i < size; ++i) {
          double sum = gated ? 0.0 : static_cast<double>(bias[i]);
          for (std::size_t j = 0; j < kKernel; ++j) {
            const double gate = gated ? static_cast<double>(gates[j * size + i]) : 1.0;
            sum +=
                static_cast<double>(inputs[j * size + i]) * gate * static_cast<double>(weights[j * size + i]);
          }
          EXPECT_NEAR(out[i], activated ? sum / (1.0 + std::exp(-sum)) : sum, 1e-5);
        }
        for (const Isa isa : vector_isas()) {
          Floats other(size);
          vector_kernels(isa).convolve(conv, other.data(), n);
          EXPECT_TRUE(same_bits(other, out)) << to_string(isa);
        }
      }
    }
  }
}

struct Head {
  std::int32_t rows, key_dim, value_dim;
  bool is_delta_rule;
  Floats keys, queries, values, decays, factors, state, outputs;

  Head(std::int32_t num_rows, std::int32_t keys_of, std::int32_t values_of, bool delta)
      : rows(num_rows), key_dim(keys_of), value_dim(values_of), is_delta_rule(delta) {
    const auto n = static_cast<std::size_t>(rows);
    const auto k = static_cast<std::size_t>(key_dim);
    const auto v = static_cast<std::size_t>(value_dim);
    const float unit = 1.0F / std::sqrt(static_cast<float>(key_dim));
    keys = random_floats(n * std::max(k, v), unit, 1);
    queries = random_floats(n * std::max(k, v), unit, 2);
    values = random_floats(n * std::max(k, v), 1.0F, 3);
    decays = random_floats(n, 0.1F, 4);
    for (float& decay : decays) decay = 0.9F - std::abs(decay);
    factors = random_floats(n, 0.1F, 5);
    for (float& factor : factors) factor = 0.3F + std::abs(factor);
    state = random_floats(k * v, 0.5F, 6);
    outputs.resize(n * v);
  }

  Recurrence run() {
    return {.rows = rows,
            .key_dim = key_dim,
            .value_dim = value_dim,
            .is_delta_rule = is_delta_rule,
            .skip = 0.7F,
            .state = state.data(),
            .keys = keys.data(),
            .queries = queries.data(),
            .values = values.data(),
            .stride = std::max(key_dim, value_dim),
            .decays = decays.data(),
            .factors = factors.data(),
            .rate_stride = 1,
            .outputs = outputs.data(),
            .output_stride = value_dim};
  }

  /// The formula of Recurrence in doubles.
  std::vector<double> expected() const {
    const auto k = static_cast<std::size_t>(key_dim);
    const auto v = static_cast<std::size_t>(value_dim);
    const std::size_t stride = std::max(k, v);
    std::vector<double> s(state.begin(), state.end());
    std::vector<double> out;
    for (std::size_t t = 0; t < static_cast<std::size_t>(rows); ++t) {
      for (double& x : s) x *= static_cast<double>(decays[t]);
      for (std::size_t c = 0; c < v; ++c) {
        const double value = static_cast<double>(values[t * stride + c]);
        double known = 0.0;
        for (std::size_t d = 0; d < k && is_delta_rule; ++d)
          known += s[d * v + c] * static_cast<double>(keys[t * stride + d]);
        double sum = 0.7F * value;
        for (std::size_t d = 0; d < k; ++d) {
          s[d * v + c] +=
              static_cast<double>(keys[t * stride + d]) * static_cast<double>(factors[t]) * (value - known);
          sum += s[d * v + c] * static_cast<double>(queries[t * stride + d]);
        }
        out.push_back(sum);
      }
    }
    return out;
  }
};

TEST(RecurrenceKernels, AHeadAdvancesByItsFormula) {
  for (const bool delta : {false, true}) {
    for (const std::int32_t value_dim : {16, 32, 64, 80, 128}) {
      for (const std::int32_t key_dim : {16, 33, 128}) {
        SCOPED_TRACE(testing::Message() << key_dim << " keys, " << value_dim << " values, delta " << delta);
        Head head(9, key_dim, value_dim, delta);
        const std::vector<double> expected = head.expected();
        vector_kernels(Isa::kScalar).recur(head.run());
        for (std::size_t i = 0; i < expected.size(); ++i)
          ASSERT_NEAR(head.outputs[i], expected[i], 2e-5) << i;
        for (const Isa isa : vector_isas()) {
          Head other(9, key_dim, value_dim, delta);
          vector_kernels(isa).recur(other.run());
          EXPECT_TRUE(same_bits(other.outputs, head.outputs) && same_bits(other.state, head.state))
              << to_string(isa);
          // Two tokens, then the others.
          Head cut(9, key_dim, value_dim, delta);
          Recurrence run = cut.run();
          run.rows = 2;
          vector_kernels(isa).recur(run);
          run.rows = 7;
          run.keys += 2 * run.stride;
          run.queries += 2 * run.stride;
          run.values += 2 * run.stride;
          run.decays += 2;
          run.factors += 2;
          run.outputs += 2 * run.output_stride;
          vector_kernels(isa).recur(run);
          EXPECT_TRUE(same_bits(cut.outputs, head.outputs) && same_bits(cut.state, head.state))
              << to_string(isa);
        }
      }
    }
  }
}

/// Values 16 … 47 of a head of 64, apart: as when several threads share a head.
TEST(RecurrenceKernels, ColumnsDoNotKnowEachOther) {
  Head whole(5, 32, 64, true);
  vector_kernels(Isa::kScalar).recur(whole.run());
  for (const Isa isa : vector_isas()) {
    Head part(5, 32, 64, true);
    Floats state(32 * 32);
    for (std::size_t d = 0; d < 32; ++d) std::copy_n(&part.state[d * 64 + 16], 32, &state[d * 32]);
    Recurrence run = part.run();
    run.value_dim = 32;
    run.state = state.data();
    run.values += 16;
    run.outputs += 16;
    vector_kernels(isa).recur(run);
    for (std::size_t t = 0; t < 5; ++t) {
      for (std::size_t c = 16; c < 48; ++c) EXPECT_EQ(part.outputs[t * 64 + c], whole.outputs[t * 64 + c]);
    }
  }
}

}  // namespace
}  // namespace mlxd
