// [TOOL_CALLS] and a list of {"name": …, "arguments": {…}, "id": …} (v1 to v7), or for each call
// [TOOL_CALLS]NAME[ARGS]{…} (v11), with [CALL_ID] after the name in some: Mistral, Ministral, Devstral,
// Magistral.
#include <string>

#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kMistralOpeners[] = {"[TOOL_CALLS]"};

Task read_mistral(OutputReader& reader, int /*opener*/) {
  bool ok = false;
  static constexpr std::string_view kNameEnds[] = {"[CALL_ID]", "[ARGS]"};
  static constexpr std::string_view kIdEnds[] = {"[ARGS]"};
  char c = 0;
  int which = -1;
  std::string name;
  std::string id;
  co_await reader.skip_space();
  ok = co_await reader.peek(c);
  if (!ok) co_return false;
  if (c == '[' || c == '{') co_return co_await json_calls(reader, "");
  // Without either mark the arguments' brace ends the name.
  for (;;) {
    co_await reader.one_of(kNameEnds, which);
    if (which >= 0) break;
    ok = co_await reader.peek(c);
    if (!ok) co_return false;
    if (c == '{') break;
    if (c == '\n' || c == ' ' || name.size() >= 256) co_return false;
    name += c;
    reader.source().take(1);
  }
  if (which == 0) {
    ok = co_await reader.text_until(kIdEnds, which, OutputReader::Channel::kKept, &id);
    if (!ok) co_return false;
  }
  co_return co_await json_arguments_of(reader, name, id);
}

}  // namespace

const ToolDialect mistral{.name = "mistral",
                          .openers = kMistralOpeners,
                          .read = read_mistral,
                          .frame = {.section_open = "[TOOL_CALLS][",
                                    .call_open = "{\"name\": \"",
                                    .arguments_open = "\", \"arguments\": ",
                                    .call_close = "}",
                                    .separator = ", ",
                                    .section_close = "]"}};

// What is read is the same: old forms come from new models too.
const ToolDialect mistral_v11{.name = "mistral_v11",
                              .openers = kMistralOpeners,
                              .read = read_mistral,
                              .frame = {.call_open = "[TOOL_CALLS]", .arguments_open = "[ARGS]"}};

}  // namespace mlxd::dialects
