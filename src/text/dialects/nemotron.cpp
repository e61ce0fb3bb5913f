// <TOOLCALL>[{"name": …, "arguments": {…}}, …]</TOOLCALL>: Nemotron Nano 2 and Llama Nemotron.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kNemotronOpeners[] = {"<TOOLCALL>"};

Task read_nemotron(OutputReader& reader, int /*opener*/) { return json_calls(reader, "</TOOLCALL>"); }

}  // namespace

const ToolDialect nemotron{.name = "nemotron",
                           .openers = kNemotronOpeners,
                           .read = read_nemotron,
                           .frame = {.section_open = "<TOOLCALL>[",
                                     .call_open = "{\"name\": \"",
                                     .arguments_open = "\", \"arguments\": ",
                                     .call_close = "}",
                                     .separator = ", ",
                                     .section_close = "]</TOOLCALL>"}};

}  // namespace mlxd::dialects
