// {"name": …, "parameters": {…}} as the whole answer, several with semicolons between, sometimes after
// <|python_tag|>: Llama 3.1 to 3.3.
#include "text/dialects/dialect_list.h"
#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kLlama3JsonOpeners[] = {"<|python_tag|>"};

Task objects(OutputReader& reader, bool known_only) {
  bool ok = false;
  static constexpr std::string_view kSeparators[] = {";", ","};
  char c = 0;
  int which = -1;
  for (;;) {
    co_await reader.skip_space();
    ok = co_await json_call(reader, {.keep_ids = false, .known_only = known_only});
    if (!ok) co_return false;
    co_await reader.skip_space();
    co_await reader.one_of(kSeparators, which);
    co_await reader.skip_space();
    ok = co_await reader.peek(c);
    if (!ok) co_return true;
    // A sign that separates nothing belongs to the text after it.
    if (c != '{') co_return which < 0;
  }
}

Task read_llama3_json(OutputReader& reader, int /*opener*/) { return objects(reader, false); }
// An answer that is JSON for other reasons names no tool.
Task read_unmarked_llama3_json(OutputReader& reader) { return objects(reader, true); }

}  // namespace

const ToolDialect llama3_json{.name = "llama3_json",
                              .openers = kLlama3JsonOpeners,
                              .read = read_llama3_json,
                              .read_unmarked = read_unmarked_llama3_json,
                              .unmarked_begin = "{",
                              .frame = {.call_open = "{\"name\": \"",
                                        .arguments_open = "\", \"parameters\": ",
                                        .call_close = "}",
                                        .separator = "; "}};

}  // namespace mlxd::dialects
