#include "catalog/recommended_models.h"

#include <gtest/gtest.h>

#include <set>

#include "catalog/hub_names.h"

namespace mlxd {
namespace {

constexpr std::uint64_t kGB = 1'000'000'000;

TEST(RecommendedModels, are_a_table_without_mistakes) {
  EXPECT_EQ(recommended_models_date().size(), 10U);
  std::set<std::string_view> ids;
  std::uint64_t before = 0;
  for (const RecommendedModel& model : recommended_models()) {
    EXPECT_TRUE(check_repository_id(std::string(model.id)).ok()) << model.id;
    EXPECT_TRUE(ids.insert(model.id).second) << "twice: " << model.id;
    EXPECT_GE(model.weight_bytes, before) << model.id << " is smaller than the one before";
    before = model.weight_bytes;
    EXPECT_FALSE(model.note.empty()) << model.id;
    EXPECT_LE(model.active_parameters, model.num_parameters) << model.id;
    // Four bits and a scale for each group, or a mixture with eight.
    const double bits =
        8.0 * static_cast<double>(model.weight_bytes) / static_cast<double>(model.num_parameters);
    EXPECT_GT(bits, 4.2) << model.id;
    EXPECT_LT(bits, 5.0) << model.id;
  }
}

TEST(RecommendedModels, the_best_is_the_largest_that_fits_for_each_purpose) {
  const auto best = [](std::uint64_t memory) {
    std::vector<std::string_view> ids;
    for (const Recommendation& each : recommend_models({.memory_bytes = memory}))
      if (each.best) ids.push_back(each.model->id);
    return ids;
  };
  EXPECT_TRUE(best(kGB / 2).empty());
  EXPECT_EQ(best(8 * kGB), (std::vector<std::string_view>{"mlx-community/Qwen3-4B-Instruct-2507-4bit",
                                                          "mlx-community/Qwen3-8B-4bit"}));
  EXPECT_EQ(best(32 * kGB),
            (std::vector<std::string_view>{"mlx-community/gpt-oss-20b-MXFP4-Q8",
                                           "mlx-community/Qwen3-30B-A3B-Instruct-2507-4bit",
                                           "mlx-community/Qwen3-Coder-30B-A3B-Instruct-4bit"}));
  EXPECT_EQ(best(128 * kGB), (std::vector<std::string_view>{"mlx-community/Qwen3-30B-A3B-Instruct-2507-4bit",
                                                            "mlx-community/Qwen3-Coder-30B-A3B-Instruct-4bit",
                                                            "mlx-community/gpt-oss-120b-MXFP4-Q8"}));
}

}  // namespace
}  // namespace mlxd
