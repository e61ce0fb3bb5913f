#include "settings/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace mlxd {
namespace {

TEST(SettingTable, is_whole_and_its_defaults_are_allowed) {
  for (const SettingInfo& info : setting_infos()) {
    EXPECT_FALSE(info.help.empty()) << info.name;
    EXPECT_FALSE(info.category.empty()) << info.name;
    EXPECT_EQ(find_setting(info.name), &info) << "twice: " << info.name;
    if (info.kind == SettingKind::kList) continue;
    Settings::Value value{.values = {std::string(info.default_value)}};
    EXPECT_TRUE(check_setting(info, value).ok()) << info.name;
  }
}

TEST(SettingTable, is_what_the_page_of_the_docs_says) {
  const std::string file = MLXD_SOURCE_DIR "/docs/settings.md";
  if (std::getenv("MLXD_UPDATE_DOCS") != nullptr) std::ofstream(file) << settings_page();
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  EXPECT_EQ(text.str(), settings_page()) << "run this test once with MLXD_UPDATE_DOCS=1";
}

TEST(Settings, come_from_the_first_place_that_names_them) {
  SettingPlaces places;
  places.stored = {{"port", {"1"}}, {"threads", {"1"}}, {"context", {"1"}}, {"session-days", {"1"}}};
  places.config = {{"port", {"2"}}, {"threads", {"2"}}, {"context", {"2"}}};
  places.environment = {{"port", {"3"}}, {"threads", {"3"}}};
  places.flags = {{"port", {"4"}}};
  const auto settings = Settings::resolve(places);
  ASSERT_TRUE(settings.ok()) << settings.error().message;
  const auto check = [&](const char* name, std::int64_t number, SettingSource source) {
    EXPECT_EQ(settings->value(name).number, number) << name;
    EXPECT_EQ(settings->value(name).source, source) << name;
  };
  check("port", 4, SettingSource::kFlag);
  check("threads", 3, SettingSource::kEnvironment);
  check("context", 2, SettingSource::kConfigFile);
  check("session-days", 1, SettingSource::kStored);
  check("drain-timeout", 30, SettingSource::kDefault);
  places.stored = {{"session-days", {"0"}}};
  EXPECT_EQ(Settings::resolve(places).error().message,
            "the stored setting session-days: '0' is not a whole number from 1 to 365");
}

TEST(Settings, sizes_have_a_range) {
  SettingPlaces places;
  places.flags = {{"max-body", {"12"}}};
  EXPECT_THAT(Settings::resolve(places).error().message,
              ::testing::HasSubstr("--max-body: '12' is not a size from 1024"));
}

}  // namespace
}  // namespace mlxd
