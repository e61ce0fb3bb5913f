// Sections of special tokens: DeepSeek V3 and R1 write "function", a separator, the name and a code block;
// V3.1 the name, a separator and the arguments.
#include <string>

#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kDeepseekV3Openers[] = {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"};
constexpr std::string_view kCallBegin = "<｜tool▁call▁begin｜>";
constexpr std::string_view kCallEnd = "<｜tool▁call▁end｜>";
constexpr std::string_view kSectionEnd = "<｜tool▁calls▁end｜>";

Task read_deepseek_v3(OutputReader& reader, int opener) {
  bool ok = false;
  static constexpr std::string_view kNext[] = {kCallBegin, kSectionEnd};
  static constexpr std::string_view kSeparators[] = {"<｜tool▁sep｜>"};
  static constexpr std::string_view kLineBreaks[] = {"\n"};
  static constexpr std::string_view kBlockOpen[] = {"```json", "```"};
  static constexpr std::string_view kCallEnds[] = {kCallEnd};
  int which = -1;
  std::string name;
  for (bool first = true;; first = false) {
    if (!(first && opener == 1)) {
      co_await reader.skip_space();
      co_await reader.one_of(kNext, which);
      if (which != 0) co_return !first;
    }
    name.clear();
    ok = co_await reader.text_until(kSeparators, which, OutputReader::Channel::kKept, &name);
    if (!ok) co_return false;
    if (name == "function") {
      name.clear();
      ok = co_await reader.text_until(kLineBreaks, which, OutputReader::Channel::kKept, &name);
      if (!ok) co_return false;
      co_await reader.one_of(kBlockOpen, which);
    }
    ok = co_await json_arguments_of(reader, name);
    if (!ok) co_return false;
    co_await reader.skip_space();
    co_await reader.one_of(kBlockOpen, which);
    co_await reader.skip_space();
    co_await reader.one_of(kCallEnds, which);
  }
}

}  // namespace

const ToolDialect deepseek_v3{.name = "deepseek_v3",
                              .openers = kDeepseekV3Openers,
                              .read = read_deepseek_v3,
                              .frame = {.section_open = "<｜tool▁calls▁begin｜>",
                                        .call_open = "<｜tool▁call▁begin｜>",
                                        .arguments_open = "<｜tool▁sep｜>",
                                        .call_close = "<｜tool▁call▁end｜>",
                                        .section_close = "<｜tool▁calls▁end｜>"}};

}  // namespace mlxd::dialects
