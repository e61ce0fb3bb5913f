// What a chat template can do and wants, found by rendering small conversations with it: no list of models
// has to be kept, and a template that was edited is taken as it is. Pure but for the template.
#pragma once

#include <string>
#include <vector>

#include "text/chat_template.h"
#include "text/template_messages.h"

namespace mlxd {

/// A variable that changes what the template writes.
struct TemplateSwitch {
  std::string name;
  std::string default_json;  // the value that changes nothing: "true", "\"medium\""; empty if none is known
};

struct TemplateTraits {
  MessageRules rules;
  bool offers_tools = false;  // it tells the model about tools
  std::vector<TemplateSwitch> switches;

  const TemplateSwitch* find_switch(std::string_view name) const;
};

TemplateTraits find_traits(const ChatTemplate& chat_template);

}  // namespace mlxd
