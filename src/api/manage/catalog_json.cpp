#include "api/manage/catalog_json.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <utility>

#include "api/field_reader.h"
#include "api/json_text.h"

namespace mlxd::api::manage {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxPatterns = 100;

json::string text(std::string_view value) { return json::string(value.data(), value.size()); }

json::array texts(const std::vector<std::string>& values) {
  json::array list;
  for (const std::string& value : values) list.push_back(text(value));
  return list;
}

// Names of files may be no UTF-8, and JSON must be.
json::string path_text(const std::string& path) {
  std::string quoted;
  append_json_string(quoted, path);
  const json::value parsed = json::parse(quoted);
  return parsed.get_string();
}

json::array files_json(const std::vector<HubFile>& files) {
  json::array list;
  for (const HubFile& file : files)
    list.push_back(json::object{
        {"path", path_text(file.path)},
        {"size_bytes", file.size_bytes},
        {"sha256", file.sha256.empty() ? json::value(nullptr) : json::value(text(file.sha256))}});
  return list;
}

json::array revisions_json(const CachedRepository& repository, bool whole) {
  json::array list;
  for (const CachedRevision& revision : repository.revisions) {
    json::object entry{{"commit", text(revision.commit)},
                       {"refs", texts(revision.refs)},
                       {"size_bytes", revision.size_bytes},
                       {"modified", revision.modified}};
    if (whole) {
      json::array files;
      for (const CachedFile& file : revision.files)
        files.push_back(json::object{{"path", path_text(file.path)}, {"size_bytes", file.size_bytes}});
      entry["files"] = std::move(files);
    }
    list.push_back(std::move(entry));
  }
  return list;
}

double rounded(double value, double step) { return std::round(value / step) * step; }

Result<void> read_model_name(const json::value& value, std::string_view field, DownloadRequest& request) {
  request.repository = TRY(read_string(value, field));
  if (const std::size_t at = request.repository.find('@'); at != std::string::npos) {
    request.revision = request.repository.substr(at + 1);
    request.repository.resize(at);
  }
  return {};
}

Result<void> read_revision(const json::value& value, std::string_view field, DownloadRequest& request) {
  request.revision = TRY(read_string(value, field));
  return {};
}

Result<void> read_files(const json::value& value, std::string_view field, DownloadRequest& request) {
  const json::array* list = TRY(read_array(value, field));
  if (list->size() > kMaxPatterns)
    return invalid_argument(std::string(field) + " has more than 100 patterns", std::string(field));
  for (std::size_t i = 0; i < list->size(); ++i)
    request.patterns.push_back(
        TRY(read_string((*list)[i], std::string(field) + "[" + std::to_string(i) + "]")));
  return {};
}

Result<void> read_token(const json::value& value, std::string_view field, std::string& token) {
  token = TRY(read_string(value, field));
  return {};
}

constexpr Field<std::string> kTokenTestFields[] = {
    {"token",
     FieldUse::kHonoured,
     read_token,
     {"The hub's token to try; absent: the one that is kept.", mlxd::api::text()}},
};

constexpr Field<DownloadRequest> kDownloadFields[] = {
    {"model",
     FieldUse::kRequired,
     read_model_name,
     {"A repository of the hub, org/name or org/name@revision.", mlxd::api::text()}},
    {"revision",
     FieldUse::kHonoured,
     read_revision,
     {"A branch, tag or commit.", mlxd::api::text().by_default("\"main\"")}},
    {"files",
     FieldUse::kHonoured,
     read_files,
     {"Patterns of the files to get; absent: what a model needs.", typed("string[]")}},
};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> decode_component(std::string_view encoded) {
  std::string out;
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    if (encoded[i] == '+') {
      out += ' ';
    } else if (encoded[i] != '%') {
      out += encoded[i];
    } else {
      const int high = i + 2 < encoded.size() ? hex_digit(encoded[i + 1]) : -1;
      const int low = i + 2 < encoded.size() ? hex_digit(encoded[i + 2]) : -1;
      if (high < 0 || low < 0) return invalid_argument("the query has a malformed escape");
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  if (!is_valid_utf8(out)) return invalid_argument("the query is no UTF-8");
  return out;
}

}  // namespace

json::object facts_json(const ModelFacts& facts) {
  json::object object{{"architecture", text(facts.architecture)},
                      {"quantization", text(facts.quantization)},
                      {"context_tokens", facts.context_tokens},
                      {"parameters", facts.num_parameters},
                      {"size_bytes", facts.size_bytes},
                      {"weight_bytes", facts.weight_bytes},
                      {"bits_per_weight", rounded(facts.bits_per_weight(), 1.0 / 64)},
                      {"inputs", texts(facts.inputs)},
                      {"chat_template", facts.has_chat_template},
                      {"tools", facts.tools},
                      {"reasoning", facts.reasoning},
                      {"license", text(facts.license)},
                      {"base_models", texts(facts.base_models)}};
  return object;
}

json::object fit_json(const MemoryFit& fit) {
  return {{"verdict", text(to_string(fit.verdict))},
          {"weight_bytes", fit.weight_bytes},
          {"kv_bytes", fit.kv_bytes},
          {"scratch_bytes", fit.scratch_bytes},
          {"total_bytes", fit.total_bytes},
          {"memory_bytes", fit.memory_bytes},
          {"context_tokens", fit.context_tokens},
          {"concurrency", fit.concurrency},
          {"max_context_tokens", fit.max_context_tokens}};
}

json::object model_json(const CatalogModel& model, const ModelStanding& standing, const MemoryFit& fit,
                        bool whole) {
  json::object object{
      {"id", path_text(model.name)},
      {"source", text(to_string(model.source))},
      {"path", path_text(model.folder.string())},
      {"loaded", standing.loaded},
      {"supported", standing.supported},
      {"problem", model.problem.empty() ? json::value(nullptr) : json::value(path_text(model.problem))},
      {"modified", model.facts.modified},
      {"facts", facts_json(model.facts)},
      {"fit", fit_json(fit)}};
  if (model.source != CatalogSource::kHub) return object;
  json::array problems;
  for (const std::string& problem : model.repository.problems) problems.push_back(path_text(problem));
  object["repository"] = json::object{{"size_bytes", model.repository.size_bytes},
                                      {"incomplete_bytes", model.repository.incomplete_bytes},
                                      {"problems", std::move(problems)},
                                      {"revisions", revisions_json(model.repository, whole)}};
  return object;
}

json::object hub_model_json(const HubModel& model) {
  json::object object{
      {"id", text(model.id)},
      {"author", text(model.author)},
      {"commit", model.commit.empty() ? json::value(nullptr) : json::value(text(model.commit))},
      {"downloads", model.downloads},
      {"likes", model.likes},
      {"last_modified", text(model.last_modified)},
      {"library", text(model.library)},
      {"task", text(model.task)},
      {"architecture", text(model.model_type)},
      {"license", text(model.license)},
      {"gated", model.gated.empty() ? json::value(false) : json::value(text(model.gated))},
      {"private", model.is_private},
      {"storage_bytes", model.storage_bytes},
      {"weight_bytes", model.weight_bytes > 0 ? json::value(model.weight_bytes) : json::value(nullptr)},
      {"bits", model.bits},
      {"base_models", texts(model.base_models)},
      {"tags", texts(model.tags)}};
  if (!model.files.empty()) object["files"] = files_json(model.files);
  return object;
}

json::object variants_json(const HubVariants& found) {
  json::array list;
  for (const HubVariant& variant : found.variants) {
    json::object entry = hub_model_json(variant.model);
    entry["fit"] = fit_json(variant.fit);
    entry["recommended"] = variant.model.id == found.recommended;
    list.push_back(std::move(entry));
  }
  return {{"base", text(found.base)},
          {"recommended",
           found.recommended.empty() ? json::value(nullptr) : json::value(text(found.recommended))},
          {"variants", std::move(list)}};
}

json::object recommendation_json(const Recommendation& recommendation) {
  const RecommendedModel& model = *recommendation.model;
  return {{"id", text(model.id)},
          {"purpose", text(model.purpose)},
          {"note", text(model.note)},
          {"active_parameters", model.active_parameters},
          {"facts", facts_json(model.facts())},
          {"fit", fit_json(recommendation.fit)},
          {"recommended", recommendation.best}};
}

json::object download_json(const DownloadStatus& status) {
  const DownloadRecord& record = status.record;
  json::array files;
  for (const DownloadStatus::File& file : status.files)
    files.push_back(json::object{{"path", path_text(file.path)},
                                 {"size_bytes", file.size_bytes},
                                 {"present_bytes", file.present_bytes},
                                 {"done", file.done}});
  return {
      {"id", text(record.id)},
      {"user", record.owner.empty() ? json::value(nullptr) : json::value(text(record.owner))},
      {"model", text(record.repository)},
      {"revision", text(record.revision)},
      {"commit", record.commit.empty() ? json::value(nullptr) : json::value(text(record.commit))},
      {"state", text(to_string(record.state))},
      {"message", record.message.empty() ? json::value(nullptr) : json::value(path_text(record.message))},
      {"waiting", status.waiting.empty() ? json::value(nullptr) : json::value(path_text(status.waiting))},
      {"total_bytes", record.total_bytes},
      {"present_bytes", status.present_bytes},
      {"bytes_per_s", std::round(status.bytes_per_s)},
      {"seconds_left",
       status.seconds_left ? json::value(std::round(*status.seconds_left)) : json::value(nullptr)},
      {"created", record.created},
      {"ended", record.ended > 0 ? json::value(record.ended) : json::value(nullptr)},
      {"snapshot", status.snapshot.empty() ? json::value(nullptr) : json::value(path_text(status.snapshot))},
      {"version", status.version},
      {"files", std::move(files)}};
}

json::object removed_json(const Removed& removed) {
  return {{"freed_bytes", removed.freed_bytes},
          {"commits", texts(removed.commits)},
          {"refs", texts(removed.refs)}};
}

json::object hub_account_json(const HubAccount& account) {
  const auto or_null = [](const std::string& value) {
    return value.empty() ? json::value(nullptr) : json::value(text(value));
  };
  return {{"name", or_null(account.name)},
          {"token_name", or_null(account.token_name)},
          {"role", or_null(account.role)},
          {"from", text(account.token_source)}};
}

std::vector<FieldInfo> token_test_infos() { return infos_of<std::string>(kTokenTestFields); }

Result<std::string> decode_token_test(std::string_view body) {
  std::string token;
  TRY(read_fields<std::string>(TRY(parse_request_object(body)), kTokenTestFields, token));
  return token;
}

std::vector<FieldInfo> download_infos() { return infos_of<DownloadRequest>(kDownloadFields); }

Result<DownloadRequest> decode_download_request(std::string_view body) {
  DownloadRequest request;
  TRY(read_fields<DownloadRequest>(TRY(parse_request_object(body)), kDownloadFields, request));
  if (request.repository.empty()) return missing_field("model");
  return request;
}

Result<std::vector<std::pair<std::string, std::string>>> decode_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> fields;
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view part = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    fields.emplace_back(TRY(decode_component(part.substr(0, equals))), TRY(decode_component(value)));
  }
  return fields;
}

}  // namespace mlxd::api::manage
