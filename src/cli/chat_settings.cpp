#include "cli/chat_settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "cli/format.h"
#include "cli/suggest.h"

namespace mlxd::cli {
namespace {

struct Entry {
  ChatSettingInfo info;
  Result<void> (*apply)(ChatSettings&, std::string_view);
  std::string (*show)(const ChatSettings&);
};

Result<void> apply_float(float SamplingParams::*member, ChatSettings& settings, std::string_view value) {
  settings.sampling.*member = static_cast<float>(TRY(parse_decimal(value)));
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
          [](ChatSettings& settings, std::string_view value) { return apply_float(member, settings, value); },
          [](const ChatSettings& settings) { return shortest(settings.sampling.*member); }};
}

Result<void> apply_top_k(ChatSettings& settings, std::string_view value) {
  settings.sampling.top_k =
      static_cast<std::int32_t>(TRY(parse_integer(value, 0, std::numeric_limits<std::int32_t>::max())));
  return {};
}

Result<void> apply_seed(ChatSettings& settings, std::string_view value) {
  if (to_lower(trim(value)) == "random") {
    settings.sampling.seed.reset();
    return {};
  }
  settings.sampling.seed =
      static_cast<std::uint64_t>(TRY(parse_integer(value, 0, std::numeric_limits<std::int64_t>::max())));
  return {};
}

Result<void> apply_max_tokens(ChatSettings& settings, std::string_view value) {
  settings.max_tokens =
      static_cast<std::int32_t>(TRY(parse_integer(value, 0, std::numeric_limits<std::int32_t>::max())));
  return {};
}

Result<void> apply_system(ChatSettings& settings, std::string_view value) {
  settings.system = std::string(value);
  return {};
}

Result<void> apply_stop(ChatSettings& settings, std::string_view value) {
  if (value.empty())
    settings.stop.clear();
  else
    settings.stop.emplace_back(value);
  return {};
}

Result<void> apply_verbose(ChatSettings& settings, std::string_view value) {
  settings.verbose = trim(value).empty() || TRY(parse_switch(value));
  return {};
}

std::string show_stop(const ChatSettings& settings) {
  std::string text;
  for (const std::string& stop : settings.stop) text += (text.empty() ? "\"" : ", \"") + stop + "\"";
  return text.empty() ? "none" : text;
}

constexpr std::array kEntries{
    float_entry<&SamplingParams::temperature>("temperature", "0 (always the likeliest token) to 2"),
    float_entry<&SamplingParams::top_p>("top_p",
                                        "keep the likeliest tokens of this total probability, above 0 to 1"),
    Entry{{"top_k", "keep this many likeliest tokens; 0: all"},
          apply_top_k,
          [](const ChatSettings& s) { return std::to_string(s.sampling.top_k); }},
    float_entry<&SamplingParams::min_p>("min_p",
                                        "drop tokens less likely than this share of the likeliest, 0 to 1"),
    float_entry<&SamplingParams::repetition_penalty>("repetition_penalty",
                                                     "above 1 avoids repeating, up to 2"),
    float_entry<&SamplingParams::presence_penalty>("presence_penalty", "-2 to 2"),
    float_entry<&SamplingParams::frequency_penalty>("frequency_penalty", "-2 to 2"),
    Entry{
        {"seed", "a number, or random"},
        apply_seed,
        [](const ChatSettings& s) { return s.sampling.seed ? std::to_string(*s.sampling.seed) : "random"; }},
    Entry{{"max_tokens", "most tokens in an answer; 0: as many as fit"},
          apply_max_tokens,
          [](const ChatSettings& s) { return std::to_string(s.max_tokens); }},
    Entry{{"system", "instructions before the conversation"},
          apply_system,
          [](const ChatSettings& s) { return s.system.empty() ? "none" : s.system; }},
    Entry{{"stop", "text that ends an answer; may be given several times, /set stop alone removes all"},
          apply_stop,
          show_stop},
    Entry{{"verbose", "on or off: counts and speed after each answer"},
          apply_verbose,
          [](const ChatSettings& s) { return std::string(s.verbose ? "on" : "off"); }},
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

Result<void> apply_chat_setting(ChatSettings& settings, std::string_view name, std::string_view value) {
  const Entry* entry = find_entry(name);
  if (entry == nullptr) {
    std::vector<std::string> names;
    for (const ChatSettingInfo& info : kInfos) names.emplace_back(info.name);
    const auto nearest = nearest_names(name, names, 1);
    return invalid_argument("there is no setting '" + std::string(name) + "'" +
                            (nearest.empty() ? "" : "; nearest: " + nearest.front()));
  }
  ChatSettings changed = settings;
  if (const auto applied = entry->apply(changed, value); !applied)
    return invalid_argument(std::string(entry->info.name) + ": " + applied.error().message,
                            std::string(entry->info.name));
  TRY(changed.sampling.validate(std::numeric_limits<std::int32_t>::max()));
  settings = std::move(changed);
  return {};
}

std::string show_chat_setting(const ChatSettings& settings, std::string_view name) {
  const Entry* entry = find_entry(name);
  return entry == nullptr ? std::string() : entry->show(settings);
}

}  // namespace mlxd::cli
