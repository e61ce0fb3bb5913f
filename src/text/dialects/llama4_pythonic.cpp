// [name(key="value"), …] as the whole answer, or between <|python_start|> and <|python_end|>: Llama 3.2
// (small) and 4.
#include "text/dialects/dialect_list.h"
#include "text/dialects/python_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kLlama4PythonicOpeners[] = {"<|python_start|>"};

Task read_llama4_pythonic(OutputReader& reader, int /*opener*/) {
  return python_calls(reader, "<|python_end|>");
}

// Text in brackets that calls no tool stays text.
Task read_unmarked_llama4_pythonic(OutputReader& reader) {
  bool ok = false;
  char c = 0;
  ok = co_await reader.peek(c);
  if (!ok) co_return false;
  if (c != '[') co_return false;
  co_return co_await python_calls(reader, "", true);
}

}  // namespace

const ToolDialect llama4_pythonic{.name = "llama4_pythonic",
                                  .openers = kLlama4PythonicOpeners,
                                  .read = read_llama4_pythonic,
                                  .read_unmarked = read_unmarked_llama4_pythonic,
                                  .unmarked_begin = "[",
                                  .frame = {.section_open = "[",
                                            .arguments_open = "(",
                                            .call_close = ")",
                                            .separator = ", ",
                                            .section_close = "]",
                                            .arguments = ArgumentSyntax::kKeywords,
                                            .argument_separator = ", "}};

}  // namespace mlxd::dialects
