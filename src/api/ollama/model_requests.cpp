#include "api/ollama/model_requests.h"

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>

#include "api/field_reader.h"
#include "api/shared_meanings.h"
#include "catalog/hub_names.h"

namespace mlxd::api::ollama {

namespace json = boost::json;

namespace {

constexpr auto kRequired = FieldUse::kRequired;
constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;

struct Draft {
  std::string model, name, source, destination;
  bool stream = true;
  std::vector<std::string> ignored = {};
};

template <std::string Draft::*Member>
Result<void> read_text(const json::value& value, std::string_view field, Draft& draft) {
  draft.*Member = TRY(read_string(value, field));
  return {};
}

Result<void> read_stream(const json::value& value, std::string_view field, Draft& draft) {
  draft.stream = TRY(read_boolean(value, field));
  return {};
}

Result<void> ignore(const json::value&, std::string_view field, Draft& draft) {
  draft.ignored.emplace_back(field);
  return {};
}

constexpr Meaning kName{"As model, which it was called before.", text()};
constexpr Meaning kToldAsIgnored{"Changes nothing here: told in x-mlxd-ignored."};
constexpr Meaning kNotNeeded{"Accepted and let be: the hub has its own token."};

constexpr Field<Draft> kDeleteFields[] = {
    {"model", kHonoured, read_text<&Draft::model>, {"The model to remove from the disk.", text()}},
    {"name", kHonoured, read_text<&Draft::name>, kName},
};
constexpr Field<Draft> kShowFields[] = {
    {"model", kHonoured, read_text<&Draft::model>, {"The model to describe.", text()}},
    {"name", kHonoured, read_text<&Draft::name>, kName},
    {"verbose", kInforms, nullptr, meaning::kInformsOnly},
    {"system", kInforms, ignore, kToldAsIgnored},
    {"template", kInforms, ignore, kToldAsIgnored},
    {"options", kInforms, ignore, kToldAsIgnored},
};
constexpr Field<Draft> kPullFields[] = {
    {"model",
     kHonoured,
     read_text<&Draft::model>,
     {"A repository of the hub, or a model that is here.", text()}},
    {"name", kHonoured, read_text<&Draft::name>, kName},
    {"stream",
     kHonoured,
     read_stream,
     {"Send how far it is, a line of JSON each.", boolean().by_default("true")}},
    {"insecure", kInforms, nullptr, kNotNeeded},
    {"username", kInforms, nullptr, kNotNeeded},
    {"password", kInforms, nullptr, kNotNeeded},
};
constexpr Field<Draft> kCopyFields[] = {
    {"source", kRequired, read_text<&Draft::source>, {"A model.", text()}},
    {"destination", kRequired, read_text<&Draft::destination>, {"Another name for it.", text()}},
};

Result<Draft> read(std::string_view body, std::span<const Field<Draft>> fields) {
  const json::object object = TRY(parse_request_object(body));
  Draft draft;
  TRY(read_fields(object, fields, draft));
  return draft;
}

Result<Draft> read_named(std::string_view body, std::span<const Field<Draft>> fields) {
  Draft draft = TRY(read(body, fields));
  if (draft.model.empty()) draft.model = draft.name;
  if (draft.model.empty()) return missing_field("model");
  return draft;
}

}  // namespace

std::vector<FieldInfo> delete_infos() { return infos_of<Draft>(kDeleteFields); }
std::vector<FieldInfo> show_infos() { return infos_of<Draft>(kShowFields); }
std::vector<FieldInfo> pull_infos() { return infos_of<Draft>(kPullFields); }
std::vector<FieldInfo> copy_infos() { return infos_of<Draft>(kCopyFields); }

Result<std::string> decode_delete(std::string_view body) {
  return TRY(read_named(body, kDeleteFields)).model;
}

Result<ShowRequest> decode_show(std::string_view body) {
  Draft draft = TRY(read_named(body, kShowFields));
  return ShowRequest{std::move(draft.model), std::move(draft.ignored)};
}

Result<PullRequest> decode_pull(std::string_view body) {
  Draft draft = TRY(read_named(body, kPullFields));
  return PullRequest{std::move(draft.model), draft.stream};
}

Result<CopyRequest> decode_copy(std::string_view body) {
  Draft draft = TRY(read(body, kCopyFields));
  if (draft.source.empty()) return missing_field("source");
  if (draft.destination.empty()) return missing_field("destination");
  return CopyRequest{std::move(draft.source), std::move(draft.destination)};
}

Result<PullName> parse_pull_name(std::string_view name) {
  static constexpr std::array<std::string_view, 4> kHubs = {"https://huggingface.co/", "https://hf.co/",
                                                            "huggingface.co/", "hf.co/"};
  const std::string asked(name.substr(0, 200));
  for (const std::string_view hub : kHubs) {
    if (!name.starts_with(hub)) continue;
    name.remove_prefix(hub.size());
    break;
  }
  PullName wanted;
  if (const std::size_t at = name.find('@'); at != std::string_view::npos) {
    wanted.revision = name.substr(at + 1);
    name = name.substr(0, at);
    TRY(check_revision(wanted.revision));
  }
  const std::string plain = without_latest(name);
  if (plain.find('/') == std::string::npos) return PullName{};
  if (plain.find(':') != std::string::npos)
    return invalid_argument("'" + asked +
                                "' has a tag: repositories of Hugging Face have none, write the whole "
                                "name (mlx-community/Qwen3-0.6B-4bit) or ORG/NAME@REVISION",
                            "model");
  TRY(check_repository_id(plain));
  wanted.repository = plain;
  return wanted;
}

std::string without_latest(std::string_view name) {
  constexpr std::string_view kLatest = ":latest";
  if (name.ends_with(kLatest) && name.size() > kLatest.size()) name.remove_suffix(kLatest.size());
  return std::string(name);
}

}  // namespace mlxd::api::ollama
