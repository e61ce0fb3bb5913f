// Fields that /api/chat and /api/generate share, and the target that both tables fill.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/field_reader.h"
#include "api/openai/request_fields.h"
#include "base/result.h"

namespace mlxd::api::ollama {

/// What a request says beyond the call itself, needed to check fields against each other.
struct RequestDraft {
  openai::RequestDraft common;  // what the APIs read alike
  bool strict = false;
  bool has_top_logprobs = false;
  bool raw = false;
  bool thinks = false;          // it asks for reasoning
  bool no_penalties = false;    // of repetition: options.repeat_last_n is 0
  bool penalty_window = false;  // they should see the last so many tokens only
  std::string prompt = {};
  std::string system = {};

  GenerationCall& call() { return common.call; }
  /// The call's conversation, made if it has none yet.
  Conversation& conversation();
  bool ignore_unknown(std::string path) { return common.ignore_unknown(std::move(path)); }
};

using ReadField = Result<void>(const boost::json::value& value, std::string_view field, RequestDraft& draft);

/// A reader of OpenAI's requests on this draft.
template <openai::ReadField* Read>
Result<void> read_as_openai(const boost::json::value& value, std::string_view field, RequestDraft& draft) {
  return Read(value, field, draft.common);
}

/// `options`: an object of sampling and runner settings. Those that nothing here can follow are noted as
/// ignored, or, if strict, refused.
ReadField read_options;
std::vector<FieldInfo> option_infos();
/// "json" or a JSON schema.
ReadField read_format;
/// true, false or a level.
ReadField read_think;
ReadField read_logprobs, read_top_logprobs;
/// Only values that ask for nothing: false, "", [], {}.
ReadField allow_nothing;
inline constexpr std::string_view kOwnTemplate =
    "the model's own template is used; leave it out, or send raw: true and all of the prompt";
inline constexpr std::string_view kNoContext = "send the turns so far as messages to /api/chat";
inline constexpr std::string_view kTextOnly = "this model takes text only";

/// A draft with this API's defaults. `strict`: options that nothing here can follow are refused.
RequestDraft new_draft(bool strict, UnknownFields unknown);
/// What both requests must have and may not combine.
Result<void> check_common(const RequestDraft& draft);

}  // namespace mlxd::api::ollama
