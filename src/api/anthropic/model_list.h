// GET /v1/models and /v1/models/{id} as Anthropic's clients read them. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "api/openai/model_list.h"
#include "base/result.h"

namespace mlxd::api::anthropic {

using openai::ModelEntry;

/// Which of the models: `limit` after or before one of them.
struct ModelPage {
  std::size_t limit = 20;  // 1 … 1000
  std::string after_id = {};
  std::string before_id = {};
};
/// Of a URL's query. Errors (kInvalidArgument): a limit out of range, both ids.
Result<ModelPage> read_model_page(std::string_view query);

std::string encode_model(const ModelEntry& model);
/// {data, has_more, first_id, last_id}. Errors (kInvalidArgument): an id that none of the models has.
Result<std::string> encode_model_list(std::span<const ModelEntry> models, const ModelPage& page);

}  // namespace mlxd::api::anthropic
