// Fields that /v1/chat/completions and /v1/completions share, and the target that both tables fill.
#pragma once

#include <boost/json/value.hpp>
#include <string_view>

#include "api/field_reader.h"
#include "api/generation_call.h"
#include "base/result.h"

namespace mlxd::api::openai {

inline constexpr std::int64_t kMaxChoices = 16;
inline constexpr std::size_t kMaxStopStrings = 64;
inline constexpr std::size_t kMaxStopBytes = 16 * 1024;

/// What a request says beyond the call itself, needed to check fields against each other.
struct RequestDraft {
  GenerationCall call;
  bool strict = false;
  bool has_messages = false;
  bool has_prompt = false;
  bool has_stream_options = false;
  std::int32_t max_completion_tokens = 0;
  bool has_top_logprobs = false;
  bool no_tools = false;  // none may be called
};

using ReadField = Result<void>(const boost::json::value& value, std::string_view field, RequestDraft& draft);

ReadField read_model, read_adapter, read_temperature, read_top_p, read_top_k, read_min_p, read_seed, read_n,
    read_stop, read_max_tokens, read_presence_penalty, read_frequency_penalty, read_repetition_penalty,
    read_logit_bias, read_stream, read_stream_options, read_cache_salt, read_keep_alive,
    read_chat_template_kwargs;

/// What both requests must have and may not combine.
Result<void> check_common(const RequestDraft& draft);

}  // namespace mlxd::api::openai
