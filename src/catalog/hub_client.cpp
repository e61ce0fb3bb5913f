#include "catalog/hub_client.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <random>
#include <utility>

#include "catalog/hub_names.h"
#include "catalog/json_reading.h"

namespace mlxd {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxAnswerBytes = std::size_t{64} << 20U;
constexpr std::chrono::milliseconds kMaxDelay{30000};
// What a search asks for beside names (hf_api.py, ExpandModelProperty_T).
constexpr std::array<const char*, 12> kSearchFields = {
    "author", "config",  "downloads",   "gated", "lastModified", "library_name",
    "likes",  "private", "safetensors", "tags",  "usedStorage",  "pipeline_tag"};

std::vector<std::string> texts_of(const json::value* value) {
  std::vector<std::string> texts;
  if (value == nullptr) return texts;
  if (value->is_string()) texts.emplace_back(value->get_string());
  if (const json::array* list = value->if_array()) {
    for (const json::value& each : *list)
      if (each.is_string()) texts.emplace_back(each.get_string());
  }
  return texts;
}

// What follows `prefix` in the first tag that begins with it.
std::string tagged(const std::vector<std::string>& tags, std::string_view prefix) {
  for (const std::string& tag : tags)
    if (tag.starts_with(prefix)) return tag.substr(prefix.size());
  return {};
}

Result<HubFile> read_file_entry(const json::value& value) {
  const json::object* entry = value.if_object();
  if (entry == nullptr) return corrupt_data("the hub lists a file that is no object");
  HubFile file;
  file.path = text_at(*entry, "rfilename");
  if (!is_safe_file_path(file.path))
    return corrupt_data("the hub lists a file with the name '" + file.path.substr(0, 200) +
                        "', which could lie outside its folder");
  file.size_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_at(*entry, "size")));
  file.git_sha1 = text_at(*entry, "blobId");
  if (const json::object* lfs = object_at(*entry, "lfs")) {
    file.sha256 = text_at(*lfs, "sha256");
    if (const std::int64_t size = integer_at(*lfs, "size"); size > 0)
      file.size_bytes = static_cast<std::uint64_t>(size);
    if (!is_hash(file.sha256, 64)) return corrupt_data("the hub gives no SHA-256 of " + file.path);
  }
  return file;
}

// {"U32": 1000, "BF16": 50}: how many values of each type there are.
std::uint64_t bytes_of(const json::object& types) {
  constexpr std::int64_t kMaxValues = std::int64_t{1} << 50U;
  std::uint64_t bytes = 0;
  for (const auto& [key, value] : types) {
    const std::string_view type(key.data(), key.size());
    const std::int64_t count =
        std::clamp<std::int64_t>(value.is_int64() ? value.get_int64() : 0, 0, kMaxValues);
    const bool wide = type.ends_with("64");
    const bool single = type.ends_with("32");
    const bool half = type.ends_with("16");
    bytes += static_cast<std::uint64_t>(count) * (wide ? 8U : single ? 4U : half ? 2U : 1U);
  }
  return bytes;
}

void read_card(const json::object& card, HubModel& model) {
  if (const std::string license = text_at(card, "license"); !license.empty()) model.license = license;
  if (model.base_models.empty()) model.base_models = texts_of(card.if_contains("base_model"));
}

HubModel read_model(const json::object& answer) {
  HubModel model;
  model.id = text_at(answer, "id");
  if (model.id.empty()) model.id = text_at(answer, "modelId");
  model.commit = text_at(answer, "sha");
  model.author = text_at(answer, "author");
  if (model.author.empty() && model.id.find('/') != std::string::npos)
    model.author = model.id.substr(0, model.id.find('/'));
  model.library = text_at(answer, "library_name");
  model.task = text_at(answer, "pipeline_tag");
  model.last_modified = text_at(answer, "lastModified");
  model.gated = text_at(answer, "gated");
  if (const json::value* gated = answer.if_contains("gated"); gated != nullptr && gated->is_bool())
    model.gated = gated->get_bool() ? "manual" : "";
  if (const json::value* hidden = answer.if_contains("private"); hidden != nullptr && hidden->is_bool())
    model.is_private = hidden->get_bool();
  model.downloads = integer_at(answer, "downloads");
  model.likes = integer_at(answer, "likes");
  model.tags = texts_of(answer.if_contains("tags"));
  model.license = tagged(model.tags, "license:");
  for (const std::string& tag : model.tags) {
    constexpr std::string_view kPrefix = "base_model:";
    // "base_model:org/name" and "base_model:quantized:org/name" name the same.
    if (!tag.starts_with(kPrefix)) continue;
    const std::string base = tag.substr(kPrefix.size());
    if (base.find(':') == std::string::npos) model.base_models.push_back(base);
  }
  if (const json::object* card = object_at(answer, "cardData")) read_card(*card, model);
  if (const json::object* tensors = object_at(answer, "safetensors")) {
    model.num_parameters = integer_at(*tensors, "total");
    if (const json::object* types = object_at(*tensors, "parameters")) model.weight_bytes = bytes_of(*types);
  }
  model.storage_bytes =
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_at(answer, "usedStorage")));
  if (const json::object* config = object_at(answer, "config")) {
    model.model_type = text_at(*config, "model_type");
    for (const char* key : {"quantization_config", "quantization"}) {
      const json::object* quantization = object_at(*config, key);
      if (quantization == nullptr) continue;
      if (const std::int64_t bits = integer_at(*quantization, "bits"); bits > 0) model.bits = bits;
    }
  }
  return model;
}

