#include "server/stored_downloads.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "catalog/hub_names.h"
#include "catalog/json_reading.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20U;

std::uint64_t bytes_of(std::int64_t value) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, value));
}

std::vector<std::string> texts_of(const json::value& list) {
  std::vector<std::string> texts;
  if (!list.is_array()) return texts;
  for (const json::value& each : list.get_array())
    if (each.is_string()) texts.emplace_back(each.get_string());
  return texts;
}

// What the row says; its names are checked, for they become paths.
Result<DownloadRecord> record_of(DownloadRow row) {
  DownloadRecord record;
  const auto state = download_state_of(row.state);
  if (!state) return corrupt_data("its state is '" + row.state + "'");
  TRY(check_repository_id(row.repository));
  TRY(check_revision(row.revision));
  if (!row.commit.empty() && !is_commit(row.commit)) return corrupt_data("'" + row.commit + "' is no commit");
  json::error_code code;
  record.patterns = texts_of(json::parse(row.patterns_json, code));
  if (code) return corrupt_data("its patterns are damaged");
  record.id = std::move(row.id);
  record.owner = row.user_id.value_or("");
  record.repository = std::move(row.repository);
  record.revision = std::move(row.revision);
  record.commit = std::move(row.commit);
  record.state = *state;
  record.message = std::move(row.message);
  record.owns_snapshot = row.owns_snapshot;
  record.total_bytes = bytes_of(row.total_bytes);
  record.present_bytes = bytes_of(row.present_bytes);
  record.created = row.created_at;
  record.ended = row.ended_at.value_or(0);
  return record;
}

DownloadRow row_of(const DownloadRecord& record) {
  DownloadRow row;
  row.id = record.id;
  if (!record.owner.empty()) row.user_id = record.owner;
  row.repository = record.repository;
  row.revision = record.revision;
  row.commit = record.commit;
  row.patterns_json = json::serialize(json::array(record.patterns.begin(), record.patterns.end()));
  row.state = to_string(record.state);
  row.message = record.message;
  row.owns_snapshot = record.owns_snapshot;
  row.total_bytes = static_cast<std::int64_t>(record.total_bytes);
  row.present_bytes = static_cast<std::int64_t>(record.present_bytes);
  row.created_at = record.created;
  if (record.ended > 0) row.ended_at = record.ended;
  return row;
}

Result<DownloadRecord> read_file(const fs::path& file) {
  const json::object object = TRY(parse_json_object(TRY(read_text_file(file, kMaxFileBytes)), file.string()));
  DownloadRow row;
  row.id = text_at(object, "id");
  if (row.id.empty() || row.id != file.stem().string()) return corrupt_data("it is no record of a download");
  row.repository = text_at(object, "repository");
  row.revision = text_at(object, "revision");
  row.commit = text_at(object, "commit");
  if (const json::value* patterns = object.if_contains("patterns"); patterns != nullptr)
    row.patterns_json = json::serialize(*patterns);
  row.state = text_at(object, "state");
  row.message = text_at(object, "message");
  const json::value* owns = object.if_contains("owns_snapshot");
  row.owns_snapshot = owns != nullptr && owns->is_bool() && owns->get_bool();
  row.total_bytes = integer_at(object, "total_bytes");
  row.present_bytes = integer_at(object, "present_bytes");
  row.created_at = integer_at(object, "created");
  if (const std::int64_t ended = integer_at(object, "ended"); ended > 0) row.ended_at = ended;
  return record_of(std::move(row));
}

}  // namespace

Result<std::vector<DownloadRecord>> StoredDownloads::load() {
  std::vector<DownloadRecord> records;
  for (DownloadRow& row : TRY(store_.list())) {
    const std::string repository = row.repository;
    auto record = record_of(std::move(row));
    if (record.ok())
      records.push_back(record.take_value());
    else
      log::warn("the download of {} is forgotten: {}", repository, record.error().message);
  }
  return records;
}

Result<void> StoredDownloads::save(const DownloadRecord& record) { return store_.save(row_of(record)); }

Result<void> StoredDownloads::remove(const std::string& id) { return store_.remove(id); }

Result<void> StoredDownloads::take_over(const fs::path& folder) {
  std::vector<std::pair<fs::path, DownloadRecord>> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() != ".json") continue;
    auto record = read_file(entry->path());
    if (record.ok())
      found.emplace_back(entry->path(), record.take_value());
    else
      log::warn("{} is not taken over: {}", entry->path().string(), record.error().message);
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.created, a.second.id) < std::pair(b.second.created, b.second.id);
  });
  std::set<std::string> known;
  for (const DownloadRow& row : TRY(store_.list())) known.insert(row.id);
  for (const auto& [file, record] : found) {
    // A row that is there is newer: an earlier start could not remove the file.
    if (!known.contains(record.id)) TRY(save(record));
    fs::remove(file, error);
    if (error) log::warn("{} cannot be removed: {}", file.string(), error.message());
  }
  fs::remove(folder, error);  // if it is empty
  return {};
}

}  // namespace mlxd
