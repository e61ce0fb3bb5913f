// <minimax:tool_call><invoke name="NAME"><parameter
// name="KEY">VALUE</parameter></invoke></minimax:tool_call>: MiniMax M2.
#include "text/dialects/dialect_list.h"
#include "text/dialects/tagged_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kMinimaxM2Openers[] = {"<minimax:tool_call>"};
constexpr TaggedSyntax kMinimaxM2Syntax{
    .call_open = "<invoke name=\"",
    .name_end = "\">",
    .parameter_open = "<parameter name=\"",
    .key_end = "\">",
    .parameter_close = "</parameter>",
    .call_close = "</invoke>",
    .section_close = "</minimax:tool_call>",
};

Task read_minimax_m2(OutputReader& reader, int /*opener*/) { return tagged_calls(reader, kMinimaxM2Syntax); }

}  // namespace

const ToolDialect minimax_m2{.name = "minimax_m2",
                             .openers = kMinimaxM2Openers,
                             .read = read_minimax_m2,
                             .opens_on_new_line = true,
                             .frame = {.section_open = "<minimax:tool_call>\n",
                                       .call_open = "<invoke name=\"",
                                       .arguments_open = "\">\n",
                                       .call_close = "</invoke>\n",
                                       .section_close = "</minimax:tool_call>",
                                       .arguments = ArgumentSyntax::kTags,
                                       .key_open = "<parameter name=\"",
                                       .key_close = "\">",
                                       .value_close = "</parameter>",
                                       .after_value = "\n"}};

}  // namespace mlxd::dialects
