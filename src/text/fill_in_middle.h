// Writing what belongs between two texts, with the tokens that a model was trained to do it with. Pure.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/token.h"
#include "text/tokenizer.h"

namespace mlxd {

struct FillInMiddle {
  std::vector<TokenId> prompt;
  std::vector<TokenId> end_tokens;  // end the middle, beside the model's own
};

/// The prompt for what stands between `prefix` and `suffix`. Errors: kUnsupported if the tokenizer has no
/// such tokens; as Tokenizer::encode.
Result<FillInMiddle> fill_in_middle(const Tokenizer& tokenizer, std::string_view prefix,
                                    std::string_view suffix);

}  // namespace mlxd
