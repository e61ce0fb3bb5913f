// <|tool_calls_section_begin|> and for each call
// <|tool_call_begin|>functions.NAME:INDEX<|tool_call_argument_begin|> {…}<|tool_call_end|>: Kimi K2. The
// whole of "functions.NAME:INDEX" is the call's id.
#include <string>

#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kKimiK2Openers[] = {"<|tool_calls_section_begin|>", "<|tool_call_begin|>"};

Task read_kimi_k2(OutputReader& reader, int opener) {
  bool ok = false;
  static constexpr std::string_view kNext[] = {"<|tool_call_begin|>", "<|tool_calls_section_end|>"};
  static constexpr std::string_view kIdEnds[] = {"<|tool_call_argument_begin|>"};
  static constexpr std::string_view kCallEnds[] = {"<|tool_call_end|>"};
  constexpr std::string_view kSpace = " \t\r\n";
  int which = -1;
  std::string id;
  for (bool first = true;; first = false) {
    if (!(first && opener == 1)) {
      co_await reader.skip_space();
      co_await reader.one_of(kNext, which);
      if (which != 0) co_return !first;
    }
    id.clear();
    co_await reader.skip_space();
    ok = co_await reader.text_until(kIdEnds, which, OutputReader::Channel::kKept, &id);
    if (!ok) co_return false;
    while (!id.empty() && kSpace.find(id.back()) != std::string_view::npos) id.pop_back();
    std::string_view name = id;
    if (name.starts_with("functions.")) name.remove_prefix(std::string_view("functions.").size());
    name = name.substr(0, name.rfind(':'));
    ok = co_await json_arguments_of(reader, name, id);
    if (!ok) co_return false;
    co_await reader.skip_space();
    co_await reader.one_of(kCallEnds, which);
  }
}

}  // namespace

const ToolDialect kimi_k2{.name = "kimi_k2",
                          .openers = kKimiK2Openers,
                          .read = read_kimi_k2,
                          .frame = {.section_open = "<|tool_calls_section_begin|>",
                                    .call_open = "<|tool_call_begin|>functions.",
                                    .numbers_calls = true,
                                    .arguments_open = "<|tool_call_argument_begin|>",
                                    .call_close = "<|tool_call_end|>",
                                    .section_close = "<|tool_calls_section_end|>"}};

}  // namespace mlxd::dialects
