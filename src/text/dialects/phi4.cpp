// <|tool_call|>[{"name": …, "arguments": {…}}, …]<|/tool_call|>: Phi 4 mini.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kOpeners[] = {"<|tool_call|>"};

Task read(OutputReader& reader, int /*opener*/) { return json_calls(reader, "<|/tool_call|>"); }

}  // namespace

const ToolDialect phi4{.name = "phi4",
                       .openers = kOpeners,
                       .read = read,
                       .frame = {.section_open = "<|tool_call|>[",
                                 .call_open = "{\"name\": \"",
                                 .arguments_open = "\", \"arguments\": ",
                                 .call_close = "}",
                                 .separator = ", ",
                                 .section_close = "]<|/tool_call|>"}};

}  // namespace mlxd::dialects
