#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/json.h"

namespace mlxd {
namespace {

Result<RopeSpec> read(const std::string& config, std::int32_t rotary_dim = 64) {
  const boost::json::value value = parse_json(config, "test").take_value();
  return read_rope(ConfigReader(value.get_object(), "config.json"), {.rotary_dim = rotary_dim});
}

void check(const std::string& config, std::size_t index, double expected) {
  const auto rope = read(config);
  ASSERT_TRUE(rope.ok()) << config << rope.error().message;
  ASSERT_EQ(rope->inverse_frequencies.size(), 32U);
  EXPECT_NEAR(rope->inverse_frequencies[index], expected, 2e-6 * expected) << config << " at " << index;
}

TEST(Rope, reads_theta_in_the_old_and_the_new_form) {
  check("{}", 1, std::pow(10000.0, -2.0 / 64));
  check(R"({"rope_theta": 100000.0})", 31, std::pow(100000.0, -62.0 / 64));
  check(R"({"rope_theta": 100000, "rope_scaling": null})", 5, std::pow(100000.0, -10.0 / 64));
  check(R"({"rope_parameters": {"rope_theta": 100000, "rope_type": "default"}})", 5,
        std::pow(100000.0, -10.0 / 64));
}

TEST(Rope, linear_scaling_divides_every_frequency) {
  for (const char* config : {R"({"rope_scaling": {"type": "linear", "factor": 4.0}})",
                             R"({"rope_scaling": {"rope_type": "linear", "factor": 4}})",
                             R"({"rope_parameters": {"rope_type": "linear", "factor": 4}})"}) {
    check(config, 0, 0.25);
    check(config, 9, std::pow(10000.0, -18.0 / 64) / 4);
  }
}

TEST(Rope, dynamic_scaling_changes_nothing_within_the_context) {
  check(R"({"rope_scaling": {"type": "dynamic", "factor": 4.0}})", 9, std::pow(10000.0, -18.0 / 64));
}

// Expected values: 1 / _freqs of mlx-lm 0.32's Llama3RoPE with these parameters.
TEST(Rope, llama3_scaling_equals_mlx_lm) {
  const std::string parameters =
      R"("factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192)";
  const std::string old_form =
      R"({"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", )" + parameters + "}}";
  const std::string new_form =
      R"({"rope_parameters": {"rope_theta": 500000.0, "rope_type": "llama3", )" + parameters + "}}";
  for (const std::string& config : {old_form, new_form}) {
    check(config, 0, 1.0);
    check(config, 7, 0.05666961893439293);
    check(config, 13, 0.00483942124992609);
    check(config, 14, 0.0032114461064338684);
    check(config, 15, 0.0012905477778986096);
    check(config, 16, 0.00042955667595379055);
    check(config, 17, 9.708286233944818e-05);
    check(config, 18, 1.9461638657958247e-05);
    check(config, 24, 1.6619674170215148e-06);
    check(config, 31, 9.418306490260875e-08);
  }
}

TEST(Rope, refuses_other_types_and_absurd_numbers) {
  const auto refused = [](const char* config, const std::string& expected) {
    const auto rope = read(config);
    ASSERT_FALSE(rope.ok()) << config;
    EXPECT_NE(rope.error().message.find(expected), std::string::npos) << rope.error().message;
  };
  refused(R"({"rope_scaling": {"type": "spiral", "factor": 4}})",
          "rope_scaling.type: \"spiral\" is not supported");
  refused(R"({"rope_scaling": {"type": "yarn"}})", "rope_scaling.factor: is missing, must be a number");
  refused(R"({"rope_scaling": {"type": "longrope", "long_factor": [1, 2]}})", "a list of 32 numbers");
  refused(R"({"rope_scaling": {"type": "longrope", "long_factor": "long"}})", "a list of 32 numbers");
  refused(R"({"rope_scaling": {"type": "linear"}})", "rope_scaling.factor: is missing, must be a number");
  refused(R"({"rope_scaling": {"type": "linear", "factor": 0}})", "rope_scaling.factor: 0, must be");
  refused(R"({"rope_scaling": {"type": "linear", "factor": 1e300}})", "rope_scaling.factor: 1E300, must be");
  refused(R"({"rope_scaling": "linear"})", "rope_scaling: \"linear\", must be an object");
  refused(R"({"rope_theta": -1})", "rope_theta: -1, must be");
  refused(R"({"rope_theta": "many"})", "rope_theta: \"many\", must be");
  refused(
      R"({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}})",
      "larger than low_freq_factor");
}

}  // namespace
}  // namespace mlxd
