// <function_calls> with a call name(key="value") on each line </function_calls>: OLMo 3.
#include "text/dialects/dialect_list.h"
#include "text/dialects/python_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kOlmo3Openers[] = {"<function_calls>"};

Task read_olmo3(OutputReader& reader, int /*opener*/) { return python_calls(reader, "</function_calls>"); }

}  // namespace

const ToolDialect olmo3{.name = "olmo3",
                        .openers = kOlmo3Openers,
                        .read = read_olmo3,
                        .opens_on_new_line = true,
                        .frame = {.section_open = "<function_calls>\n",
                                  .arguments_open = "(",
                                  .call_close = ")",
                                  .separator = "\n",
                                  .section_close = "\n</function_calls>",
                                  .arguments = ArgumentSyntax::kKeywords,
                                  .argument_separator = ", "}};

}  // namespace mlxd::dialects
