// Fields that /v1/chat/completions and /v1/completions share, and the target that both tables fill.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/field_reader.h"
#include "api/generation_call.h"
#include "api/shared_meanings.h"
#include "base/result.h"

namespace mlxd::api::openai {

inline constexpr std::int64_t kMaxChoices = 16;
/// Members of stream_options.
std::vector<FieldInfo> stream_option_infos();

inline constexpr Meaning kChoicesMeaning{"How many answers to make.",
                                         integer(1, kMaxChoices).by_default("1")};
inline constexpr Meaning kStreamOptionsMeaning{"How to stream; only together with stream: true.",
                                               object_of(stream_option_infos)};
inline constexpr std::size_t kMaxStopStrings = 64;
inline constexpr std::size_t kMaxStopBytes = 16 * 1024;

/// What a request says beyond the call itself, needed to check fields against each other.
struct RequestDraft {
  GenerationCall call;
  bool strict = false;
  bool has_stream_options = false;
  std::int32_t max_completion_tokens = 0;
  bool has_top_logprobs = false;
  std::int32_t best_of = 0;  // 0: nothing is said
  bool no_tools = false;     // none may be called
  UnknownFields unknown_fields = UnknownFields::kRefuse;

  /// See MayIgnoreFields.
  bool ignore_unknown(std::string path) {
    if (unknown_fields == UnknownFields::kRefuse) return false;
    call.ignored.push_back(path.empty() ? "(without a name)" : std::move(path));
    return true;
  }
};

using ReadField = Result<void>(const boost::json::value& value, std::string_view field, RequestDraft& draft);

ReadField read_model, read_adapter, read_temperature, read_top_p, read_top_k, read_min_p, read_seed, read_n,
    read_stop, read_max_tokens, read_presence_penalty, read_frequency_penalty, read_repetition_penalty,
    read_logit_bias, read_stream, read_stream_options, read_cache_salt, read_keep_alive,
    read_chat_template_kwargs, read_thinking_budget, read_max_tool_calls;

/// Obfuscation pads events against listeners on the line; nobody listens between two programs of one machine.
template <typename Target>
inline constexpr Field<Target> kObfuscation = {"include_obfuscation",
                                               FieldUse::kInforms,
                                               nullptr,
                                               {"Accepted: events are never padded here.", boolean()}};

inline constexpr std::string_view kEfforts[] = {"none", "minimal", "low", "medium", "high", "xhigh"};
/// How much a chat is to think: one of kEfforts.
Result<void> read_effort(const boost::json::value& value, std::string_view field, Conversation& conversation);

/// A list of stop strings, within the limits above.
Result<std::vector<std::string>> read_stop_strings(const boost::json::value& value, const std::string& field);

/// What both requests must have and may not combine.
Result<void> check_common(const RequestDraft& draft);

}  // namespace mlxd::api::openai
