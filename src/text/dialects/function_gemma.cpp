// <start_function_call>call:NAME{key:<escape>text<escape>}<end_function_call>: FunctionGemma.
#include "text/dialects/dialect_list.h"
#include "text/dialects/gemma_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kFunctionGemmaOpeners[] = {"<start_function_call>"};

Task read_function_gemma(OutputReader& reader, int /*opener*/) {
  return gemma_call(reader, "<escape>", "<end_function_call>");
}

}  // namespace

const ToolDialect function_gemma{.name = "function_gemma",
                                 .openers = kFunctionGemmaOpeners,
                                 .read = read_function_gemma,
                                 .frame = {.call_open = "<start_function_call>call:",
                                           .arguments_open = "{",
                                           .call_close = "}<end_function_call>",
                                           .arguments = ArgumentSyntax::kGemma,
                                           .argument_separator = ",",
                                           .quote = "<escape>"}};

}  // namespace mlxd::dialects
