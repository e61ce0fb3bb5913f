// Messages as templates want them: the form that Hugging Face documents, with what a template needs
// otherwise. Pure.
#pragma once

#include <boost/json/array.hpp>
#include <span>

#include "generation/message.h"

namespace mlxd {

/// What a template asks of messages beyond the common form.
struct MessageRules {
  bool has_system_role = true;       // else the system's words go before the first user's
  bool takes_repeated_roles = true;  // else consecutive messages of one role become one
  bool writes_calls = true;    // of an assistant's message; else they go into its text (see tool_prompt.h)
  bool writes_results = true;  // messages of role tool; else they go into a user's
  bool arguments_are_text = false;    // else an object
  bool short_call_ids = false;        // nine letters and digits, as Mistral's
  bool call_ids_have_names = false;   // functions.NAME:INDEX, as Kimi K2's; the call is known by nothing else
  bool reasoning_or_content = false;  // never both beside calls (gpt-oss)
};

boost::json::array template_messages(std::span<const Message> messages, const MessageRules& rules);

}  // namespace mlxd
