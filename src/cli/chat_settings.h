// What a person can set about the answers of a terminal chat, by name: the same names, checks and messages
// for the flags of `mlxd run` and for /set. A value.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/sampling_params.h"

namespace mlxd::cli {

struct ChatSettings {
  ChatSettings() {
    // Small local models ramble at temperature 1; a model's own recommendation replaces these.
    sampling.temperature = 0.7F;
    sampling.min_p = 0.05F;
  }
  SamplingParams sampling;      // no seed: a new one for each answer
  std::int32_t max_tokens = 0;  // 0: until the model ends or the context is full
  std::string system;           // empty: none (a template may have its own)
  std::vector<std::string> stop;
  bool verbose = false;
};

struct ChatSettingInfo {
  std::string_view name;  // as in /set; the flag has "-" for "_"
  std::string_view help;
};
/// All settings, in the order they are shown.
std::span<const ChatSettingInfo> chat_setting_infos();

/// Sets one by name ("top_p" or "top-p"). Errors: kInvalidArgument naming the setting and its range, or the
/// nearest names of an unknown one. Nothing changes on an error.
Result<void> apply_chat_setting(ChatSettings& settings, std::string_view name, std::string_view value);

/// The present value as text, for /show and /set without a value.
std::string show_chat_setting(const ChatSettings& settings, std::string_view name);

}  // namespace mlxd::cli
