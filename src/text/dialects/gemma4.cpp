// <|tool_call>call:NAME{key:<|"|>text<|"|>}<tool_call|>: Gemma 4.
#include "text/dialects/dialect_list.h"
#include "text/dialects/gemma_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kGemma4Openers[] = {"<|tool_call>"};

Task read_gemma4(OutputReader& reader, int /*opener*/) {
  return gemma_call(reader, "<|\"|>", "<tool_call|>");
}

}  // namespace

const ToolDialect gemma4{.name = "gemma4",
                         .openers = kGemma4Openers,
                         .read = read_gemma4,
                         .frame = {.call_open = "<|tool_call>call:",
                                   .arguments_open = "{",
                                   .call_close = "}<tool_call|>",
                                   .arguments = ArgumentSyntax::kGemma,
                                   .argument_separator = ",",
                                   .quote = "<|\"|>"}};

}  // namespace mlxd::dialects
