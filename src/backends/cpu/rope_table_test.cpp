#include "backends/cpu/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace mlxd {
namespace {

TEST(RopeTable, IsAccurateAtEveryPosition) {
  RopeSpec spec;
  for (int i = 0; i < 32; ++i)
    spec.inverse_frequencies.push_back(std::pow(10000.0F, -static_cast<float>(i) / 32));
  spec.rotary_dim = 64;
  spec.attention_factor = 1.25F;
  constexpr std::int32_t kPositions = 8192;
  const RopeTable table(spec, kPositions);
  ASSERT_EQ(table.num_pairs(), 32);
  std::vector<float> cosines(32);
  std::vector<float> sines(32);
  for (std::int32_t position = 0; position < kPositions; ++position) {
    table.fill(position, cosines.data(), sines.data());
    for (std::size_t i = 0; i < 32; ++i) {
      const double angle = position * static_cast<double>(spec.inverse_frequencies[i]);
      ASSERT_NEAR(cosines[i], 1.25 * std::cos(angle), 1e-7) << position << " " << i;
      ASSERT_NEAR(sines[i], 1.25 * std::sin(angle), 1e-7) << position << " " << i;
    }
  }
}

}  // namespace
}  // namespace mlxd
