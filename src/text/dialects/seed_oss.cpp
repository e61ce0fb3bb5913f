// <seed:tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></seed:tool_call>: Seed-OSS.
#include "text/dialects/dialect_list.h"
#include "text/dialects/tagged_calls.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kSeedOssOpeners[] = {"<seed:tool_call>"};
constexpr TaggedSyntax kSeedOssSyntax{
    .call_open = "<function=",
    .name_end = ">",
    .parameter_open = "<parameter=",
    .key_end = ">",
    .parameter_close = "</parameter>",
    .call_close = "</function>",
    .section_close = "</seed:tool_call>",
};

Task read_seed_oss(OutputReader& reader, int /*opener*/) { return tagged_calls(reader, kSeedOssSyntax); }

}  // namespace

const ToolDialect seed_oss{.name = "seed_oss",
                           .openers = kSeedOssOpeners,
                           .read = read_seed_oss,
                           .opens_on_new_line = true,
                           .frame = {.section_open = "<seed:tool_call>\n",
                                     .call_open = "<function=",
                                     .arguments_open = ">\n",
                                     .call_close = "</function>\n",
                                     .section_close = "</seed:tool_call>",
                                     .arguments = ArgumentSyntax::kTags,
                                     .key_open = "<parameter=",
                                     .key_close = ">",
                                     .value_close = "</parameter>",
                                     .after_value = "\n"}};

}  // namespace mlxd::dialects
