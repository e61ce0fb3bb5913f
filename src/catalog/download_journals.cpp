#include "catalog/download_journals.h"

#include <boost/json.hpp>
#include <utility>

#include "base/log.h"
#include "catalog/hub_cache.h"
#include "catalog/hub_names.h"
#include "catalog/json_reading.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMaxRecordBytes = std::size_t{1} << 20U;

json::object to_json(const DownloadRecord& record) {
  json::array patterns;
  for (const std::string& pattern : record.patterns) patterns.emplace_back(pattern);
  const std::string_view state = to_string(record.state);
  return {{"id", record.id},
          {"repository", record.repository},
          {"revision", record.revision},
          {"commit", record.commit},
          {"patterns", std::move(patterns)},
          {"state", json::string(state.data(), state.size())},
          {"message", record.message},
          {"owns_snapshot", record.owns_snapshot},
          {"total_bytes", record.total_bytes},
          {"present_bytes", record.present_bytes},
          {"created", record.created},
          {"ended", record.ended}};
}

Result<DownloadRecord> from_json(const json::object& object, const fs::path& file) {
  DownloadRecord record;
  record.id = text_at(object, "id");
  record.repository = text_at(object, "repository");
  record.revision = text_at(object, "revision");
  record.commit = text_at(object, "commit");
  record.message = text_at(object, "message");
  record.total_bytes = static_cast<std::uint64_t>(integer_at(object, "total_bytes"));
  record.present_bytes = static_cast<std::uint64_t>(integer_at(object, "present_bytes"));
  record.created = integer_at(object, "created");
  record.ended = integer_at(object, "ended");
  if (const json::value* owns = object.if_contains("owns_snapshot"); owns != nullptr && owns->is_bool())
    record.owns_snapshot = owns->get_bool();
  if (const json::value* patterns = object.if_contains("patterns");
      patterns != nullptr && patterns->is_array()) {
    for (const json::value& each : patterns->get_array())
      if (each.is_string()) record.patterns.emplace_back(each.get_string());
  }
  const auto state = download_state_of(text_at(object, "state"));
  if (record.id != file.stem().string() || !state || (!record.commit.empty() && !is_commit(record.commit)))
    return corrupt_data(file.string() + " is no record of a download");
  record.state = *state;
  TRY(check_repository_id(record.repository));
  TRY(check_revision(record.revision));
  return record;
}

Result<DownloadRecord> read_record(const fs::path& file) {
  const std::string text = TRY(read_text_file(file, kMaxRecordBytes));
  return from_json(TRY(parse_json_object(text, file.string())), file);
}

}  // namespace

Result<std::vector<DownloadRecord>> MemoryJournal::load() {
  std::vector<DownloadRecord> records;
  for (const auto& [id, record] : records_) records.push_back(record);
  return records;
}

Result<void> MemoryJournal::save(const DownloadRecord& record) {
  records_[record.id] = record;
  return {};
}

Result<void> MemoryJournal::remove(const std::string& id) {
  records_.erase(id);
  return {};
}

Result<std::unique_ptr<FolderJournal>> FolderJournal::open(fs::path folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) return io_error("cannot make the folder " + folder.string(), code.value());
  return std::unique_ptr<FolderJournal>(new FolderJournal(std::move(folder)));
}

Result<std::vector<DownloadRecord>> FolderJournal::load() {
  std::vector<DownloadRecord> records;
  std::error_code code;
  for (fs::directory_iterator it(folder_, code), end; !code && it != end; it.increment(code)) {
    if (it->path().extension() != ".json") continue;
    auto record = read_record(it->path());
    if (record)
      records.push_back(record.take_value());
    else
      log::warn("a download is forgotten: {}", record.error().message);
  }
  if (code) return io_error("cannot read " + folder_.string(), code.value());
  return records;
}

Result<void> FolderJournal::save(const DownloadRecord& record) {
  return write_whole_file(folder_ / (record.id + ".json"), json::serialize(to_json(record)),
                          folder_ / (record.id + ".new"));
}

Result<void> FolderJournal::remove(const std::string& id) {
  std::error_code code;
  fs::remove(folder_ / (id + ".json"), code);
  if (code) return io_error("cannot remove the record of download " + id, code.value());
  return {};
}

}  // namespace mlxd
