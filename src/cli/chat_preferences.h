// What a person can set about the answers of a terminal chat, by name: the same names, checks and messages
// for the flags of `mlxd run` and for /set. A value.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "workbench/chat_session.h"

namespace mlxd::cli {

struct ChatPreferences {
  ChatPreferences() {
    // Small local models ramble at temperature 1; a model's own recommendation replaces these.
    answers.sampling.temperature = 0.7F;
    answers.sampling.min_p = 0.05F;
  }
  ChatSettings answers;
  bool verbose = false;  // counts and speed after each answer
};

struct ChatSettingInfo {
  std::string_view name;  // as in /set; the flag has "-" for "_"
  std::string_view help;
};
/// All settings, in the order they are shown.
std::span<const ChatSettingInfo> chat_setting_infos();

/// Sets one by name ("top_p" or "top-p"). Errors: kInvalidArgument naming the setting and its range, or the
/// nearest names of an unknown one. Nothing changes on an error.
Result<void> apply_chat_setting(ChatPreferences& preferences, std::string_view name, std::string_view value);

/// The present value as text, for /show and /set without a value.
std::string show_chat_setting(const ChatPreferences& preferences, std::string_view name);

}  // namespace mlxd::cli
