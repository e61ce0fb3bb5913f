// Messages to functions.NAME inside harmony's channels, which read_harmony reads: gpt-oss.
#include "text/dialects/dialect_list.h"

namespace mlxd::dialects {

const ToolDialect gpt_oss{.name = "gpt_oss", .openers = {}};

}  // namespace mlxd::dialects
