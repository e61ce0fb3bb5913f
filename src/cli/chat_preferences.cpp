#include "cli/chat_preferences.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "base/nearest_names.h"
#include "cli/format.h"

namespace mlxd::cli {
namespace {

struct Entry {
  ChatSettingInfo info;
  Result<void> (*apply)(ChatPreferences&, std::string_view);
  std::string (*show)(const ChatPreferences&);
};

Result<void> apply_float(float SamplingParams::*member, ChatPreferences& preferences,
                         std::string_view value) {
  preferences.answers.sampling.*member = static_cast<float>(TRY(parse_decimal_number(value)));
  return {};
}

// Shortest text that reads back as the same number.
std::string shortest(float value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

template <float SamplingParams::*member>
constexpr Entry float_entry(std::string_view name, std::string_view help) {
  return {{name, help},
          [](ChatPreferences& preferences, std::string_view value) {
            return apply_float(member, preferences, value);
          },
          [](const ChatPreferences& preferences) { return shortest(preferences.answers.sampling.*member); }};
}

Result<void> apply_top_k(ChatPreferences& preferences, std::string_view value) {
  preferences.answers.sampling.top_k =
      static_cast<std::int32_t>(TRY(parse_integer(value, 0, std::numeric_limits<std::int32_t>::max())));
  return {};
}

Result<void> apply_seed(ChatPreferences& preferences, std::string_view value) {
  if (to_lower(trim(value)) == "random") {
    preferences.answers.sampling.seed.reset();
    return {};
  }
  preferences.answers.sampling.seed =
      static_cast<std::uint64_t>(TRY(parse_integer(value, 0, std::numeric_limits<std::int64_t>::max())));
  return {};
}

Result<void> apply_max_tokens(ChatPreferences& preferences, std::string_view value) {
  preferences.answers.max_tokens =
      static_cast<std::int32_t>(TRY(parse_integer(value, 0, std::numeric_limits<std::int32_t>::max())));
  return {};
}

Result<void> apply_system(ChatPreferences& preferences, std::string_view value) {
  preferences.answers.system = std::string(value);
  return {};
}

Result<void> apply_stop(ChatPreferences& preferences, std::string_view value) {
  if (value.empty())
    preferences.answers.stop.clear();
  else
    preferences.answers.stop.emplace_back(value);
  return {};
}

Result<void> apply_verbose(ChatPreferences& preferences, std::string_view value) {
  preferences.verbose = trim(value).empty() || TRY(parse_switch(value));
  return {};
}

std::string show_stop(const ChatPreferences& preferences) {
  std::string text;
  for (const std::string& stop : preferences.answers.stop)
    text += (text.empty() ? "\"" : ", \"") + stop + "\"";
  return text.empty() ? "none" : text;
}

constexpr std::array kEntries{
    float_entry<&SamplingParams::temperature>("temperature", "0 (always the likeliest token) to 2"),
    float_entry<&SamplingParams::top_p>("top_p",
                                        "keep the likeliest tokens of this total probability, 0 to 1"),
    Entry{{"top_k", "keep this many likeliest tokens; 0: all"},
          apply_top_k,
          [](const ChatPreferences& s) { return std::to_string(s.answers.sampling.top_k); }},
    float_entry<&SamplingParams::min_p>("min_p",
                                        "drop tokens less likely than this share of the likeliest, 0 to 1"),
    float_entry<&SamplingParams::repetition_penalty>("repetition_penalty",
                                                     "above 1 avoids repeating, up to 2"),
    float_entry<&SamplingParams::presence_penalty>("presence_penalty", "-2 to 2"),
    float_entry<&SamplingParams::frequency_penalty>("frequency_penalty", "-2 to 2"),
    Entry{{"seed", "a number, or random"},
          apply_seed,
          [](const ChatPreferences& s) {
            return s.answers.sampling.seed ? std::to_string(*s.answers.sampling.seed) : "random";
          }},
    Entry{{"max_tokens", "most tokens in an answer; 0: as many as fit"},
          apply_max_tokens,
          [](const ChatPreferences& s) { return std::to_string(s.answers.max_tokens); }},
    Entry{{"system", "instructions before the conversation"},
          apply_system,
          [](const ChatPreferences& s) { return s.answers.system.empty() ? "none" : s.answers.system; }},
    Entry{{"stop", "text that ends an answer; may be repeated, /set stop alone removes all"},
          apply_stop,
          show_stop},
    Entry{{"verbose", "on or off: counts and speed after each answer"},
          apply_verbose,
          [](const ChatPreferences& s) { return std::string(s.verbose ? "on" : "off"); }},
};

constexpr auto kInfos = [] {
  std::array<ChatSettingInfo, kEntries.size()> infos{};
  for (std::size_t i = 0; i < kEntries.size(); ++i) infos[i] = kEntries[i].info;
  return infos;
}();

const Entry* find_entry(std::string_view name) {
  std::string plain(name);
  std::replace(plain.begin(), plain.end(), '-', '_');
  for (const Entry& entry : kEntries)
    if (entry.info.name == plain) return &entry;
  return nullptr;
}

}  // namespace

std::span<const ChatSettingInfo> chat_setting_infos() { return kInfos; }

Result<void> apply_chat_setting(ChatPreferences& preferences, std::string_view name, std::string_view value) {
  const Entry* entry = find_entry(name);
  if (entry == nullptr) {
    std::vector<std::string> names;
    for (const ChatSettingInfo& info : kInfos) names.emplace_back(info.name);
    const auto nearest = nearest_names(name, names, 1);
    return invalid_argument("there is no setting '" + std::string(name) + "'" +
                            (nearest.empty() ? "" : "; nearest: " + nearest.front()));
  }
  ChatPreferences changed = preferences;
  if (const auto applied = entry->apply(changed, value); !applied)
    return invalid_argument(std::string(entry->info.name) + ": " + applied.error().message,
                            std::string(entry->info.name));
  TRY(changed.answers.sampling.validate(std::numeric_limits<std::int32_t>::max()));
  preferences = std::move(changed);
  return {};
}

std::string show_chat_setting(const ChatPreferences& preferences, std::string_view name) {
  const Entry* entry = find_entry(name);
  return entry == nullptr ? std::string() : entry->show(preferences);
}

}  // namespace mlxd::cli
