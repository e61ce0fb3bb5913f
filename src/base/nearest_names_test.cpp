#include "base/nearest_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mlxd {
namespace {

using testing::ElementsAre;

TEST(NearestNames, counts_edits_and_swaps) {
  const auto check = [](const char* a, const char* b, std::size_t expected) {
    EXPECT_EQ(edit_distance(a, b), expected) << a << " / " << b;
    EXPECT_EQ(edit_distance(b, a), expected) << b << " / " << a;
  };
  check("", "", 0);
  check("abc", "", 3);
  check("serve", "srve", 1);
  check("serve", "sevre", 1);
  check("kitten", "sitting", 3);
  check("list", "show", 4);
}

TEST(NearestNames, puts_the_nearest_name_first) {
  const std::vector<std::string> commands{"serve", "run",   "import", "list",
                                          "show",  "bench", "doctor", "version"};
  EXPECT_THAT(nearest_names("srve", commands, 1), ElementsAre("serve"));
  EXPECT_THAT(nearest_names("benhc", commands, 1), ElementsAre("bench"));
  EXPECT_THAT(nearest_names("docter", commands, 1), ElementsAre("doctor"));
}

TEST(NearestNames, prefers_names_that_contain_the_wanted_one) {
  const std::vector<std::string> models{"mlx-community/Llama-3.2-1B-Instruct-4bit",
                                        "SmolLM2-135M-Instruct-4bit", "mlx-community/Qwen3-0.6B-4bit"};
  EXPECT_THAT(nearest_names("qwen3", models, 1), ElementsAre("mlx-community/Qwen3-0.6B-4bit"));
  EXPECT_THAT(nearest_names("other-org/SmolLM2-135M", models, 1), ElementsAre("SmolLM2-135M-Instruct-4bit"));
}

TEST(NearestNames, ranks_every_name_up_to_the_count) {
  const std::vector<std::string> models{"abc", "xyz"};
  EXPECT_THAT(nearest_names("xyq", models, 3), ElementsAre("xyz", "abc"));
  EXPECT_THAT(nearest_names("qqq", {}, 3), ElementsAre());
}

TEST(NearestNames, tells_a_slip_from_another_word) {
  EXPECT_TRUE(is_slip("temprature", "temperature"));
  EXPECT_TRUE(is_slip("SRVE", "serve"));
  EXPECT_FALSE(is_slip("foo", "n"));
  EXPECT_FALSE(is_slip("zzzzzzzzzz", "temperature"));
}

}  // namespace
}  // namespace mlxd
