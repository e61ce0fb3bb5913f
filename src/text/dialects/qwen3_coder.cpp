// <tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>: Qwen3-Coder, Qwen 3.5,
// Nemotron 3, Step. They sometimes leave the outer tag out, or fall back to hermes.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"
#include "text/dialects/tagged_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kQwen3CoderOpeners[] = {"<tool_call>", "<function="};
constexpr TaggedSyntax kQwen3CoderSyntax{
    .call_open = "<function=",
    .name_end = ">",
    .parameter_open = "<parameter=",
    .key_end = ">",
    .parameter_close = "</parameter>",
    .call_close = "</function>",
    .section_close = "</tool_call>",
};

Task read_qwen3_coder(OutputReader& reader, int opener) {
  bool ok = false;
  char c = 0;
  if (opener == 1) co_return co_await tagged_calls(reader, kQwen3CoderSyntax, true);
  co_await reader.skip_space();
  ok = co_await reader.peek(c);
  if (!ok) co_return false;
  if (c == '{') co_return co_await json_calls(reader, kQwen3CoderSyntax.section_close);
  co_return co_await tagged_calls(reader, kQwen3CoderSyntax);
}

}  // namespace

const ToolDialect qwen3_coder{.name = "qwen3_coder",
                              .openers = kQwen3CoderOpeners,
                              .read = read_qwen3_coder,
                              .opens_on_new_line = true,
                              .frame = {.call_open = "<tool_call>\n<function=",
                                        .arguments_open = ">\n",
                                        .call_close = "</function>\n</tool_call>",
                                        .separator = "\n",
                                        .arguments = ArgumentSyntax::kTags,
                                        .key_open = "<parameter=",
                                        .key_close = ">\n",
                                        .value_close = "</parameter>",
                                        .bare_value_close = "\n</parameter>",
                                        .after_value = "\n"}};

}  // namespace mlxd::dialects
