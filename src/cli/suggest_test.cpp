#include "cli/suggest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mlxd::cli {
namespace {

using testing::ElementsAre;

TEST(Suggest, CountsEditsAndSwaps) {
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

TEST(Suggest, PutsTheNearestNameFirst) {
  const std::vector<std::string> commands{"serve", "run",   "import", "list",
                                          "show",  "bench", "doctor", "version"};
  EXPECT_THAT(nearest_names("srve", commands, 1), ElementsAre("serve"));
  EXPECT_THAT(nearest_names("benhc", commands, 1), ElementsAre("bench"));
  EXPECT_THAT(nearest_names("docter", commands, 1), ElementsAre("doctor"));
}

TEST(Suggest, PrefersNamesThatContainTheWantedOne) {
  const std::vector<std::string> models{"mlx-community/Llama-3.2-1B-Instruct-4bit",
                                        "SmolLM2-135M-Instruct-4bit", "mlx-community/Qwen3-0.6B-4bit"};
  EXPECT_THAT(nearest_names("qwen3", models, 1), ElementsAre("mlx-community/Qwen3-0.6B-4bit"));
  EXPECT_THAT(nearest_names("other-org/SmolLM2-135M", models, 1), ElementsAre("SmolLM2-135M-Instruct-4bit"));
}

TEST(Suggest, LeavesOutNamesThatShareNothing) {
  const std::vector<std::string> models{"abc", "xyz"};
  EXPECT_THAT(nearest_names("qqq", models, 3), ElementsAre());
}

}  // namespace
}  // namespace mlxd::cli
