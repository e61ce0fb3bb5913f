// Tags that begin with ｜DSML｜, each value saying whether it is a string: DeepSeek V3.2.
#include "text/dialects/dialect_list.h"
#include "text/dialects/tagged_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kDeepseekV32Openers[] = {"<｜DSML｜function_calls>"};
constexpr TaggedSyntax kDeepseekV32Syntax{
    .call_open = "<｜DSML｜invoke name=\"",
    .name_end = "\">",
    .parameter_open = "<｜DSML｜parameter name=\"",
    .key_end = "\"",
    .parameter_close = "</｜DSML｜parameter>",
    .call_close = "</｜DSML｜invoke>",
    .section_close = "</｜DSML｜function_calls>",
    .has_attributes = true,
};

Task read_deepseek_v32(OutputReader& reader, int /*opener*/) {
  return tagged_calls(reader, kDeepseekV32Syntax);
}

}  // namespace

const ToolDialect deepseek_v32{.name = "deepseek_v32",
                               .openers = kDeepseekV32Openers,
                               .read = read_deepseek_v32,
                               .opens_on_new_line = true,
                               .frame = {.section_open = "<｜DSML｜function_calls>\n",
                                         .call_open = "<｜DSML｜invoke name=\"",
                                         .arguments_open = "\">\n",
                                         .call_close = "</｜DSML｜invoke>\n",
                                         .section_close = "</｜DSML｜function_calls>",
                                         .arguments = ArgumentSyntax::kTags,
                                         .key_open = "<｜DSML｜parameter name=\"",
                                         .key_close = "\" string=\"true\">",
                                         .bare_key_close = "\" string=\"false\">",
                                         .value_close = "</｜DSML｜parameter>",
                                         .after_value = "\n"}};

}  // namespace mlxd::dialects
