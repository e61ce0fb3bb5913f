// The catalog's values as the management API writes and reads them. Pure; the program's own command line
// prints the same.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/field_shape.h"
#include "base/result.h"
#include "catalog/download.h"
#include "catalog/hub_client.h"
#include "catalog/hub_variants.h"
#include "catalog/memory_fit.h"
#include "catalog/model_catalog.h"
#include "catalog/recommended_models.h"

namespace mlxd::api::manage {

struct ModelStanding {
  bool loaded = false;
  bool supported = false;  // whether this program has its architecture
};

boost::json::object facts_json(const ModelFacts& facts);
boost::json::object fit_json(const MemoryFit& fit);
/// With its revisions and their files if `whole`.
boost::json::object model_json(const CatalogModel& model, const ModelStanding& standing, const MemoryFit& fit,
                               bool whole);
boost::json::object hub_model_json(const HubModel& model);
boost::json::object variants_json(const HubVariants& found);
boost::json::object recommendation_json(const Recommendation& recommendation);
boost::json::object download_json(const DownloadStatus& status);
boost::json::object removed_json(const Removed& removed);

boost::json::object hub_account_json(const HubAccount& account);
std::vector<FieldInfo> token_test_infos(), download_infos();

/// {"token"?: "hf_…"}; empty: the one that is kept.
Result<std::string> decode_token_test(std::string_view body);

struct DownloadRequest {
  std::string repository;
  std::string revision = "main";
  std::vector<std::string> patterns;
};
/// {"model": "org/name", "revision"?, "files"?: ["*.gguf"]}; a model may be written "org/name@revision".
Result<DownloadRequest> decode_download_request(std::string_view body);

/// Name and value of "a=1&b=x%20y", decoded ("+" is a blank). Errors: kInvalidArgument for a malformed
/// escape.
Result<std::vector<std::pair<std::string, std::string>>> decode_query(std::string_view query);

}  // namespace mlxd::api::manage
