#include "cli/chat_preferences.h"

#include <gtest/gtest.h>

namespace mlxd::cli {
namespace {

TEST(ChatPreferences, AreSetByNameWithDashesOrUnderscores) {
  ChatPreferences preferences;
  const auto check = [&](const char* name, const char* value, const char* shown) {
    const auto applied = apply_chat_setting(preferences, name, value);
    ASSERT_TRUE(applied.ok()) << name << ": " << applied.error().message;
    EXPECT_EQ(show_chat_setting(preferences, name), shown) << name;
  };
  check("temperature", "0", "0");
  check("top_p", "0.9", "0.9");
  check("top-p", "0.8", "0.8");
  check("top_k", "40", "40");
  check("min_p", "0.1", "0.1");
  check("seed", "7", "7");
  check("seed", "random", "random");
  check("max_tokens", "100", "100");
  check("system", "Be brief.", "Be brief.");
  check("stop", "END", "\"END\"");
  check("stop", "FIN", "\"END\", \"FIN\"");
  check("stop", "", "none");
  check("verbose", "", "on");
  check("verbose", "off", "off");
}

TEST(ChatPreferences, RefuseWhatIsOutOfRangeAndKeepTheOldValue) {
  ChatPreferences preferences;
  const auto check = [&](const char* name, const char* value, const char* message) {
    const std::string before = show_chat_setting(preferences, name);
    const auto applied = apply_chat_setting(preferences, name, value);
    ASSERT_FALSE(applied.ok()) << name << " " << value;
    EXPECT_EQ(applied.error().message, message);
    EXPECT_EQ(show_chat_setting(preferences, name), before);
  };
  check("temperature", "3", "temperature is 3, must be between 0 and 2");
  check("temperature", "warm", "temperature: 'warm' is not a number");
  check("top_p", "-1", "top_p is -1, must be between 0 and 1");
  check("top_k", "-1", "top_k: '-1' is not a whole number from 0 to 2147483647");
  check("seed", "x", "seed: 'x' is not a whole number 0 or more");
  check("verbose", "maybe", "verbose: 'maybe' is neither on nor off");
  check("temprature", "1", "there is no setting 'temprature'; nearest: temperature");
}

TEST(ChatPreferences, AllHaveANameAHelpAndAValueToShow) {
  const ChatPreferences preferences;
  for (const ChatSettingInfo& info : chat_setting_infos()) {
    EXPECT_FALSE(info.help.empty()) << info.name;
    EXPECT_FALSE(show_chat_setting(preferences, info.name).empty()) << info.name;
  }
}

}  // namespace
}  // namespace mlxd::cli
