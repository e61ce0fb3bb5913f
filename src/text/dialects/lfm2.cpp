// <|tool_call_start|>[name(key="value"), …]<|tool_call_end|>: LFM2. Asked for JSON it writes objects there.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"
#include "text/dialects/python_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kLfm2Openers[] = {"<|tool_call_start|>"};
constexpr std::string_view kCloser = "<|tool_call_end|>";

Task read_lfm2(OutputReader& reader, int /*opener*/) {
  co_await reader.skip_space();
  static constexpr std::string_view kObjects[] = {"[{", "{"};
  // What comes is looked at, not taken: both ways of reading begin with it.
  for (;;) {
    const std::string_view rest = reader.source().rest();
    if (rest.starts_with(kObjects[0]) || rest.starts_with(kObjects[1]))
      co_return co_await json_calls(reader, kCloser);
    if (rest.size() >= kObjects[0].size() || reader.source().closed()) break;
    co_await reader.source().more(rest.size() + 1);
  }
  co_return co_await python_calls(reader, kCloser);
}

}  // namespace

const ToolDialect lfm2{.name = "lfm2",
                       .openers = kLfm2Openers,
                       .read = read_lfm2,
                       .frame = {.section_open = "<|tool_call_start|>[",
                                 .arguments_open = "(",
                                 .call_close = ")",
                                 .separator = ", ",
                                 .section_close = "]<|tool_call_end|>",
                                 .arguments = ArgumentSyntax::kKeywords,
                                 .argument_separator = ", "}};

}  // namespace mlxd::dialects
