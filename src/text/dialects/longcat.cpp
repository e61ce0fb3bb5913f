// <longcat_tool_call>NAME<longcat_arg_key>KEY</longcat_arg_key><longcat_arg_value>VALUE</longcat_arg_value>
// </longcat_tool_call>, or a JSON object inside: LongCat.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"
#include "text/dialects/tagged_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kLongcatOpeners[] = {"<longcat_tool_call>"};
constexpr PairSyntax kLongcatSyntax{.key_open = "<longcat_arg_key>",
                                    .key_close = "</longcat_arg_key>",
                                    .value_open = "<longcat_arg_value>",
                                    .value_close = "</longcat_arg_value>",
                                    .section_close = "</longcat_tool_call>"};

Task read_longcat(OutputReader& reader, int /*opener*/) {
  bool ok = false;
  char c = 0;
  co_await reader.skip_space();
  ok = co_await reader.peek(c);
  if (!ok) co_return false;
  if (c == '{') co_return co_await json_calls(reader, kLongcatSyntax.section_close);
  co_return co_await paired_call(reader, kLongcatSyntax);
}

}  // namespace

const ToolDialect longcat{.name = "longcat",
                          .openers = kLongcatOpeners,
                          .read = read_longcat,
                          .opens_on_new_line = true,
                          .frame = {.call_open = "<longcat_tool_call>",
                                    .arguments_open = "\n",
                                    .call_close = "</longcat_tool_call>",
                                    .separator = "\n",
                                    .arguments = ArgumentSyntax::kTags,
                                    .key_open = "<longcat_arg_key>",
                                    .key_close = "</longcat_arg_key>\n<longcat_arg_value>",
                                    .value_close = "</longcat_arg_value>",
                                    .after_value = "\n"}};

}  // namespace mlxd::dialects