// The URL of rel="next" in a Link header (RFC 8288), or empty.
std::string next_link(std::string_view header) {
  while (!header.empty()) {
    const std::size_t begin = header.find('<');
    const std::size_t end = header.find('>', begin);
    if (begin == std::string_view::npos || end == std::string_view::npos) return {};
    const std::size_t comma = header.find(",", end);
    const std::string_view parameters = header.substr(end + 1, comma - end - 1);
    if (parameters.find("rel=\"next\"") != std::string_view::npos ||
        parameters.find("rel=next") != std::string_view::npos)
      return std::string(header.substr(begin + 1, end - begin - 1));
    if (comma == std::string_view::npos) return {};
    header.remove_prefix(comma + 1);
  }
  return {};
}

// "…?cursor=ABC&limit=20" → "ABC", still encoded.
std::string cursor_of(std::string_view url) {
  for (const std::string_view key : {"?cursor=", "&cursor="}) {
    const std::size_t begin = url.find(key);
    if (begin == std::string_view::npos) continue;
    const std::string_view rest = url.substr(begin + key.size());
    return std::string(rest.substr(0, rest.find_first_of("&#")));
  }
  return {};
}

std::string page_of(const HubPlaces& places, const std::string& repository) {
  return places.endpoint + "/" + repository;
}

std::string where_the_token_goes(const HubPlaces& places) {
  return "make a token at " + places.endpoint + "/settings/tokens and put it into HF_TOKEN, " +
         places.token_file.string() + " or the setting hf-token";
}

Error offline_error(const std::string& what, const std::string& by) {
  const bool is_setting = by.empty();
  return {ErrorKind::kConflict, "cannot read " + what + " from the hub: offline mode is on (" +
                                    (is_setting ? "the setting offline" : by) + "); " +
                                    (is_setting ? "turn it off with 'mlxd config set offline false', or "
                                                  "where 'mlxd config' says that it is set"
                                                : "unset it") +
                                    ", or use what is on this machine already"};
}

}  // namespace

Result<std::string> hub_sort_of(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, const char*>, 5> kOrders = {
      {{"downloads", "downloads"},
       {"likes", "likes"},
       {"modified", "lastModified"},
       {"created", "createdAt"},
       {"trending", "trendingScore"}}};
  for (const auto& [ours, theirs] : kOrders)
    if (ours == name) return std::string(theirs);
  return invalid_argument("'" + std::string(name.substr(0, 40)) +
                              "' is no order: downloads, likes, modified, created and trending are",
                          "sort");
}

