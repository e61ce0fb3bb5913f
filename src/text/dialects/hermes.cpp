// <tool_call>{"name": …, "arguments": {…}}</tool_call> for each call: Hermes 2 Pro and 3, Qwen 2.5 and 3, and
// most others without a syntax of their own.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kHermesOpeners[] = {"<tool_call>"};

Task read_hermes(OutputReader& reader, int /*opener*/) { return json_calls(reader, "</tool_call>"); }

}  // namespace

const ToolDialect hermes{.name = "hermes",
                         .openers = kHermesOpeners,
                         .read = read_hermes,
                         .opens_on_new_line = true,
                         .frame = {.call_open = "<tool_call>\n{\"name\": \"",
                                   .arguments_open = "\", \"arguments\": ",
                                   .call_close = "}\n</tool_call>",
                                   .separator = "\n"}};

}  // namespace mlxd::dialects
