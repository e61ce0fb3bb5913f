// <|tool_call|>[{"name": …, "arguments": {…}}, …]<|/tool_call|>: Phi 4 mini.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kPhi4Openers[] = {"<|tool_call|>"};

Task read_phi4(OutputReader& reader, int /*opener*/) { return json_calls(reader, "<|/tool_call|>"); }

}  // namespace

const ToolDialect phi4{.name = "phi4",
                       .openers = kPhi4Openers,
                       .read = read_phi4,
                       .frame = {.section_open = "<|tool_call|>[",
                                 .call_open = "{\"name\": \"",
                                 .arguments_open = "\", \"arguments\": ",
                                 .call_close = "}",
                                 .separator = ", ",
                                 .section_close = "]<|/tool_call|>"}};

}  // namespace mlxd::dialects
