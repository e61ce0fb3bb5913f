// What the parts of a messages request are read into, and the readers of the larger ones. Pure.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/openai/request_fields.h"
#include "base/result.h"
#include "generation/conversation.h"

namespace mlxd::api::anthropic {

/// What a request says beyond the call itself, needed to check fields against each other.
struct MessagesDraft {
  openai::RequestDraft common;
  std::string system;
  bool no_tools = false;                       // none may be called
  std::vector<std::string> absent_tools = {};  // names of tools that Anthropic itself would run

  GenerationCall& call() { return common.call; }
  Conversation& conversation() {
    if (!common.call.conversation) common.call.conversation.emplace();
    return *common.call.conversation;
  }
  bool ignore_unknown(std::string path) { return common.ignore_unknown(std::move(path)); }
};

/// A system prompt's text: a string, or text blocks one after the other. Agents begin it with a line about
/// billing that changes with every request: it says nothing to the model and is left out, so that the prompt
/// begins as the last one did.
Result<std::string> read_system_text(const boost::json::value& value, std::string_view field);

/// Results of tools become messages of role tool, before what the user says beside them; a system message
/// after the first message becomes a user's reminder. `strict` as
/// decode_messages_request. Errors name the block.
Result<std::vector<Message>> read_messages(const boost::json::value& messages, bool strict);

/// `tools`: those with a schema; the rest goes into absent_tools and the call's ignored fields.
Result<void> read_tools(const boost::json::value& value, std::string_view field, MessagesDraft& draft);
Result<void> read_tool_choice(const boost::json::value& value, std::string_view field, MessagesDraft& draft);
/// What tool_choice asks for must be there.
Result<void> check_tools(const MessagesDraft& draft);

}  // namespace mlxd::api::anthropic
