// <tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>: GLM 4.5 and later.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"
#include "text/dialects/tagged_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kGlm45Openers[] = {"<tool_call>"};
constexpr PairSyntax kGlm45Syntax{.key_open = "<arg_key>",
                                  .key_close = "</arg_key>",
                                  .value_open = "<arg_value>",
                                  .value_close = "</arg_value>",
                                  .section_close = "</tool_call>"};

Task read_glm4_5(OutputReader& reader, int /*opener*/) {
  bool ok = false;
  char c = 0;
  co_await reader.skip_space();
  ok = co_await reader.peek(c);
  if (!ok) co_return false;
  if (c == '{') co_return co_await json_calls(reader, kGlm45Syntax.section_close);
  co_return co_await paired_call(reader, kGlm45Syntax);
}

}  // namespace

const ToolDialect glm4_5{.name = "glm4_5",
                         .openers = kGlm45Openers,
                         .read = read_glm4_5,
                         .opens_on_new_line = true,
                         .frame = {.call_open = "<tool_call>",
                                   .arguments_open = "\n",
                                   .call_close = "</tool_call>",
                                   .separator = "\n",
                                   .arguments = ArgumentSyntax::kTags,
                                   .key_open = "<arg_key>",
                                   .key_close = "</arg_key>\n<arg_value>",
                                   .value_close = "</arg_value>",
                                   .after_value = "\n"}};

}  // namespace mlxd::dialects
