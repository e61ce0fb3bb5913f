// <|tool_call|>[{"name": …, "arguments": {…}}, …]: Granite 3; early ones write the tag as text.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kGranite3Openers[] = {"<|tool_call|>", "<tool_call>"};
constexpr std::string_view kGranite3Closers[] = {"", "</tool_call>"};  // of each

Task read_granite3(OutputReader& reader, int opener) { return json_calls(reader, kGranite3Closers[opener]); }

}  // namespace

const ToolDialect granite3{.name = "granite3",
                           .openers = kGranite3Openers,
                           .read = read_granite3,
                           .frame = {.section_open = "<|tool_call|>[",
                                     .call_open = "{\"name\": \"",
                                     .arguments_open = "\", \"arguments\": ",
                                     .call_close = "}",
                                     .separator = ", ",
                                     .section_close = "]"}};

}  // namespace mlxd::dialects
