// The items of a response's input as a list of pages. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "api/field_reader.h"
#include "base/result.h"

namespace mlxd::api::openai {

/// Of the JSON that is kept of a response, in which a request's values lie deeper than in the request.
inline constexpr std::size_t kMaxKeptDepth = 2 * kMaxJsonDepth;

struct ItemPage {
  static constexpr std::int64_t kDefaultLimit = 20;
  static constexpr std::int64_t kMaxLimit = 100;

  std::size_t limit = kDefaultLimit;
  bool ascending = false;
  std::string after = {};  // the id of the last item seen; empty: from the first
};

/// {"object":"list","data":[…],"first_id":…,"last_id":…,"has_more":…} of a JSON list of items, the oldest
/// first. Errors: kInvalidArgument (no item has the id `after`), kCorruptData.
Result<std::string> encode_item_list(std::string_view items_json, const ItemPage& page);

/// {"object":"response.input_tokens","input_tokens":…}
std::string encode_input_tokens(std::int64_t count);

}  // namespace mlxd::api::openai
