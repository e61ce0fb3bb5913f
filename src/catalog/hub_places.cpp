#include "catalog/hub_places.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <optional>

namespace mlxd {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxTokenBytes = 4096;

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

fs::path user_home() {
  if (const auto home = variable("HOME")) return *home;
  const passwd* user = ::getpwuid(::getuid());
  return user != nullptr && user->pw_dir != nullptr ? user->pw_dir : "/";
}

fs::path hub_home() {
  if (const auto home = variable("HF_HOME")) return with_user_home(*home);
  if (const auto cache = variable("XDG_CACHE_HOME")) return with_user_home(*cache) / "huggingface";
  return user_home() / ".cache" / "huggingface";
}

bool is_true(const char* name) {
  std::string value = variable(name).value_or("");
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

std::string trimmed(const std::string& text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

}  // namespace

fs::path with_user_home(const std::string& text) {
  if (text == "~") return user_home();
  if (text.starts_with("~/")) return user_home() / text.substr(2);
  return text;
}

// It becomes part of a header: nothing but visible ASCII may be in it.
Result<std::string> checked_hub_token(const std::string& text, const std::string& source) {
  std::string token = trimmed(text);
  const bool visible = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!visible || token.size() > kMaxTokenBytes)
    return invalid_argument("the token of " + source + " is none: it must be one word of visible letters");
  return token;
}

fs::path hub_cache_folder() {
  if (const auto folder = variable("HF_HUB_CACHE")) return with_user_home(*folder);
  if (const auto folder = variable("HUGGINGFACE_HUB_CACHE")) return with_user_home(*folder);
  return hub_home() / "hub";
}

Result<HubPlaces> locate_hub() {
  HubPlaces places;
  places.cache = hub_cache_folder();
  for (const char* name : {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"})
    if (places.offline_by.empty() && is_true(name)) places.offline_by = name;
  if (const auto endpoint = variable("HF_ENDPOINT")) {
    places.endpoint = trimmed(*endpoint);
    while (places.endpoint.ends_with('/')) places.endpoint.pop_back();
    if (!places.endpoint.starts_with("http://") && !places.endpoint.starts_with("https://"))
      return invalid_argument("HF_ENDPOINT is '" + *endpoint + "': it must begin with https:// or http://");
  }
  const auto token_path = variable("HF_TOKEN_PATH");
  places.token_file = token_path ? with_user_home(*token_path) : hub_home() / "token";
  if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return places;
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    const auto token = variable(name);
    if (!token) continue;
    places.token = TRY(checked_hub_token(*token, name));
    places.token_source = name;
    return places;
  }
  std::ifstream file(places.token_file);
  if (std::string line; std::getline(file, line)) {
    places.token = TRY(checked_hub_token(line.substr(0, kMaxTokenBytes + 1), places.token_file.string()));
    places.token_from_file = !places.token.empty();
    if (places.token_from_file) places.token_source = places.token_file.string();
  }
  return places;
}

}  // namespace mlxd
