// Where the hub is and where its downloads lie, by the variables of the environment that huggingface_hub
// reads (its constants.py). Functions.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace mlxd {

struct HubPlaces {
  std::filesystem::path cache;  // HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub
  std::string endpoint = "https://huggingface.co";  // HF_ENDPOINT; no slash at its end
  std::string token = {};                           // HF_TOKEN, else the file HF_TOKEN_PATH; empty: none
  std::string token_source = {};                    // "HF_TOKEN", the file's path, or empty
  bool token_from_file = false;
  std::filesystem::path token_file;  // where `hf auth login` puts it
  std::string offline_by = {};       // HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE, if it says so; empty: online
};

/// Errors: kInvalidArgument for a token or an endpoint that cannot be one, naming where it stands.
Result<HubPlaces> locate_hub();
/// Without the space around it. Errors: kInvalidArgument, naming `source`, for what can be no token.
Result<std::string> checked_hub_token(const std::string& text, const std::string& source);
/// `text` with the user's home in place of a leading "~" or "~/".
std::filesystem::path with_user_home(const std::string& text);
/// The cache alone, which cannot fail.
std::filesystem::path hub_cache_folder();

}  // namespace mlxd
