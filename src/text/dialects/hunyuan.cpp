// <tool_calls>[{"name": …, "arguments": {…}}, …]</tool_calls>: Hunyuan; MiniMax M1 without the list.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kHunyuanOpeners[] = {"<tool_calls>"};

Task read_hunyuan(OutputReader& reader, int /*opener*/) { return json_calls(reader, "</tool_calls>"); }

}  // namespace

const ToolDialect hunyuan{.name = "hunyuan",
                          .openers = kHunyuanOpeners,
                          .read = read_hunyuan,
                          .opens_on_new_line = true,
                          .frame = {.section_open = "<tool_calls>\n[",
                                    .call_open = "{\"name\": \"",
                                    .arguments_open = "\", \"arguments\": ",
                                    .call_close = "}",
                                    .separator = ", ",
                                    .section_close = "]\n</tool_calls>"}};

}  // namespace mlxd::dialects