bool is_worth_a_retry(int status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

bool is_worth_a_retry(const Error& error) {
  return error.kind == ErrorKind::kUnavailable || error.kind == ErrorKind::kTimeout;
}

std::chrono::milliseconds retry_delay(std::chrono::milliseconds base, int attempt) {
  static thread_local std::minstd_rand random{std::random_device{}()};
  const auto whole = std::min(kMaxDelay, base * (std::int64_t{1} << std::clamp(attempt - 1, 0, 16)));
  const auto half = whole.count() / 2;
  return std::chrono::milliseconds(half + std::uniform_int_distribution<std::int64_t>(0, half)(random));
}

Error describe_refusal(const ResponseHead& head, const HubPlaces& places, const std::string& repository,
                       const std::string& what) {
  const std::string_view code = head.header("x-error-code");
  const std::string said(head.header("x-error-message").substr(0, 300));
  const std::string page = page_of(places, repository);
  if (code == "GatedRepo" && places.token.empty())
    return {ErrorKind::kUnauthorized, repository + " is gated: accept its licence at " + page + ", then " +
                                          where_the_token_goes(places)};
  if (code == "GatedRepo")
    return {ErrorKind::kForbidden, repository + " is gated and the account of your token (from " +
                                       places.token_source + ") may not read it: accept its licence at " +
                                       page + " with that account"};
  if (head.status == 401 && places.token.empty())
    return {ErrorKind::kUnauthorized,
            repository + " does not exist or is private: check the name; if it is private, " +
                where_the_token_goes(places)};
  if (head.status == 401)
    return {ErrorKind::kUnauthorized, "the hub refuses the token from " + places.token_source +
                                          (said.empty() ? "" : " (" + said + ")") + ": " +
                                          where_the_token_goes(places)};
  if (head.status == 403)
    return {ErrorKind::kForbidden, "the hub does not let you read " + what + " of " + repository +
                                       (said.empty() ? "" : " (" + said + ")") + ": see " + page};
  if (head.status == 404 || head.status == 410) {
    if (code == "RevisionNotFound")
      return not_found(repository + " has no such revision: see " + page + "/tree/main");
    if (code == "RepoNotFound" || what.empty())
      return not_found("there is no repository " + repository + " at " + places.endpoint);
    return not_found(what + " is not in " + repository + ": see " + page + "/tree/main");
  }
  if (head.status == 429) {
    const auto wait = head.retry_after();
    return {ErrorKind::kOverloaded, "the hub has had too many requests from here: try again" +
                                        (wait ? " in " + std::to_string(wait->count()) + " s" : " later")};
  }
  return {head.status >= 500 ? ErrorKind::kUnavailable : ErrorKind::kIo,
          "the hub answered " + std::to_string(head.status) + " for " + (what.empty() ? repository : what) +
              (said.empty() ? "" : " (" + said + ")")};
}

Result<HubPlaces> HubClient::places_now() const {
  HubPlaces places = places_;
  if (!options_.kept_token || !(places.token.empty() || places.token_from_file)) return places;
  const std::optional<std::string> kept = TRY(options_.kept_token());
  if (!kept) return places;
  places.token_source = "the setting hf-token";
  places.token = TRY(checked_hub_token(*kept, places.token_source));
  places.token_from_file = false;
  return places;
}

Result<void> HubClient::check_online(const std::string& what) const {
  if (!places_.offline_by.empty()) return offline_error(what, places_.offline_by);
  if (policy().offline) return offline_error(what, {});
  return {};
}

void HubClient::set_timeouts(TransferRequest& request, std::chrono::milliseconds total) const {
  const std::chrono::milliseconds silence = policy().silence_timeout;
  request.silence_timeout = policy().silence_timeout;
  request.connect_timeout = std::min(request.connect_timeout, silence);
  request.total_timeout = total.count() == 0 ? total : std::max(total, silence);
}

Result<HubAccount> HubClient::account(const std::string& token, StopFlag& stop) const {
  HubPlaces places = TRY(places_now());
  if (!token.empty()) {
    places.token_source = "this request";
    places.token = TRY(checked_hub_token(token, places.token_source));
  }
  if (places.token.empty())
    return Error(ErrorKind::kUnauthorized, "there is no token: " + where_the_token_goes(places));
  const Answer answer =
      TRY(get_with(places, places.endpoint + "/api/whoami-v2", kMaxAnswerBytes, "the account", "", stop));
  const json::object object = TRY(parse_json_object(answer.body, "the hub's answer about the token"));
  HubAccount account;
  account.token_source = places.token_source;
  account.name = text_at(object, "name");
  const json::object* auth = object_at(object, "auth");
  if (const json::object* about = auth == nullptr ? nullptr : object_at(*auth, "accessToken")) {
    account.token_name = text_at(*about, "displayName");
    account.role = text_at(*about, "role");
  }
  return account;
}

Result<HubClient::Answer> HubClient::get(const std::string& url, std::size_t max_bytes,
                                         const std::string& repository, const std::string& what,
                                         StopFlag& stop) const {
  return get_with(TRY(places_now()), url, max_bytes, repository, what, stop);
}

Result<HubClient::Answer> HubClient::get_with(const HubPlaces& places, const std::string& url,
                                              std::size_t max_bytes, const std::string& repository,
                                              const std::string& what, StopFlag& stop) const {
  const std::string wanted = what.empty() ? repository : what;
  TRY(check_online(wanted));
  HttpTransfer transfer = TRY(HttpTransfer::create());
  Answer answer;
  TransferRequest request;
  request.url = url;
  request.token = places.token;
  set_timeouts(request, options_.request_timeout);
  request.cancelled = [this, &stop, &wanted] { return stop.stopped() || !check_online(wanted).ok(); };
  request.on_head = [&answer](const ResponseHead&) -> Result<void> {
    answer.body.clear();
    return {};
  };
  request.on_body = [&answer, max_bytes, &what](std::string_view bytes) -> Result<void> {
    if (answer.body.size() + bytes.size() > max_bytes)
      return Error(ErrorKind::kTooLarge, what + " is larger than " + std::to_string(max_bytes) + " bytes");
    answer.body += bytes;
    return {};
  };
  for (int attempt = 1;; ++attempt) {
    auto head = transfer.get(request);
    TRY(check_online(wanted));
    const bool last = attempt >= options_.attempts;
    std::chrono::milliseconds delay = retry_delay(options_.retry_base, attempt);
    if (!head) {
      if (last || !is_worth_a_retry(head.error())) return head.take_error();
    } else if (head->status >= 200 && head->status < 300) {
      answer.head = head.take_value();
      return answer;
    } else {
      const auto wait = head->retry_after();
      if (last || !is_worth_a_retry(head->status) ||
          wait.value_or(std::chrono::seconds(0)) > options_.max_retry_after)
        return describe_refusal(*head, places, repository, what);
      if (wait) delay = std::max<std::chrono::milliseconds>(delay, *wait);
    }
    if (stop.wait_for(delay)) return Error(ErrorKind::kCancelled, "the question to the hub was stopped");
    TRY(check_online(wanted));
  }
}

std::string HubClient::file_url(const std::string& id, const std::string& revision,
                                const std::string& path) const {
  return places_.endpoint + "/" + id + "/resolve/" + url_encoded(revision, false) + "/" +
         url_encoded(path, true);
}

Result<HubModel> HubClient::model(const std::string& id, const std::string& revision, StopFlag& stop) const {
  TRY(check_repository_id(id));
  TRY(check_revision(revision));
  const std::string url =
      places_.endpoint + "/api/models/" + id + "/revision/" + url_encoded(revision, false) + "?blobs=true";
  const Answer answer = TRY(get(url, kMaxAnswerBytes, id, "", stop));
  const json::object object = TRY(parse_json_object(answer.body, "the hub's answer for " + id));
  HubModel model = read_model(object);
  if (model.id.empty()) model.id = id;
  if (!is_commit(model.commit)) return corrupt_data("the hub does not tell the commit of " + id);
  if (const json::value* siblings = object.if_contains("siblings");
      siblings != nullptr && siblings->is_array()) {
    for (const json::value& each : siblings->get_array()) model.files.push_back(TRY(read_file_entry(each)));
  }
  return model;
}

Result<HubPage> HubClient::search(const HubQuery& query, StopFlag& stop) const {
  std::string url = places_.endpoint +
                    "/api/models?limit=" + std::to_string(std::clamp(query.limit, 1, 100)) +
                    "&sort=" + url_encoded(query.sort, false);
  for (const char* field : kSearchFields) url += std::string("&expand=") + field;
  if (!query.text.empty()) url += "&search=" + url_encoded(query.text, false);
  if (!query.author.empty()) url += "&author=" + url_encoded(query.author, false);
  if (query.mlx_only) url += "&filter=mlx";
  for (const std::string& tag : query.tags) url += "&filter=" + url_encoded(tag, false);
  if (!query.cursor.empty()) url += "&cursor=" + url_encoded(query.cursor, false);
  const Answer answer = TRY(get(url, kMaxAnswerBytes, places_.endpoint, "the search", stop));
  const json::value list = TRY(parse_json_text(answer.body, "the hub's answer to the search"));
  if (!list.is_array()) return corrupt_data("the hub's answer to the search is no list");
  HubPage page;
  for (const json::value& each : list.get_array()) {
    if (const json::object* object = each.if_object()) page.models.push_back(read_model(*object));
  }
  page.next = url_decoded(cursor_of(next_link(answer.head.header("link"))));
  return page;
}

Result<std::string> HubClient::read_file(const std::string& id, const std::string& revision,
                                         const std::string& path, std::size_t max_bytes,
                                         StopFlag& stop) const {
  TRY(check_repository_id(id));
  TRY(check_revision(revision));
  if (!is_safe_file_path(path)) return invalid_argument("'" + path.substr(0, 200) + "' is no file's name");
  Answer answer = TRY(get(file_url(id, revision, path), max_bytes, id, path, stop));
  return std::move(answer.body);
}

}  // namespace mlxd
