#include "cli/json_text.h"

#include <gtest/gtest.h>

#include <limits>

namespace mlxd::cli {
namespace {

namespace json = boost::json;

TEST(JsonText, IsIndentedWithPlainNumbers) {
  const json::value value = json::object{{"rate", 153.2},
                                         {"whole", 2.0},
                                         {"tiny", 0.001},
                                         {"count", 3},
                                         {"none", json::object{}},
                                         {"list", json::array{1, "two", nullptr}},
                                         {"rows", json::array{json::object{{"a \"b\"", true}}}}};
  EXPECT_EQ(pretty_json(value), R"({
  "rate": 153.2,
  "whole": 2.0,
  "tiny": 0.001,
  "count": 3,
  "none": {},
  "list": [1, "two", null],
  "rows": [
    {
      "a \"b\"": true
    }
  ]
}
)");
}

TEST(JsonText, ReadsBackAsTheSameValue) {
  const json::value value = json::array{
      0.1, 1e300, -2.5e-7, std::numeric_limits<double>::max(), "caf\xC3\xA9 \n", json::array{}, -7};
  EXPECT_EQ(json::parse(pretty_json(value)), value);
}

}  // namespace
}  // namespace mlxd::cli
