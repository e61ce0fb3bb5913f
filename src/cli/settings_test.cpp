#include "cli/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace mlxd::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class SettingsTest : public testing::Test {
 protected:
  SettingsTest() {
    std::string pattern = (fs::temp_directory_path() / "mlxd_settings_XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    for (const SettingInfo& info : setting_infos()) unsetenv(environment_name(info.name).c_str());
  }
  ~SettingsTest() override {
    for (const SettingInfo& info : setting_infos()) unsetenv(environment_name(info.name).c_str());
    fs::remove_all(root_);
  }
  void write_config(const char* text) const { std::ofstream(root_ / "config.toml") << text; }
  Result<Settings> resolve(const FlagValues& flags = {}) const {
    return resolve_settings(flags, StateFolder(root_));
  }
  std::string refusal(const FlagValues& flags = {}) const {
    const auto settings = resolve(flags);
    return settings.ok() ? "accepted" : settings.error().message;
  }

  fs::path root_;
};

TEST_F(SettingsTest, HaveDefaults) {
  const auto settings = resolve();
  ASSERT_TRUE(settings.ok()) << settings.error().message;
  EXPECT_EQ(settings->host(), "127.0.0.1");
  EXPECT_EQ(settings->port(), 10242);
  EXPECT_TRUE(settings->models().empty());
  EXPECT_EQ(settings->backend(), "auto");
  EXPECT_EQ(memory_budget(*settings), 0U);
  EXPECT_EQ(settings->kv_format(), "fp16");
  EXPECT_EQ(settings->activation_bits(), 8);
  EXPECT_FALSE(*quantization_at_load(*settings));
  EXPECT_EQ(settings->speculation(), "auto");
  EXPECT_EQ(settings->draft_model(), "");
  EXPECT_EQ(settings->request_timeout_s(), 900);
  EXPECT_FALSE(settings->strict());
  EXPECT_EQ(settings->value("port").source, SettingSource::kDefault);
}

TEST_F(SettingsTest, SayWhatAModelIsQuantizedTo) {
  const auto check = [&](const FlagValues& flags, const Quantization& expected) {
    const auto settings = resolve(flags);
    ASSERT_TRUE(settings.ok()) << settings.error().message;
    EXPECT_EQ(*quantization_at_load(*settings), expected);
  };
  check({{"quantize", {"4"}}}, {QuantizationMode::kAffine, 4, 64});
  check({{"quantize", {"8"}}, {"quantize-group", {"32"}}}, {QuantizationMode::kAffine, 8, 32});
  check({{"quantize", {"mxfp4"}}}, {QuantizationMode::kMxfp4, 4, 32});
  check({{"quantize", {"mxfp8"}}}, {QuantizationMode::kMxfp8, 8, 32});
  check({{"quantize", {"nvfp4"}}}, {QuantizationMode::kNvfp4, 4, 16});
}

TEST_F(SettingsTest, AFlagWinsOverTheEnvironmentAndThatOverTheFile) {
  write_config("port = 1111\nthreads = 3\ncontext = 4096\nlog_level = \"debug\"\nopen = true\n");
  setenv("MLXD_PORT", "2222", 1);
  setenv("MLXD_THREADS", "2", 1);
  const auto settings = resolve({{"port", {"3333"}}});
  ASSERT_TRUE(settings.ok()) << settings.error().message;
  EXPECT_EQ(settings->port(), 3333);
  EXPECT_EQ(settings->value("port").source, SettingSource::kFlag);
  EXPECT_EQ(settings->threads(), 2);
  EXPECT_EQ(settings->value("threads").source, SettingSource::kEnvironment);
  EXPECT_EQ(settings->context_tokens(), 4096);
  EXPECT_EQ(settings->value("context").source, SettingSource::kConfigFile);
  EXPECT_EQ(settings->log_level(), "debug");
  EXPECT_TRUE(settings->open_browser());
}

TEST_F(SettingsTest, ReadListsAndSizes) {
  write_config("# a comment\nmodel = [\"one\", \"org/two\"]\nmemory = \"4GiB\"\n");
  const auto from_file = resolve();
  ASSERT_TRUE(from_file.ok()) << from_file.error().message;
  EXPECT_THAT(from_file->models(), ElementsAre("one", "org/two"));
  EXPECT_EQ(memory_budget(*from_file), 4ULL << 30U);

  setenv("MLXD_MODEL", "three, four", 1);
  const auto from_environment = resolve();
  ASSERT_TRUE(from_environment.ok());
  EXPECT_THAT(from_environment->models(), ElementsAre("three", "four"));
}

TEST_F(SettingsTest, RefuseAWrongValueNamingItAndItsPlace) {
  EXPECT_EQ(refusal({{"port", {"http"}}}), "--port: 'http' is not a whole number from 0 to 65535");
  EXPECT_EQ(refusal({{"port", {"1", "2"}}}), "--port: given 2 times, must be one value");
  EXPECT_EQ(refusal({{"backend", {"mlx"}}}), "--backend: this build has no 'mlx' backend: use auto or cpu");
  EXPECT_EQ(refusal({{"backend", {"gpu"}}}), "--backend: 'gpu' is none of auto, cpu");
  EXPECT_EQ(refusal({{"kv-format", {"fp32"}}}), "--kv-format: 'fp32' is none of fp16, bf16, int8");
  EXPECT_EQ(refusal({{"activations", {"12"}}}), "--activations: '12' is none of 8, 16");
  EXPECT_EQ(refusal({{"quantize", {"7"}}}),
            "--quantize: '7' is none of off, 2, 3, 4, 5, 6, 8, mxfp4, mxfp8, nvfp4");
  EXPECT_EQ(refusal({{"quantize", {"4"}}, {"quantize-group", {"48"}}}),
            "--quantize-group: '48' is none of 32, 64, 128");
  EXPECT_EQ(refusal({{"quantize-group", {"32"}}}),
            "--quantize-group is for --quantize with a number of bits");
  EXPECT_EQ(refusal({{"quantize", {"mxfp4"}}, {"quantize-group", {"32"}}}),
            "--quantize-group is for --quantize with a number of bits");
  EXPECT_EQ(refusal({{"speculation", {"on"}}}), "--speculation: 'on' is none of auto, off, lookup, draft");
  EXPECT_THAT(refusal({{"request-timeout", {"-1"}}}),
              HasSubstr("--request-timeout: '-1' is not a whole number"));
  setenv("MLXD_STRICT", "perhaps", 1);
  EXPECT_EQ(refusal(), "MLXD_STRICT: 'perhaps' is neither on nor off");
  unsetenv("MLXD_STRICT");
  write_config("memory = \"much\"\n");
  EXPECT_THAT(refusal(),
              HasSubstr("memory in " + (root_ / "config.toml").string() + ": 'much' is not a size"));
}

TEST_F(SettingsTest, RefuseAnUnknownKeyOfTheFile) {
  write_config("prot = 1\n");
  EXPECT_THAT(refusal(), HasSubstr("there is no setting 'prot'; nearest: port"));
  write_config("port 1\n");
  EXPECT_THAT(refusal(), HasSubstr("there is no setting"));
  write_config("[server]\nport = 1\n");
  EXPECT_THAT(refusal(), HasSubstr("there is no section [server]"));
}

}  // namespace
}  // namespace mlxd::cli
